// The session as frontends hold it: the stores of the vanilla, Vue and Svelte clients, an app that keeps a token instead of
// cookies, and a page that is rendered on a server.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { createAuthClient } from "better-auth/client";
import { getSessionCookie } from "better-auth/cookies";
import { createAuthClient as createSvelteClient } from "better-auth/svelte";
import { createAuthClient as createVueClient } from "better-auth/vue";
import { createAuthClient as client16 } from "better-auth-1.6/client";
import { watch } from "vue";
import { appFetch, binaries, CookieJar, pageFetch, PASSWORD, startAuthd, testsThatNeed } from "./harness.mjs";
import { ADA, CREDENTIALS, ok, testStore, vanilla } from "./session_store.mjs";

const test = testsThatNeed([binaries]);

testStore("vanilla", { create: createAuthClient, open: vanilla });
testStore("Vue", {
  create: createVueClient,
  open: (client, see) => watch(client.useSession(), see, { immediate: true, deep: true, flush: "sync" }),
});
testStore("Svelte", { create: createSvelteClient, open: (client, see) => client.useSession().subscribe(see) });
testStore("vanilla 1.6", { create: client16, open: vanilla });

describe("an app without cookies", () => {
  const openApp = (authd, storage) =>
    createAuthClient({
      baseURL: `${authd.url}/api`,
      fetchOptions: {
        customFetchImpl: appFetch,
        auth: { type: "Bearer", token: () => storage.get("token") ?? "" },
        onSuccess: ({ response }) => {
          const token = response.headers.get("set-auth-token");
          if (token) storage.set("token", token);
        },
      },
    });

  test("signs up, keeps the token, is known after a restart of the app, changes the password, signs out", async (t) => {
    const authd = await startAuthd(t, { AUTHD_BEARER__ENABLED: "true" });
    const storage = new Map();
    let app = openApp(authd, storage);
    assert.equal(await ok(app.getSession()), null);
    const made = await ok(app.signUp.email(ADA));
    assert.ok(storage.get("token").startsWith(`${made.token}.`));

    app = openApp(authd, storage);
    assert.equal((await ok(app.getSession())).user.email, ADA.email);
    const elsewhere = new Map();
    await ok(openApp(authd, elsewhere).signIn.email(CREDENTIALS));
    assert.equal((await ok(app.listSessions())).length, 2);
    await ok(app.updateUser({ name: "Ada L" }));
    await ok(app.revokeOtherSessions());
    assert.equal(await ok(openApp(authd, elsewhere).getSession()), null);

    const before = storage.get("token");
    await ok(app.changePassword({ currentPassword: PASSWORD, newPassword: `${PASSWORD}!`, revokeOtherSessions: true }));
    assert.notEqual(storage.get("token"), before);
    assert.equal((await ok(app.getSession())).user.name, "Ada L");
    assert.equal(await ok(openApp(authd, new Map([["token", before]])).getSession()), null);

    await ok(app.signOut());
    assert.equal(await ok(app.getSession()), null);
    assert.equal((await app.listSessions()).error.status, 401);
  });

  test("gets nothing where the plugin is off", async (t) => {
    const authd = await startAuthd(t);
    const storage = new Map();
    const app = openApp(authd, storage);
    await ok(app.signUp.email(ADA));
    assert.equal(storage.size, 0);
    assert.equal(await ok(app.getSession()), null);
  });
});

test("a page that is rendered on a server shows who is signed in, by the browser's cookie", async (t) => {
  const authd = await startAuthd(t);
  const jar = new CookieJar();
  const page = createAuthClient({ baseURL: `${authd.url}/api`, fetchOptions: { customFetchImpl: pageFetch({ jar }) } });
  await ok(page.signUp.email(ADA));

  // What the server's framework hands it: the browser's request, whose cookies it sends on without an origin.
  const asked = new Request("http://localhost:5173/", { headers: { cookie: jar.header() } });
  assert.ok(getSessionCookie(asked), "the package's own helper finds the cookie by its name");
  const onServer = createAuthClient({ baseURL: `${authd.url}/api` });
  const forwarded = { headers: { cookie: asked.headers.get("cookie") } };
  assert.equal((await ok(onServer.getSession({ fetchOptions: forwarded }))).user.email, ADA.email);
  assert.equal((await ok(onServer.listAccounts({ fetchOptions: forwarded }))).length, 1);
  // What would change something needs an origin: a cookie alone proves no intent.
  assert.equal((await onServer.updateUser({ name: "Eve", fetchOptions: forwarded })).error.code, "MISSING_OR_NULL_ORIGIN");
});
