// Access tokens as a backend verifies them, with the jose package and the key set that authd publishes.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { createRemoteJWKSet, customFetch, decodeProtectedHeader, errors, jwtVerify } from "jose";
import { binaries, call, PASSWORD, signIn, signUp, startAuthd, testsThatNeed } from "./harness.mjs";

const test = testsThatNeed([binaries]);

const EMAIL = "ada@example.com";
const ADDRESSES = ["/api/auth/jwks", "/api/jwks", "/.well-known/jwks.json"];

/** authd with one account. */
async function start(t, env) {
  const authd = await startAuthd(t, env);
  await signUp(authd, EMAIL);
  return authd;
}

/** A backend that verifies tokens: with a key set of its own, which it fetches when it must, and counts how often. */
function backend(authd, { algorithm = "EdDSA", path = ADDRESSES[0] } = {}) {
  let fetches = 0;
  const keys = createRemoteJWKSet(new URL(path, authd.url), {
    [customFetch]: (...args) => {
      fetches += 1;
      return fetch(...args);
    },
  });
  const expected = { issuer: authd.url, audience: authd.url, typ: "at+jwt", algorithms: [algorithm] };
  return {
    keys,
    verify: (token, others = {}) => jwtVerify(token, keys, { ...expected, ...others }),
    fetches: () => fetches,
  };
}

const kidOf = (token) => decodeProtectedHeader(token).kid;

/** The key ids that authd publishes now, sorted. */
async function published(authd) {
  const { status, body } = await call("GET", `${authd.url}${ADDRESSES[0]}`);
  assert.equal(status, 200);
  return body.keys.map(({ kid }) => kid).sort();
}

