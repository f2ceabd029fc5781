// The unmodified Better Auth client against a real authd, as a page of another port of localhost would use it.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { createAuthClient } from "better-auth/client";
import { DEVICE_COOKIE, binaries, call, CookieJar, PAGE, pageFetch, PASSWORD, startAuthd, testsThatNeed } from "./harness.mjs";

const test = testsThatNeed([binaries]);

const SESSION_COOKIE = "better-auth.session_token";
const DAY = 24 * 60 * 60 * 1000;
const ADA = { email: "ada@example.com", password: PASSWORD, name: "Ada Lovelace" };
const CREDENTIALS = { email: ADA.email, password: PASSWORD };

/** A browser with a page open: its own cookies, and the client that the page made. */
function openPage(authd, { path = "/api", jar = new CookieJar(), ...page } = {}) {
  const customFetchImpl = pageFetch({ jar, ...page });
  return { jar, client: createAuthClient({ baseURL: authd.url + path, fetchOptions: { customFetchImpl } }) };
}

/** What the client answered, if it is a success. */
function ok({ data, error }) {
  assert.equal(error, null, JSON.stringify(error));
  return data;
}

/** The refusal that the client answered, as callers branch on it. */
function refusal({ data, error }) {
  assert.equal(data, null);
  return { status: error.status, code: error.code };
}

const isNow = (date) => Math.abs(date.getTime() - Date.now()) < 60_000;

