// Moving from the real Better Auth server to authd: its database file is imported, its secret is taken over, and a page that
// was signed in there is signed in here, with the cookie it has. It never sees a login page.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthClient } from "better-auth/client";
import { admin } from "better-auth/plugins";
import { startReference } from "./differential/reference.mjs";
import { binaries, CookieJar, pageFetch, PASSWORD, startAuthd, testsThatNeed } from "./harness.mjs";

const isProduction = process.env.NODE_ENV === "production";
const test = testsThatNeed([binaries, { what: "NODE_ENV=production", isThere: isProduction }]);

/** The page of an application, which its browser has opened: the same cookies, whichever server answers. */
const page = ({ url }, jar) =>
  createAuthClient({ baseURL: `${url}/api/auth`, fetchOptions: { customFetchImpl: pageFetch({ jar, enforcesCors: false }) } });

function ok({ data, error }) {
  assert.equal(error, null, JSON.stringify(error));
  return data;
}

const person = (name) => ({ email: `${name}@example.com`, password: PASSWORD, name });

async function folder(t) {
  const dir = await mkdtemp(join(tmpdir(), "authd-import-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

test("who is signed in at a Better Auth server stays signed in when authd takes over", async (t) => {
  const secret = randomBytes(32).toString("base64");
  const before = await startReference(t, { secret, plugins: [admin()] });
  const [ada, phone, bob] = [new CookieJar(), new CookieJar(), new CookieJar()];
  const { user } = ok(await page(before, ada).signUp.email(person("ada")));
  ok(await page(before, phone).signIn.email(person("ada")));
  ok(await page(before, bob).signUp.email(person("bob")));
  const bobsCookie = bob.header();
  ok(await page(before, bob).signOut());
  const then = ok(await page(before, ada).getSession());
  const devices = ok(await page(before, ada).listSessions());

  const dir = await folder(t);
  const [database, secretFile] = [join(dir, "better-auth.db"), join(dir, "secret")];
  await writeFile(database, before.database());
  await writeFile(secretFile, secret, { mode: 0o600 });
  const until = new Date(Date.now() + 30 * 24 * 60 * 60 * 1000).toISOString();
  const authd = await startAuthd(t, {
    AUTHD_SESSION__LEGACY_SECRET_FILE: secretFile,
    AUTHD_SESSION__LEGACY_SECRET_UNTIL: until,
  });

  const found = await authd.ctl(["import", "better-auth", database, "--dry-run", "-o", "json"]);
  const count = (finding) => found.find((row) => row.finding === finding)?.count ?? 0;
  assert.deepEqual([count("user"), count("session"), count("scrypt")], [2, 2, 2], JSON.stringify(found));
  assert.deepEqual(await authd.ctl(["user", "list", "-o", "json"]), []);
  await authd.ctl(["import", "better-auth", database, "--yes"]);

  const now = ok(await page(authd, ada).getSession());
  assert.deepEqual(now.user.id, user.id);
  for (const name of ["email", "name", "emailVerified", "image", "createdAt", "updatedAt"]) {
    assert.deepEqual(now.user[name], then.user[name], name);
  }
  for (const name of ["id", "userId", "createdAt", "expiresAt", "ipAddress", "userAgent"]) {
    assert.deepEqual(now.session[name], then.session[name], name);
  }
  const here = ok(await page(authd, ada).listSessions());
  assert.deepEqual(here.map(({ id }) => id).sort(), devices.map(({ id }) => id).sort());
  assert.equal(ok(await page(authd, phone).getSession()).user.id, user.id, "the other device too");

  // The cookie is authd's own now, and the secret of then is not needed for it.
  await authd.halt();
  await rm(secretFile);
  await writeFile(secretFile, randomBytes(32).toString("base64"), { mode: 0o600 });
  await authd.start();
  assert.equal(ok(await page(authd, ada).getSession()).user.id, user.id);

  assert.notEqual(bobsCookie, undefined);
  const signedOut = pageFetch({ enforcesCors: false, jar: { header: () => bobsCookie, store: () => {} } });
  assert.equal(await (await signedOut(`${authd.url}/api/auth/get-session`)).json(), null, "who signed out is signed out");
  assert.equal(ok(await page(authd, bob).signIn.email(person("bob"))).user.email, "bob@example.com");
  ok(await page(authd, ada).signOut());
  assert.equal(ok(await page(authd, ada).getSession()), null);
  assert.equal(ok(await page(authd, ada).signIn.email(person("ada"))).user.id, user.id);
  const shown = await authd.ctl(["user", "show", "ada@example.com", "-o", "json"]);
  assert.equal(shown.password, "argon2id", "hashed anew");
});

test("an import that is taken back leaves authd as it was", async (t) => {
  const before = await startReference(t);
  const jar = new CookieJar();
  ok(await page(before, jar).signUp.email(person("ada")));
  const database = join(await folder(t), "better-auth.db");
  await writeFile(database, before.database());
  const authd = await startAuthd(t);
  ok(await page(authd, new CookieJar()).signUp.email(person("eve")));
  const users = () => authd.ctl(["user", "list", "-o", "json"]);
  const was = await users();
  await authd.ctl(["import", "better-auth", database, "--yes"]);
  assert.equal((await users()).length, 2);
  const [{ id }] = await authd.ctl(["import", "list", "-o", "json"]);
  await authd.ctl(["import", "undo", id, "--yes"]);
  assert.deepEqual(await users(), was);
  assert.deepEqual(await authd.ctl(["import", "list", "-o", "json"]), []);
});
