// The samples of the manual's page on services, run as they stand: a backend in Python (FastAPI) and one in Node, each with a token of
// its own.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { binaries, isProgram, repository, run, startAuthd, testsThatNeed } from "./harness.mjs";

const PYTHON = process.env.PYTHON || join(repository, "tests/python/.venv/bin/python");
const python = { what: "tests/python/.venv", isThere: isProgram(PYTHON) };
const SCOPES = "users:read,users:write,users:ban,sessions:revoke";

/** The one block of the page in this language. */
async function sample(language) {
  const page = await readFile(join(repository, "packaging/manual/src/services.md"), "utf8");
  const blocks = [...page.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map((found) => found[1]);
  assert.equal(blocks.length, 1, language);
  return blocks[0];
}

/** authd, the token of a service, and a directory with the sample. */
async function backend(t, language, name) {
  const authd = await startAuthd(t, { AUTHD_ADMIN_PLUGIN__ENABLED: "true" });
  const made = await authd.ctl(["token", "service", "create", "shop-backend", "--scope", SCOPES, "-o", "json"]);
  const dir = await mkdtemp(join(tmpdir(), "authd-services-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await writeFile(join(dir, name), await sample(language));
  return { authd, dir, env: { AUTHD_URL: authd.url, AUTHD_TOKEN: made.token } };
}

/** That the trail says the service made and banned the user. */
async function isAccountable(authd, id) {
  const trail = await authd.ctl(["audit", "list", "--user", id, "-o", "json"]);
  const acts = trail.map(({ event, actor }) => [event, actor.kind, actor.name]);
  assert.deepEqual(acts, [
    ["user.disabled", "service", "shop-backend"],
    ["user.created", "service", "shop-backend"],
  ]);
}

testsThatNeed([binaries])("a backend in Node reads, makes and bans users", async (t) => {
  const { authd, dir, env } = await backend(t, "js", "shop.mjs");
  Object.assign(process.env, env);
  const shop = await import(pathToFileURL(join(dir, "shop.mjs")));
  const made = await shop.invite("ada@example.com", "Ada");
  assert.equal((await shop.customer(made.id)).email, "ada@example.com");
  assert.equal((await shop.customers("ada")).total, 1);
  assert.equal((await shop.ban(made.id, "spam")).banned, true);
  await assert.rejects(shop.customer("nobody"), { status: 404, code: "USER_NOT_FOUND" });
  await isAccountable(authd, made.id);
  await authd.ctl(["token", "service", "revoke", "shop-backend", "--yes", "-o", "json"]);
  await assert.rejects(shop.customer(made.id), { status: 401, code: "INVALID_TOKEN" });
});

testsThatNeed([binaries, python])("a backend in Python reads, makes and bans users", async (t) => {
  const { authd, dir, env } = await backend(t, "python", "shop.py");
  await writeFile(
    join(dir, "use.py"),
    `import json
from fastapi.testclient import TestClient
from shop import app

with TestClient(app) as shop:
    made = shop.post("/customers", params={"email": "ada@example.com", "name": "Ada"}).json()
    seen = shop.get("/customers/" + made["id"]).json()
    banned = shop.post(f"/customers/{made['id']}/ban", params={"reason": "spam"}).json()
    nobody = shop.get("/customers/nobody")
print(json.dumps([made["id"], seen["email"], banned["banned"], nobody.status_code, nobody.json()["detail"]]))
`,
  );
  const end = await run(PYTHON, [join(dir, "use.py")], { env: { ...env, HOME: process.env.HOME, PYTHONPATH: dir } });
  assert.equal(end.code, 0, end.stderr);
  const [id, ...rest] = JSON.parse(end.stdout);
  assert.deepEqual(rest, ["ada@example.com", true, 404, "USER_NOT_FOUND"]);
  await isAccountable(authd, id);
});
