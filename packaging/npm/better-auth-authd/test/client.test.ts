// The client plugin against a real authd, as a page of the same site has it, and as an app or a page of another site does.

import { createServer } from "node:http";
import { decodeJwt, decodeProtectedHeader } from "jose";
import { createAuthClient } from "better-auth/client";
import { type AuthdClientOptions, authdClient, AuthdSettingError, AuthdUnreachableError } from "better-auth-authd/client";
import { describe, expect } from "vitest";
import { ADA, after, type Authd, CREDENTIALS, events, PAGE, startAuthd, test, until } from "./authd.js";
import { Device, watchSession } from "./device.js";

const MINUTE = 60_000;
/** The life of an access token, as authd has it by default. */
const LIFE = 15 * MINUTE;

/** An API of the application: says who called with which token; refuses the tokens that it is told to. */
async function startApi() {
  const calls: (string | undefined)[] = [];
  const refused = new Set<string>();
  const server = createServer((asked, answered) => {
    const token = asked.headers.authorization?.replace("Bearer ", "");
    calls.push(token);
    if (asked.url === "/redirect") answered.writeHead(302, { location: "/" }).end();
    else answered.writeHead(token === undefined || refused.has(token) ? 401 : 200).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  after(() => server.close());
  const { port } = server.address() as { port: number };
  return { url: `http://127.0.0.1:${port}`, calls, refused };
}

/** authd with Ada's account, and a device on which nobody is signed in. */
async function start(env: Record<string, string> = {}, page: string | null = PAGE) {
  const authd = await startAuthd(env);
  await authd.ctl(["user", "create", "--email", ADA.email, "--name", ADA.name, "--password-stdin"], ADA.password);
  return { authd, device: new Device(authd, page) };
}

const revoke = (authd: Authd) => authd.ctl(["session", "revoke", "--user", ADA.email, "--yes"]);

describe("cookie mode, in a page of the same site", () => {
  test("signs up, in, asks who it is, refreshes and signs out", async () => {
    const authd = await startAuthd();
    const device = new Device(authd);
    const client = device.open();
    expect((await client.signup(ADA)).data?.user.email).toBe(ADA.email);
    expect(device.jar.names()).toEqual(["better-auth.session_token"]);
    expect((await client.logout()).data).toEqual({ success: true, ended: 1 });
    expect(device.jar.names()).toEqual([]);

    const { data, error } = await client.login(CREDENTIALS);
    expect(error).toBe(null);
    expect(data?.user.createdAt).toBeInstanceOf(Date);
    const me = await client.me();
    expect(me.data?.user).toEqual(data?.user);
    const token = await client.accessToken();
    expect(decodeJwt(token!)["sid"]).toBe(me.data?.session.id);
    expect(await client.refresh()).toBe(true);
    expect(await client.accessToken()).not.toBe(token);
    expect((await client.login({ ...CREDENTIALS, password: "wrong" })).error).toMatchObject({ status: 401, code: "INVALID_EMAIL_OR_PASSWORD" });
  });

  test("useSession and signOut see the session of login, and login's token is that of signIn", async () => {
    const { device } = await start();
    const [one, other] = [device.open(), device.open()];
    const [here, there] = [watchSession(one), watchSession(other)];
    await one.login(CREDENTIALS);
    await until(() => here.now.data?.user.email, (email) => email === ADA.email);
    await until(() => there.now.data?.user.email, (email) => email === ADA.email);
    await one.signOut();
    await until(() => here.now.data, (data) => data === null);
    await until(() => there.now.data, (data) => data === null);
    expect(await one.accessToken()).toBe(null);

    await other.signIn.email(CREDENTIALS);
    const session = (await other.getSession()).data!.session;
    expect(decodeJwt((await other.accessToken())!)["sid"]).toBe(session.id);
    await until(() => one.accessToken(), (token) => token !== null);
  });

  test("rf_06 no refresh token, and nothing in a storage that scripts can read", async () => {
    const { device } = await start();
    const client = device.open();
    await client.login(CREDENTIALS);
    await client.accessToken();
    expect(device.stored()).toEqual([]);
    expect(JSON.stringify(await client.login(CREDENTIALS))).not.toMatch(/eyJ|authd-rt/);
  });

  test("replaces the token a minute before it expires, where somebody looks, by whatever clock", async () => {
    const { device } = await start();
    const client = device.open();
    await client.login(CREDENTIALS);
    const token = await client.accessToken();
    await device.advance(LIFE - MINUTE - 1);
    expect(await client.accessToken()).toBe(token);
    expect(device.requests("/refresh")).toBe(0);
    await device.advance(1);
    await until(() => device.requests("/refresh"), (count) => count === 1);
    await until(() => client.accessToken(), (now) => now !== token);

    device.isVisible = false;
    await device.advance(3 * LIFE);
    expect(device.requests("/refresh"), "nobody looks, so nothing keeps the session alive").toBe(1);
    device.isVisible = true;
    await device.sleep(8 * 60 * MINUTE);
    await until(() => device.requests("/refresh"), (count) => count === 2);
  });

  test("a clock that was set back, or forward, costs a refresh and no session", async () => {
    const { device } = await start();
    const client = device.open();
    await client.login(CREDENTIALS);
    for (const jump of [-365 * 24 * 60 * MINUTE, 2 * 365 * 24 * 60 * MINUTE]) {
      device.now += jump;
      const before = device.requests("/refresh");
      expect(await client.accessToken()).not.toBe(null);
      expect(await client.accessToken()).not.toBe(null);
      expect(device.requests("/refresh")).toBe(before + 1);
    }
  });

  test("fifty calls at once in ten tabs make one refresh", async () => {
    const { device } = await start();
    const tabs = Array.from({ length: 10 }, () => device.open());
    await tabs[0]!.login(CREDENTIALS);
    await device.advance(LIFE);
    const tokens = await Promise.all(tabs.flatMap((tab) => Array.from({ length: 5 }, () => tab.accessToken())));
    expect(new Set(tokens).size).toBe(1);
    expect(device.requests("/refresh")).toBe(1);
  });

  test("an outage signs nobody out: the token is used to its end, and then it is an error", async () => {
    const { device } = await start();
    const client = device.open();
    await client.login(CREDENTIALS);
    const token = await client.accessToken();
    device.isOnline = false;
    device.now += LIFE - MINUTE;
    expect(await client.accessToken()).toBe(token);
    device.now += MINUTE;
    await expect(client.accessToken()).rejects.toThrow(AuthdUnreachableError);
    device.isOnline = true;
    expect(await client.accessToken()).not.toBe(null);
  });

  test("a revocation is seen at the next refresh, in every tab, with its reason", async () => {
    const { authd, device } = await start();
    const ends: string[] = [];
    const [one, other] = [device.open({ onSessionEnded: (code) => ends.push(code) }), device.open()];
    const there = watchSession(other);
    await one.login(CREDENTIALS);
    await until(() => there.now.data?.user.email, (email) => email === ADA.email);
    await revoke(authd);
    expect(await one.accessToken(), "up to the life of a token").not.toBe(null);
    await device.advance(LIFE - MINUTE);
    await until(() => one.accessToken(), (token) => token === null);
    expect(ends).toEqual(["SESSION_REVOKED"]);
    await until(() => there.now.data, (data) => data === null);
    expect(device.jar.names()).toEqual([]);
  });

  test("useSession's finding that the session is over takes the token too", async () => {
    const { authd, device } = await start();
    const client = device.open();
    await client.login(CREDENTIALS);
    await revoke(authd);
    expect((await client.getSession()).data).toBe(null);
    expect(await client.accessToken()).toBe(null);
    expect(device.requests("/refresh")).toBe(0);
  });
});

describe("$api", () => {
  test("takes the token to listed origins, refreshes once on a 401, and never goes elsewhere", async () => {
    const { device } = await start();
    const [api, foreign] = [await startApi(), await startApi()];
    const client = device.open({ apiOrigins: [api.url] });
    expect((await client.$api(`${api.url}/`)).status).toBe(401);
    expect(api.calls).toEqual([undefined]);
    await client.login(CREDENTIALS);
    const token = await client.accessToken();
    expect((await client.$api(`${api.url}/`, { method: "POST", body: "a body" })).status).toBe(200);
    api.refused.add(token!);
    expect((await client.$api(`${api.url}/`, { method: "POST", body: "a body" })).status).toBe(200);
    expect(api.calls).toEqual([undefined, token, token, await client.accessToken()]);
    expect(device.requests("/refresh"), "none for nobody but the first, one for the 401").toBe(2);

    await expect(client.$api(`${foreign.url}/`)).rejects.toThrow(/apiOrigins: http:.* is not in it/);
    await expect(client.$api(`${api.url}/redirect`)).rejects.toThrow(TypeError);
    await expect(client.$fetch(`${foreign.url}/`)).rejects.toThrow(/CORS/);
    expect(foreign.calls.filter((found) => found !== undefined)).toEqual([]);
  });

  test("an API that refuses every token gets two, and nobody is signed out", async () => {
    const { device } = await start();
    const api = await startApi();
    const client = device.open({ apiOrigins: [api.url] });
    await client.login(CREDENTIALS);
    api.refused.has = () => true;
    expect((await client.$api(`${api.url}/`)).status).toBe(401);
    expect(api.calls.length).toBe(2);
    expect(await client.accessToken()).not.toBe(null);
  });
});

describe("token mode", () => {
  const modes: [string, AuthdClientOptions, string | null][] = [
    ["in a process, in memory", {}, null],
    ["in a page of another site, in memory", { mode: "token" }, PAGE],
    ["in a page, in a storage that was asked for", { mode: "token", storage: "localStorage" }, PAGE],
  ];
  test.for(modes)("%s: signs in, refreshes, signs out, without a cookie", async ([, options, page]) => {
    const { device, authd } = await start({}, page);
    const client = device.open(options);
    expect((await client.login(CREDENTIALS)).data?.user.email).toBe(ADA.email);
    expect(device.jar.names()).toEqual([]);
    expect((await client.getSession()).data?.user.email).toBe(ADA.email);
    expect((await client.me()).data?.user.email).toBe(ADA.email);
    const token = await client.accessToken();
    device.now += LIFE;
    expect(await client.accessToken()).not.toBe(token);
    expect(device.requests("/refresh")).toBe(1);
    expect(device.stored().length).toBe(options.storage === undefined ? 0 : 1);
    expect((await client.signOut()).error).toBe(null);
    expect((await client.getSession()).data).toBe(null);
    expect(await client.accessToken()).toBe(null);
    expect(device.stored()).toEqual([]);
    expect(await authd.ctl(["session", "list", "--user", ADA.email, "-o", "json"])).toEqual([]);
  });

  test("a change of the password brings other tokens", async () => {
    const { device } = await start({}, null);
    const client = device.open();
    await client.login(CREDENTIALS);
    const before = (await client.me()).data!.session.id;
    const newPassword = "quartz lantern mosaic 82";
    expect((await client.changePassword({ currentPassword: ADA.password, newPassword, revokeOtherSessions: true })).error).toBe(null);
    expect((await client.me()).data!.session.id).not.toBe(before);
    expect(await client.refresh()).toBe(true);
  });

  test("se_04 a second sign-in leaves one session", async () => {
    const { authd, device } = await start({}, null);
    const client = device.open();
    await client.login(CREDENTIALS);
    await client.login(CREDENTIALS);
    expect((await authd.ctl(["session", "list", "--user", ADA.email, "-o", "json"])).length).toBe(1);
    expect((await client.me()).data?.user.email).toBe(ADA.email);
  });

  test("a token that authd refuses before its time costs a refresh, not the session in useSession", async () => {
    const { authd, device } = await start({}, null);
    const client = device.open();
    await client.login(CREDENTIALS);
    await authd.ctl(["keys", "revoke", decodeProtectedHeader((await client.accessToken())!).kid!, "--yes"]);
    expect((await client.getSession()).data?.user.email).toBe(ADA.email);
    expect(device.requests("/refresh")).toBe(1);
  });

  test("a sign-out reaches tabs that have sessions of their own", async () => {
    const { device, authd } = await start();
    const [one, other] = [device.open({ mode: "token" }), device.open({ mode: "token" })];
    await one.login(CREDENTIALS);
    await other.login(CREDENTIALS);
    await one.logout();
    await until(() => other.accessToken(), (token) => token === null);
    await until(
      () => authd.ctl(["session", "list", "--user", ADA.email, "-o", "json"]),
      (sessions) => sessions.length === 0,
    );
  });

  test("rf_02 a copy of a refresh token ends the session at the second use, and both are told", async () => {
    // Without the window for tabs: any second use of a used token, but for that of a lost answer, is a theft.
    const { device, authd } = await start({ AUTHD_SESSION__REUSE_WINDOW: "0s" });
    const ends: string[] = [];
    const options: AuthdClientOptions = { mode: "token", storage: "localStorage", onSessionEnded: (code) => ends.push(code) };
    const client = device.open(options);
    await client.login(CREDENTIALS);
    const stolen: { refreshToken: string } = JSON.parse(device.stored()[0]!);
    const thief = (token: string) =>
      fetch(`${authd.url}/api/refresh`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ refresh_token: token }),
      });
    expect(await client.refresh()).toBe(true);
    expect(await client.refresh()).toBe(true);
    const refused = await thief(stolen.refreshToken);
    expect([refused.status, (await refused.json()).code]).toEqual([401, "REFRESH_TOKEN_REUSED"]);
    expect((await events(authd))["token.refresh_reused"]).toBe(1);
    expect(await client.refresh(), "the owner's session is dead as well").toBe(false);
    expect(await client.accessToken()).toBe(null);
    expect(ends.length).toBe(1);
    expect(device.stored()).toEqual([]);
  });
});

