// The backends of examples/: each verifies authd's tokens with a key set that it keeps, and asks for again when it must.

import { join } from "node:path";
import { decodeProtectedHeader, SignJWT } from "jose";
import { describe, expect } from "vitest";
import { ADA, type Authd, call, CREDENTIALS, isProgram, repository, startAuthd, testsThatNeed } from "./authd.js";
import { startProgram, startProxy } from "./servers.js";

const EXAMPLES = join(import.meta.dirname, "../examples");
const PYTHON = join(EXAMPLES, "fastapi/.venv/bin/python");
const AXUM = join(process.env["CARGO_TARGET_DIR"] ?? join(repository, "target"), "debug/authd-axum-example");

interface Recipe {
  name: string;
  command: [string, ...string[]];
  need: { what: string; isThere: boolean };
}

const RECIPES: Recipe[] = [
  { name: "Hono with jose", command: [process.execPath, join(EXAMPLES, "hono/server.mjs")], need: { what: "Node", isThere: true } },
  { name: "FastAPI with PyJWT", command: [PYTHON, join(EXAMPLES, "fastapi/main.py")], need: { what: "examples/fastapi/.venv", isThere: isProgram(PYTHON) } },
  { name: "axum with jsonwebtoken", command: [AXUM], need: { what: "the axum example (cargo build)", isThere: isProgram(AXUM) } },
];

/** The backend as a process of its own; the key set comes through a proxy that counts. */
async function start({ command: [program, ...args] }: Recipe, authd: Authd, cooldown?: number) {
  const proxy = await startProxy(authd);
  const env: Record<string, string> = { AUTHD_ISSUER: authd.url, AUTHD_JWKS_URL: `${proxy.url}/.well-known/jwks.json` };
  if (cooldown !== undefined) env["JWKS_COOLDOWN"] = String(cooldown);
  const url = await startProgram(program, args, env);
  const ask = async (token?: string) => {
    const answer = await fetch(`${url}/whoami`, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } });
    return { status: answer.status, body: await answer.json(), challenge: answer.headers.get("www-authenticate") };
  };
  return { ask, keySets: proxy.keySets };
}

async function startWithAda() {
  const authd = await startAuthd();
  await authd.ctl(["user", "create", "--email", ADA.email, "--name", ADA.name, "--password-stdin"], ADA.password);
  const login = async () => {
    const { body, headers } = await call("POST", `${authd.url}/api/login`, { body: CREDENTIALS });
    return { token: body.access_token as string, sub: body.user.id as string, other: headers.get("set-auth-jwt")! };
  };
  return { authd, login };
}

/** A token of nobody, with any name for its key. */
async function forged(authd: Authd, kid: string): Promise<string> {
  const { privateKey } = (await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as CryptoKeyPair;
  const claims = new SignJWT({ sid: "s" }).setProtectedHeader({ alg: "EdDSA", typ: "at+jwt", kid });
  return claims.setSubject("root").setIssuer(authd.url).setAudience(authd.url).setIssuedAt().setExpirationTime("5m").sign(privateKey);
}

describe.each(RECIPES)("$name", (recipe) => {
  const test = testsThatNeed([recipe.need]);

  test("asks for the key set once, and again for a key that it does not know", async () => {
    const { authd, login } = await startWithAda();
    const { ask, keySets } = await start(recipe, authd, 0);
    const old = await login();
    for (let turn = 0; turn < 20; turn += 1) expect(await ask(old.token)).toMatchObject({ status: 200, body: { sub: old.sub } });
    expect(keySets()).toBe(1);

    await authd.ctl(["keys", "rotate", "--now", "--yes"]);
    const young = await login();
    expect(decodeProtectedHeader(young.token).kid).not.toBe(decodeProtectedHeader(old.token).kid);
    expect((await ask(young.token)).status).toBe(200);
    expect(keySets()).toBe(2);
    for (const { token } of [old, young, old, young]) expect((await ask(token)).status).toBe(200);
    expect(keySets()).toBe(2);
  });

  test("does not ask again and again for keys that strangers make up, nor need authd for those it knows", async () => {
    const { authd, login } = await startWithAda();
    const { ask, keySets } = await start(recipe, authd);
    const { token } = await login();
    expect((await ask(token)).status).toBe(200);
    for (let turn = 0; turn < 20; turn += 1) expect((await ask(await forged(authd, `made-up-${turn}`))).status).toBe(401);
    expect(keySets()).toBe(1);
    await authd.halt();
    expect((await ask(token)).status).toBe(200);
    await authd.start();
  });

  test("tk_01 tk_05 tk_06 refuses what is no access token for it", async () => {
    const { authd, login } = await startWithAda();
    const { ask } = await start(recipe, authd, 0);
    const { token, other } = await login();
    const [header, claims, signature] = token.split(".") as [string, string, string];
    const none = Buffer.from(JSON.stringify({ ...decodeProtectedHeader(token), alg: "none" })).toString("base64url");
    const raised = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(claims, "base64url").toString()), role: "admin" })).toString("base64url");
    const refused: Record<string, string> = {
      "another kind of token": other,
      "a forged signature with a known key's name": await forged(authd, decodeProtectedHeader(token).kid!),
      "altered claims": `${header}.${raised}.${signature}`,
      "no signature": `${none}.${claims}.`,
      "no token": "nonsense",
    };
    for (const [what, shown] of Object.entries(refused)) {
      expect(await ask(shown), what).toMatchObject({ status: 401, challenge: 'Bearer error="invalid_token"' });
    }
    expect(await ask()).toMatchObject({ status: 401, challenge: "Bearer" });
    const foreign = await start(recipe, { ...authd, url: "http://localhost:1" });
    expect((await foreign.ask(token)).status, "for another audience").toBe(401);
  });
});
