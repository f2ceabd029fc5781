// The real Better Auth server, over SQLite in memory, as an application would run it: what authd is compared with.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { jwt } from "better-auth/plugins";
import { SqliteDialect } from "kysely";
import initSqlJs from "sql.js";
import { PAGE } from "../harness.mjs";

/** SQLite compiled to WebAssembly, with as much of the interface of a native driver as kysely asks for. */
class Database {
  #db;

  constructor(db) {
    this.#db = db;
  }

  prepare(sql) {
    const statement = this.#db.prepare(sql);
    const rows = (parameters) => {
      statement.bind(parameters);
      const found = [];
      while (statement.step()) found.push(statement.getAsObject());
      statement.free();
      return found;
    };
    return {
      reader: statement.getColumnNames().length > 0,
      all: rows,
      iterate: (parameters) => rows(parameters).values(),
      run: (parameters) => {
        rows(parameters);
        const [{ values }] = this.#db.exec("select last_insert_rowid()");
        return { changes: this.#db.getRowsModified(), lastInsertRowid: values[0][0] };
      },
    };
  }

  close() {
    this.#db.close();
  }
}

const sqlite = initSqlJs();

/** The origins that both servers trust beside their own. */
export const TRUSTED = [PAGE, "myapp://"];

/**
 * Starts the real server on a port of the system's choice, with what authd has on by default, and these options besides.
 * @param {import("node:test").TestContext} t
 */
export async function startReference(t, { plugins = [], withoutJwt = false, baseURL, ...options } = {}) {
  assert.equal(process.env.NODE_ENV, "production", "the recorded answers are those of production");
  let handle;
  const server = createServer((request, response) => handle(request, response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const url = `http://localhost:${server.address().port}`;
  const { Database: Sqlite } = await sqlite;
  const tables = new Sqlite();
  const auth = betterAuth({
    baseURL: baseURL ?? url,
    secret: "of the real server, which only the tests know",
    database: { dialect: new SqliteDialect({ database: new Database(tables) }), type: "sqlite" },
    emailAndPassword: { enabled: true, ...options.emailAndPassword },
    trustedOrigins: TRUSTED,
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: { disabled: true },
    plugins: [...(withoutJwt ? [] : [jwt({ jwks: { keyPairConfig: { alg: "EdDSA", crv: "Ed25519" } } })]), ...plugins],
    ...Object.fromEntries(Object.entries(options).filter(([name]) => name !== "emailAndPassword")),
  });
  const { runMigrations } = await getMigrations(auth.options);
  await runMigrations();
  handle = toNodeHandler(auth);
  /** Gives a user a role, as an operator does with the database. */
  const promote = async (email, role) => {
    const { internalAdapter } = await auth.$context;
    const { user } = await internalAdapter.findUserByEmail(email);
    await internalAdapter.updateUser(user.id, { role });
  };
  /** Its database, as the file of an application has it. */
  const database = () => tables.export();
  return { url, promote, database };
}
