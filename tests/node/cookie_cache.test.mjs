// The copy of a session in the browser, as a server that renders pages reads it: by `getCookieCache` of the package.

import assert from "node:assert/strict";
import { getCookieCache } from "better-auth/cookies";
import { binaries, call, PAGE, PASSWORD, startAuthd, testsThatNeed } from "./harness.mjs";

const test = testsThatNeed([binaries]);

/** A browser's request; keeps what the answer sets. */
async function ask(authd, jar, method, path, body, more = {}) {
  const headers = { origin: PAGE, cookie: jar.header(), ...more };
  if (body !== undefined) headers["content-type"] = "application/json";
  const response = await fetch(`${authd.url}/api/auth${path}`, { method, headers, body: body && JSON.stringify(body) });
  jar.take(response);
  return { status: response.status, body: JSON.parse(await response.text()) };
}

class Jar {
  cookies = new Map();
  header = () => [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
  take = (response) => {
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (/Max-Age=0/.test(line)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
  };
  copies = () => [...this.cookies.keys()].filter((name) => name.includes("session_data"));
}

const SIGN_UP = { email: "ada@example.com", password: PASSWORD, name: "Ada “Łovelace” 🎉" };

for (const strategy of ["compact", "jwt", "jwe"]) {
  test(`getCookieCache reads authd's copy: ${strategy}`, async (t) => {
    const authd = await startAuthd(t, { AUTHD_COOKIES__CACHE: strategy });
    const { secret, strategy: said } = await authd.ctl(["keys", "cookie-cache", "-o", "json"]);
    assert.equal(said, strategy);
    const jar = new Jar();
    const read = (with_ = secret) =>
      getCookieCache(new Request(authd.url, { headers: { cookie: jar.header() } }), { secret: with_, strategy, isSecure: false });
    assert.equal((await ask(authd, jar, "POST", "/sign-up/email", SIGN_UP)).status, 200);
    const first = await read();
    assert.equal(first.user.name, SIGN_UP.name);
    const { body } = await ask(authd, jar, "GET", "/get-session");
    const copy = await read();
    for (const part of ["user", "session"]) {
      for (const [name, value] of Object.entries(body[part])) {
        assert.deepEqual(JSON.parse(JSON.stringify(copy[part][name] ?? null)), value, `${part}.${name}`);
      }
    }
    assert.equal(await read("another secret, which is not authd's"), null);

    // A change brings the copy of what is now.
    await ask(authd, jar, "POST", "/update-user", { name: "Ada King" });
    assert.equal((await read()).user.name, "Ada King");

    // SE-08: whoever signs out leaves none behind, and authd never believes one.
    const kept = jar.header();
    await ask(authd, jar, "POST", "/sign-out", {});
    assert.deepEqual(jar.copies(), []);
    const after = await fetch(`${authd.url}/api/auth/get-session`, { headers: { cookie: kept } });
    assert.equal(await after.text(), "null");
  });

  test(`a large copy comes in chunks: ${strategy}`, async (t) => {
    const authd = await startAuthd(t, { AUTHD_COOKIES__CACHE: strategy, AUTHD_USER__FIELDS: "note = { type = 'string', required = false }" });
    const { secret } = await authd.ctl(["keys", "cookie-cache", "-o", "json"]);
    const jar = new Jar();
    const read = () => getCookieCache(new Request(authd.url, { headers: { cookie: jar.header() } }), { secret, strategy, isSecure: false });
    const large = { note: "n".repeat(900), image: `https://example.com/${"i".repeat(1900)}` };
    await ask(authd, jar, "POST", "/sign-up/email", { ...SIGN_UP, ...large }, { "user-agent": "u".repeat(500) });
    assert.ok(jar.copies().length > 1, jar.copies().join());
    assert.equal((await read()).user.note, large.note);
    for (const value of jar.cookies.values()) assert.ok(value.length <= 3800);
    await ask(authd, jar, "POST", "/update-user", { note: "short", image: null });
    assert.deepEqual(jar.copies(), ["better-auth.session_data"]);
    assert.equal((await read()).user.note, "short");
  });
}

test("a session that is not to be remembered has a copy without an age", async (t) => {
  const authd = await startAuthd(t, { AUTHD_COOKIES__CACHE: "compact" });
  const headers = { "content-type": "application/json", origin: PAGE };
  const body = JSON.stringify({ ...SIGN_UP, rememberMe: false });
  const response = await fetch(`${authd.url}/api/auth/sign-up/email`, { method: "POST", headers, body });
  const line = response.headers.getSetCookie().find((line) => line.startsWith("better-auth.session_data="));
  assert.ok(line.includes("HttpOnly") && !line.includes("Max-Age"), line);
});

test("without cookies.cache there is none, and no secret", async (t) => {
  const authd = await startAuthd(t);
  await assert.rejects(authd.ctl(["keys", "cookie-cache"]), /exit 4[^]*cookies\.cache/);
  const answer = await call("POST", `${authd.url}/api/auth/sign-up/email`, { body: SIGN_UP });
  assert.ok(answer.headers.getSetCookie().every((line) => !line.includes("session_data")));
});
