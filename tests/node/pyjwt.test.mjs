// Access tokens as a Python backend verifies them, with PyJWT (tests/python/verify_jwt.py).

import assert from "node:assert/strict";
import { join } from "node:path";
import { describe } from "node:test";
import { binaries, isProgram, repository, run, signIn, signUp, startAuthd, testsThatNeed } from "./harness.mjs";

const EMAIL = "ada@example.com";
const SCRIPT = join(repository, "tests/python/verify_jwt.py");
const PYTHON = process.env.PYTHON || join(repository, "tests/python/.venv/bin/python");

const test = testsThatNeed([binaries, { what: "tests/python/.venv", isThere: isProgram(PYTHON) }]);

/** Whether PyJWT takes the token: its claims, or the name of the exception. */
async function verify(authd, token, others = {}) {
  const request = {
    jwks_url: `${authd.url}/.well-known/jwks.json`,
    token,
    issuer: authd.url,
    audience: authd.url,
    algorithms: ["EdDSA"],
    ...others,
  };
  const end = await run(PYTHON, [SCRIPT], { env: { HOME: process.env.HOME }, stdin: JSON.stringify(request) });
  if (end.code === 0) return { claims: JSON.parse(end.stdout) };
  const exception = /^(\w+): /.exec(end.stderr)?.[1];
  assert.ok(end.code === 1 && exception, `verify_jwt.py: exit ${end.code ?? end.signal}\n${end.stderr}`);
  return { exception };
}

describe("PyJWT", () => {
  test("verifies before, during and after a rotation", async (t) => {
    const authd = await startAuthd(t);
    await signUp(authd, EMAIL);
    const oldToken = await signIn(authd, EMAIL);
    const before = await verify(authd, oldToken);
    assert.equal(before.claims?.iss, authd.url, JSON.stringify(before));

    const { previous } = await authd.ctl(["keys", "rotate", "--yes", "-o", "json"]);
    assert.deepEqual(await verify(authd, oldToken), before);
    assert.ok((await verify(authd, await signIn(authd, EMAIL))).claims);

    await authd.ctl(["keys", "rotate", "--now", "--yes"]);
    const newToken = await signIn(authd, EMAIL);
    assert.deepEqual(await verify(authd, oldToken), before);
    assert.equal((await verify(authd, newToken)).claims?.sub, before.claims.sub);

    await authd.ctl(["keys", "revoke", previous.kid, "--yes"]);
    assert.deepEqual(await verify(authd, oldToken), { exception: "PyJWKClientError" });
    assert.ok((await verify(authd, newToken)).claims);
  });

  test("refuses a token that is for somebody else", async (t) => {
    const authd = await startAuthd(t);
    await signUp(authd, EMAIL);
    const token = await signIn(authd, EMAIL);
    const elsewhere = "http://localhost:1";
    assert.deepEqual(await verify(authd, token, { issuer: elsewhere }), { exception: "InvalidIssuerError" });
    assert.deepEqual(await verify(authd, token, { audience: elsewhere }), { exception: "InvalidAudienceError" });
    assert.deepEqual(await verify(authd, token, { algorithms: ["RS256"] }), { exception: "InvalidAlgorithmError" });
  });

  for (const algorithm of ["ES256", "RS256"]) {
    test(`verifies ${algorithm}`, async (t) => {
      const authd = await startAuthd(t, { AUTHD_KEYS__ALGORITHM: algorithm });
      await signUp(authd, EMAIL);
      const verified = await verify(authd, await signIn(authd, EMAIL), { algorithms: [algorithm] });
      assert.equal(verified.claims?.iss, authd.url, JSON.stringify(verified));
    });
  }
});