describe("jose", () => {
  test("verifies an access token, by every address of the key set", async (t) => {
    const authd = await start(t);
    const token = await signIn(authd, EMAIL);
    const me = await call("GET", `${authd.url}/api/auth/me`, { token });
    for (const path of ADDRESSES) {
      const { payload, protectedHeader } = await backend(authd, { path }).verify(token);
      assert.equal(protectedHeader.alg, "EdDSA");
      assert.deepEqual(await published(authd), [protectedHeader.kid]);
      assert.equal(payload.sub, me.body.user.id);
      assert.equal(payload.sid, me.body.session.id);
      assert.equal(payload.exp - payload.iat, 15 * 60);
      assert.deepEqual(Object.keys(payload).sort(), ["aud", "exp", "iat", "iss", "jti", "nbf", "role", "sid", "sub"]);
    }
  });

  test("refuses a token that is for somebody else, of another kind, or altered", async (t) => {
    const authd = await start(t);
    const token = await signIn(authd, EMAIL);
    const { verify } = backend(authd);
    const elsewhere = "http://localhost:1";
    const claim = (name) => ({ code: "ERR_JWT_CLAIM_VALIDATION_FAILED", claim: name });
    await assert.rejects(verify(token, { issuer: elsewhere }), claim("iss"));
    await assert.rejects(verify(token, { audience: elsewhere }), claim("aud"));
    await assert.rejects(verify(token, { typ: "JWT" }), claim("typ"));
    await assert.rejects(verify(token, { algorithms: ["RS256"] }), errors.JOSEAlgNotAllowed);
    const [header, payload, signature] = token.split(".");
    const claims = JSON.parse(Buffer.from(payload, "base64url"));
    const altered = Buffer.from(JSON.stringify({ ...claims, role: "admin" })).toString("base64url");
    await assert.rejects(verify([header, altered, signature].join(".")), errors.JWSSignatureVerificationFailed);
    await verify(token);
  });

  test("verifies the JWT of set-auth-jwt, which is no access token", async (t) => {
    const authd = await start(t);
    const signedIn = await call("POST", `${authd.url}/api/auth/login`, { body: { email: EMAIL, password: PASSWORD } });
    const jwt = signedIn.headers.get("set-auth-jwt");
    const { verify } = backend(authd);
    await assert.rejects(verify(jwt), { code: "ERR_JWT_CLAIM_VALIDATION_FAILED", claim: "typ" });
    const { payload, protectedHeader } = await verify(jwt, { typ: undefined });
    assert.equal(protectedHeader.typ, undefined);
    assert.equal(payload.sub, signedIn.body.user.id);
    assert.equal(payload.email, EMAIL);
  });

  test("a staged rotation publishes the new key before it signs, so that nobody is taken by surprise", async (t) => {
    const authd = await start(t);
    const before = backend(authd);
    const oldToken = await signIn(authd, EMAIL);
    const oldKid = kidOf(oldToken);
    await before.verify(oldToken);

    const { key, previous } = await authd.ctl(["keys", "rotate", "--yes", "-o", "json"]);
    assert.equal(previous.kid, oldKid);
    assert.notEqual(key.kid, oldKid);
    assert.equal(key.state, "published");
    assert.deepEqual(await published(authd), [key.kid, oldKid].sort());
    assert.equal(kidOf(await signIn(authd, EMAIL)), oldKid, "the old key signs until the new one is known");
    await before.verify(oldToken);
    const during = backend(authd);
    await during.verify(oldToken);

    // The hand-over, without the wait for it.
    const handOver = await authd.ctl(["keys", "rotate", "--now", "--yes", "-o", "json"]);
    assert.equal(handOver.key.kid, key.kid, "the key that is published already takes over, not a third one");
    assert.deepEqual(await published(authd), [key.kid, oldKid].sort());
    const newToken = await signIn(authd, EMAIL);
    assert.equal(kidOf(newToken), key.kid);
    for (const token of [oldToken, newToken]) {
      await during.verify(token);
      await backend(authd).verify(token);
    }
    assert.equal(during.fetches(), 1, "the set that was fetched during the rotation is good for both keys");
    assert.equal(before.fetches(), 1);
  });

  test("after a rotation at once new tokens carry the new key, and old ones still verify", async (t) => {
    const authd = await start(t);
    const oldToken = await signIn(authd, EMAIL);
    const { key, previous } = await authd.ctl(["keys", "rotate", "--now", "--yes", "-o", "json"]);
    assert.equal(previous.kid, kidOf(oldToken));
    assert.equal(key.state, "signing");
    const newToken = await signIn(authd, EMAIL);
    assert.equal(kidOf(newToken), key.kid);
    assert.deepEqual(await published(authd), [kidOf(oldToken), key.kid].sort());
    for (const path of ADDRESSES) {
      const { verify } = backend(authd, { path });
      await verify(oldToken);
      await verify(newToken);
    }
  });

  test("after a rollback the first key signs again, and no token is lost", async (t) => {
    const authd = await start(t);
    const first = await signIn(authd, EMAIL);
    await authd.ctl(["keys", "rotate", "--now", "--yes"]);
    const second = await signIn(authd, EMAIL);
    assert.notEqual(kidOf(second), kidOf(first));
    await authd.ctl(["keys", "rollback", "--yes"]);
    const third = await signIn(authd, EMAIL);
    assert.equal(kidOf(third), kidOf(first));
    const { verify } = backend(authd);
    for (const token of [first, second, third]) await verify(token);
  });

  test("a rotation that is taken back before the new key signed takes it out of the set", async (t) => {
    const authd = await start(t);
    const token = await signIn(authd, EMAIL);
    await authd.ctl(["keys", "rotate", "--yes"]);
    assert.equal((await published(authd)).length, 2);
    await authd.ctl(["keys", "rollback", "--yes"]);
    assert.deepEqual(await published(authd), [kidOf(token)]);
    assert.equal(kidOf(await signIn(authd, EMAIL)), kidOf(token));
    await backend(authd).verify(token);
  });

  test("a revoked key's tokens fail once the set is fetched again; authd refuses them at once", async (t) => {
    const authd = await start(t);
    const oldToken = await signIn(authd, EMAIL);
    const { keys, verify } = backend(authd);
    await verify(oldToken);

    await authd.ctl(["keys", "revoke", kidOf(oldToken), "--yes"]);
    const refused = await call("GET", `${authd.url}/api/auth/me`, { token: oldToken });
    assert.equal(refused.status, 401);
    assert.equal(refused.body.code, "KEY_REVOKED");
    await verify(oldToken); // What a verifier has fetched it may use: that is why tokens are short-lived.
    await keys.reload();
    await assert.rejects(verify(oldToken), errors.JWKSNoMatchingKey);

    const newToken = await signIn(authd, EMAIL);
    assert.notEqual(kidOf(newToken), kidOf(oldToken));
    assert.deepEqual(await published(authd), [kidOf(newToken)]);
    await verify(newToken);
  });

  test("revoking the key of before leaves the tokens of the one that signs", async (t) => {
    const authd = await start(t);
    const oldToken = await signIn(authd, EMAIL);
    await authd.ctl(["keys", "rotate", "--now", "--yes"]);
    const newToken = await signIn(authd, EMAIL);
    await authd.ctl(["keys", "revoke", kidOf(oldToken), "--yes"]);
    const { verify } = backend(authd);
    await verify(newToken);
    await assert.rejects(verify(oldToken), errors.JWKSNoMatchingKey);
    assert.equal(kidOf(await signIn(authd, EMAIL)), kidOf(newToken));
  });

  for (const algorithm of ["ES256", "RS256"]) {
    test(`verifies ${algorithm}, before and after a rotation`, async (t) => {
      const authd = await start(t, { AUTHD_KEYS__ALGORITHM: algorithm });
      const oldToken = await signIn(authd, EMAIL);
      await authd.ctl(["keys", "rotate", "--now", "--yes"]);
      const newToken = await signIn(authd, EMAIL);
      assert.notEqual(kidOf(newToken), kidOf(oldToken));
      const { verify } = backend(authd, { algorithm });
      for (const token of [oldToken, newToken]) {
        const { protectedHeader } = await verify(token);
        assert.equal(protectedHeader.alg, algorithm);
      }
    });
  }
});