describe("better-auth/client", () => {
  test("signs up, once", async (t) => {
    const authd = await startAuthd(t);
    const { client, jar } = openPage(authd);
    const { user, token } = ok(await client.signUp.email(ADA));
    assert.equal(typeof token, "string");
    assert.equal(user.email, ADA.email);
    assert.equal(user.name, ADA.name);
    assert.equal(user.emailVerified, false);
    assert.equal(user.image, null);
    assert.ok(user.createdAt instanceof Date && isNow(user.createdAt), `${user.createdAt}`);
    assert.deepEqual(jar.names(), [SESSION_COOKIE]);
    assert.deepEqual(jar.attributes(SESSION_COOKIE), {
      "max-age": String((7 * DAY) / 1000),
      path: "/",
      httponly: "",
      samesite: "Lax",
    });

    const other = openPage(authd);
    const again = { ...ADA, email: "ADA@example.com" };
    const duplicate = { status: 422, code: "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL" };
    assert.deepEqual(refusal(await other.client.signUp.email(again)), duplicate);
    assert.deepEqual(other.jar.names(), []);
  });

  test("signs in with the right password only", async (t) => {
    const authd = await startAuthd(t);
    ok(await openPage(authd).client.signUp.email(ADA));

    const { client, jar } = openPage(authd);
    const wrong = await client.signIn.email({ ...CREDENTIALS, password: `${PASSWORD}!` });
    assert.deepEqual(refusal(wrong), { status: 401, code: "INVALID_EMAIL_OR_PASSWORD" });
    const unknown = await client.signIn.email({ ...CREDENTIALS, email: "eve@example.com" });
    assert.deepEqual(unknown.error, wrong.error, "whether the address is known does not show");
    assert.deepEqual(jar.names(), []);

    const { user, redirect } = ok(await client.signIn.email(CREDENTIALS));
    assert.equal(user.email, ADA.email);
    assert.equal(redirect, false);
    assert.deepEqual(jar.names(), [SESSION_COOKIE]);
  });

  test("gets the session, its dates as dates", async (t) => {
    const authd = await startAuthd(t);
    const { client } = openPage(authd);
    assert.equal(ok(await client.getSession()), null);
    const made = ok(await client.signUp.email(ADA));
    const { session, user } = ok(await client.getSession());
    assert.deepEqual(user, made.user);
    assert.equal(session.userId, user.id);
    assert.equal(session.token, made.token);
    for (const date of [session.createdAt, session.updatedAt, user.createdAt, user.updatedAt]) {
      assert.ok(date instanceof Date && isNow(date), `${date}`);
    }
    assert.ok(session.expiresAt instanceof Date);
    assert.equal(session.expiresAt - session.createdAt, 7 * DAY);
  });

  test("signs out, and a copy of the cookie is worth nothing", async (t) => {
    const authd = await startAuthd(t);
    const { client, jar } = openPage(authd);
    ok(await client.signUp.email(ADA));
    const stolen = jar.header();
    assert.deepEqual(ok(await client.signOut()), { success: true });
    assert.deepEqual(jar.names(), []);
    assert.deepEqual(jar.attributes(DEVICE_COOKIE), {
      "max-age": "31536000",
      path: "/",
      httponly: "",
      samesite: "Lax",
    });
    assert.equal(ok(await client.getSession()), null, "a known device is not signed in");
    const replayed = await fetch(`${authd.url}/api/get-session`, { headers: { cookie: stolen } });
    assert.equal(replayed.status, 200);
    assert.equal(await replayed.json(), null);
    assert.deepEqual(ok(await client.signOut()), { success: true }, "twice is as good as once");
  });

  test("rememberMe: false lasts until the browser closes, and a day at most", async (t) => {
    const authd = await startAuthd(t);
    ok(await openPage(authd).client.signUp.email(ADA));
    const { client, jar } = openPage(authd);
    ok(await client.signIn.email({ ...CREDENTIALS, rememberMe: false }));
    assert.deepEqual(jar.names(), ["better-auth.dont_remember", SESSION_COOKIE]);
    const { session } = ok(await client.getSession());
    assert.equal(session.expiresAt - session.createdAt, DAY);
    jar.endBrowserSession();
    assert.deepEqual(jar.names(), []);
    assert.equal(ok(await client.getSession()), null);

    ok(await client.signIn.email({ ...CREDENTIALS, rememberMe: false }));
    ok(await client.signIn.email(CREDENTIALS));
    jar.endBrowserSession();
    assert.deepEqual(jar.names(), [SESSION_COOKIE], "a later sign-in is remembered again");
    assert.equal(ok(await client.getSession()).user.email, ADA.email);
  });

  test("the useSession store sees the session appear and disappear", async (t) => {
    const authd = await startAuthd(t);
    const { client } = openPage(authd);
    const seen = [];
    const waiting = new Set();
    const unsubscribe = client.useSession.subscribe((value) => {
      seen.push(value);
      for (const check of waiting) check(value);
    });
    t.after(unsubscribe);
    /** The first value from now on of which this holds. */
    const next = (holds, what) =>
      new Promise((resolve, reject) => {
        const overdue = () => reject(new Error(`${what}: never; the store had ${JSON.stringify(seen)}`));
        const deadline = setTimeout(overdue, 10_000);
        const check = (value) => {
          if (!holds(value)) return;
          clearTimeout(deadline);
          waiting.delete(check);
          resolve(value);
        };
        waiting.add(check);
      });
    const settled = ({ isPending, isRefetching }) => !isPending && !isRefetching;

    assert.equal(seen.length, 1);
    assert.equal(seen[0].data, null);
    assert.equal(seen[0].isPending, true);

    const appears = next((value) => settled(value) && value.data !== null, "a session after sign-up");
    ok(await client.signUp.email(ADA));
    const { data, error } = await appears;
    assert.equal(error, null);
    assert.equal(data.user.email, ADA.email);
    assert.ok(data.session.expiresAt instanceof Date);

    const disappears = next((value) => settled(value) && value.data === null, "no session after sign-out");
    ok(await client.signOut());
    assert.equal((await disappears).error, null);

    const returns = next((value) => settled(value) && value.data !== null, "a session after sign-in");
    ok(await client.signIn.email(CREDENTIALS));
    assert.equal((await returns).data.user.id, data.user.id);
  });

  test("a baseURL without a path is as good as one with /api or /api/auth", async (t) => {
    const authd = await startAuthd(t);
    const { jar, client } = openPage(authd, { path: "" });
    ok(await client.signUp.email(ADA));
    const here = ok(await client.getSession());
    for (const path of ["/", "/api", "/api/", "/api/auth"]) {
      assert.deepEqual(ok(await openPage(authd, { path, jar }).client.getSession()), here, path);
    }
    ok(await client.signOut());
    assert.equal(ok(await openPage(authd, { jar }).client.getSession()), null);
  });

  test("a foreign page is refused", async (t) => {
    const authd = await startAuthd(t);
    const { jar, client } = openPage(authd);
    ok(await client.signUp.email(ADA));
    const foreign = { origin: "https://evil.example", enforcesCors: false };
    const invalid = { status: 403, code: "INVALID_ORIGIN" };

    const riding = openPage(authd, { jar, ...foreign });
    assert.deepEqual(refusal(await riding.client.signOut()), invalid);
    const fresh = openPage(authd, foreign);
    assert.deepEqual(refusal(await fresh.client.signIn.email(CREDENTIALS)), invalid);
    assert.deepEqual(refusal(await fresh.client.signUp.email({ ...ADA, email: "eve@example.com" })), invalid);
    assert.deepEqual(fresh.jar.names(), []);
    // A real browser does not let it ask, nor read what it may ask.
    const inBrowser = openPage(authd, { jar, ...foreign, enforcesCors: true });
    await assert.rejects(inBrowser.client.signOut(), /blocked by CORS: preflight of POST/);
    await assert.rejects(inBrowser.client.getSession(), /blocked by CORS: GET/);

    assert.equal(ok(await client.getSession()).user.email, ADA.email, "nothing of it has changed the session");
    assert.deepEqual(await authd.ctl(["user", "list", "--fields", "email", "-o", "json"]), [{ email: ADA.email }]);
  });

  test("lists the sessions and ends one, the others, and all", async (t) => {
    const authd = await startAuthd(t);
    const [laptop, phone, lost] = [openPage(authd), openPage(authd), openPage(authd)];
    ok(await laptop.client.signUp.email(ADA));
    ok(await phone.client.signIn.email(CREDENTIALS));
    ok(await lost.client.signIn.email(CREDENTIALS));
    const { session } = ok(await lost.client.getSession());
    const listed = ok(await laptop.client.listSessions());
    assert.equal(listed.length, 3);
    assert.deepEqual(listed.find(({ id }) => id === session.id), session);

    assert.deepEqual(ok(await laptop.client.revokeSession({ token: session.token })), { status: true });
    assert.equal(ok(await lost.client.getSession()), null);
    assert.deepEqual(ok(await laptop.client.revokeOtherSessions()), { status: true });
    assert.equal(ok(await phone.client.getSession()), null);
    assert.equal(ok(await laptop.client.getSession()).user.email, ADA.email);
    assert.deepEqual(ok(await laptop.client.revokeSessions()), { status: true });
    assert.deepEqual(laptop.jar.names(), [], "the browser is told to forget it");
    assert.deepEqual(refusal(await laptop.client.listSessions()), { status: 401, code: "UNAUTHORIZED" });
  });

  test("changes name, picture and password", async (t) => {
    const authd = await startAuthd(t);
    const [laptop, phone] = [openPage(authd), openPage(authd)];
    ok(await laptop.client.signUp.email(ADA));
    ok(await phone.client.signIn.email(CREDENTIALS));
    assert.deepEqual(ok(await laptop.client.updateUser({ name: "Ada L", image: "https://example.com/a.png" })), {
      status: true,
    });
    const { user } = ok(await phone.client.getSession());
    assert.deepEqual([user.name, user.image], ["Ada L", "https://example.com/a.png"]);
    const accounts = ok(await laptop.client.listAccounts());
    assert.deepEqual(accounts.map(({ providerId, accountId }) => [providerId, accountId]), [["credential", user.id]]);

    const newPassword = `${PASSWORD} and more`;
    const wrong = await laptop.client.changePassword({ currentPassword: `${PASSWORD}!`, newPassword });
    assert.deepEqual(refusal(wrong), { status: 400, code: "INVALID_PASSWORD" });
    const changed = ok(await laptop.client.changePassword({ currentPassword: PASSWORD, newPassword }));
    assert.equal(changed.token, ok(await laptop.client.getSession()).session.token, "the page stays signed in");
    assert.equal(ok(await phone.client.getSession()), null);
    assert.deepEqual(refusal(await phone.client.signIn.email(CREDENTIALS)).code, "INVALID_EMAIL_OR_PASSWORD");
    ok(await phone.client.signIn.email({ ...CREDENTIALS, password: newPassword }));
  });

  test("deletes the account where the configuration lets users do it", async (t) => {
    const off = await startAuthd(t);
    const page = openPage(off);
    ok(await page.client.signUp.email(ADA));
    assert.equal((await page.client.deleteUser({ password: PASSWORD })).error.status, 404);

    const authd = await startAuthd(t, { AUTHD_ACCOUNT__SELF_DELETE: "true" });
    const { client, jar } = openPage(authd);
    ok(await client.signUp.email(ADA));
    assert.deepEqual(ok(await client.deleteUser({ password: PASSWORD })), { success: true, message: "User deleted" });
    assert.deepEqual(jar.names(), []);
    assert.equal(refusal(await client.signIn.email(CREDENTIALS)).status, 401);
  });

  test("an operator's revocation counts at the next request", async (t) => {
    const authd = await startAuthd(t);
    const laptop = openPage(authd);
    const phone = openPage(authd);
    ok(await laptop.client.signUp.email(ADA));
    ok(await phone.client.signIn.email(CREDENTIALS));
    const { session } = ok(await laptop.client.getSession());
    const listed = await authd.ctl(["session", "list", "--user", ADA.email, "-o", "json"]);
    assert.equal(listed.length, 2);
    assert.ok(listed.some(({ id }) => id === session.id));

    await authd.ctl(["session", "revoke", session.id, "--yes"]);
    assert.equal(ok(await laptop.client.getSession()), null);
    assert.deepEqual(laptop.jar.names(), [], "the browser is told to forget it");
    assert.equal(ok(await phone.client.getSession()).user.email, ADA.email);
  });

  test("a session made by /login is the one that the client sees, and the other way round", async (t) => {
    const authd = await startAuthd(t);
    const { jar, client } = openPage(authd);
    ok(await client.signUp.email(ADA));
    const fetchAsPage = pageFetch({ jar });
    const me = await fetchAsPage(`${authd.url}/api/me`);
    assert.equal(me.status, 200);
    assert.equal((await me.json()).session.id, ok(await client.getSession()).session.id);

    ok(await client.signOut());
    const signedIn = await fetchAsPage(`${authd.url}/api/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(CREDENTIALS),
    });
    assert.equal(signedIn.status, 200);
    assert.equal((await signedIn.json()).refresh_token, undefined, "a page gets no long-lived token");
    assert.equal(ok(await client.getSession()).user.email, ADA.email);
  });
});

describe("the plain endpoints", () => {
  test("a script signs up, signs in, is known by its token, and signs out", async (t) => {
    const authd = await startAuthd(t);
    const api = `${authd.url}/api/auth`;
    const made = await call("POST", `${api}/signup`, { body: ADA });
    assert.equal(made.status, 201);
    assert.equal(made.body.user.email, ADA.email);
    assert.equal(made.body.token_type, "Bearer");
    assert.deepEqual(made.headers.getSetCookie(), [], "a script gets tokens and no cookie");

    const signedIn = await call("POST", `${api}/login`, { body: CREDENTIALS });
    assert.equal(signedIn.status, 200);
    assert.equal(signedIn.body.expires_in, 15 * 60);
    assert.equal(typeof signedIn.body.refresh_token, "string");
    const token = signedIn.body.access_token;

    const me = await call("GET", `${api}/me`, { token });
    assert.equal(me.status, 200);
    assert.deepEqual(me.body.user, made.body.user);
    assert.equal((await call("GET", `${api}/me`)).status, 401);

    const signedOut = await call("POST", `${api}/logout`, { token });
    assert.equal(signedOut.status, 200);
    assert.deepEqual(signedOut.body, { success: true, ended: 1 });
    const gone = await call("GET", `${api}/me`, { token });
    assert.equal(gone.status, 401);
    assert.equal(gone.body.code, "SESSION_REVOKED");
    assert.match(gone.headers.get("www-authenticate"), /^Bearer error="invalid_token"/);
    const first = await call("GET", `${api}/me`, { token: made.body.access_token });
    assert.equal(first.status, 200, "the session of the sign-up is another one");
  });

  test("a page of a foreign origin is refused, a script without one is not", async (t) => {
    const authd = await startAuthd(t);
    const post = (headers) =>
      fetch(`${authd.url}/api/auth/signup`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify(ADA),
      });
    const refused = await post({ origin: "https://evil.example" });
    assert.equal(refused.status, 403);
    assert.equal((await refused.json()).code, "INVALID_ORIGIN");
    assert.equal((await post({})).status, 201);
    const page = await post({ origin: PAGE });
    assert.equal(page.status, 422, "it got as far as the duplicate");
  });
});