describe("what is wrong is named", () => {
  const make = (options: AuthdClientOptions, baseURL: string | undefined, page?: string) => () =>
    createAuthClient({ ...(baseURL && { baseURL }), plugins: [authdClient({ ...options, platform: { page } })] });
  const wrong: [string, () => unknown][] = [
    ["baseURL", make({}, undefined)],
    ["storage", make({ storage: "localStorage" }, "https://auth.example.com/api", "https://app.example.com")],
    ["apiOrigins", make({ apiOrigins: ["https://api.example.com/v1"] }, "https://auth.example.com/api")],
    ["apiOrigins", make({ apiOrigins: ["http://api.example.com"] }, "https://auth.example.com/api")],
    ["apiOrigins", make({ apiOrigins: ["api.example.com"] }, "https://auth.example.com/api")],
  ];
  test.for(wrong)("%s", ([setting, make]) => {
    expect(make).toThrow(AuthdSettingError);
    expect(make).toThrow(new RegExp(`^authd: ${setting}: `));
  });

  test("tokens do not go over plain http", async () => {
    const client = createAuthClient({ baseURL: "http://auth.example.com/api", plugins: [authdClient()] });
    await expect(client.login(CREDENTIALS)).rejects.toThrow(/^authd: baseURL: http:\/\/auth.example.com is plain http/);
  });

  test("cookie mode is for pages of the same site", async () => {
    const api = "https://auth.example.com/api";
    const storageIsRefused = (page: string | undefined) => {
      try {
        make({ storage: "localStorage" }, api, page)();
        return false;
      } catch {
        return true;
      }
    };
    for (const page of ["https://app.example.com", "https://example.com", "https://auth.example.com:8443"]) expect(storageIsRefused(page), page).toBe(true);
    for (const page of ["http://app.example.com", "https://example.org", undefined]) expect(storageIsRefused(page), page).toBe(false);
  });

  test("a sign-in that would leave no session behind in token mode", async () => {
    const { device } = await start({}, null);
    await expect(device.open().signIn.email(CREDENTIALS)).rejects.toThrow(/^authd: mode: .*login\(\)/);
  });

  test("authd is not there, or does not trust the page", async () => {
    const authd = await startAuthd({}, { isProduction: true });
    const stranger = new Device(authd, "http://localhost:1");
    await expect(stranger.open().login(CREDENTIALS)).rejects.toThrow(/baseURL: .*cannot be reached, or does not trust this page: http:\/\/localhost:1 .*http\.trusted_origins/);
    await authd.halt();
    const app = new Device(authd, null);
    await expect(app.open().login(CREDENTIALS)).rejects.toThrow(/^authd: baseURL: http:\/\/localhost:\d+ cannot be reached$/);
    await authd.start();
  });
});
