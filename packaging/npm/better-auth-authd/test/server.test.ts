// The server plugin on the Node server of examples/node-server, against a real authd: no database, no store, cookies alone.

import { createServer } from "node:http";
import { join } from "node:path";
import { memoryAdapter } from "better-auth/adapters/memory";
import { createAuthClient } from "better-auth/client";
import { afterEach, describe, expect, vi } from "vitest";
import { createAuth } from "../examples/node-server/auth.mjs";
import { createApp } from "../examples/node-server/server.mjs";
import { ADA, type Authd, call, CookieJar, CREDENTIALS, events, pageFetch, startAuthd, test } from "./authd.js";
import { listen, startApi, startProgram, startProxy } from "./servers.js";

const MINUTE = 60_000;
const LIFE = 15 * MINUTE;
const SECRET = "a secret for tests, of more than 32 characters: 0f8e7a6b5c4d";

afterEach(() => void vi.useRealTimers());

/** This server's time goes on, and nothing else's. */
function later(ms: number): void {
  const now = Date.now();
  vi.useFakeTimers({ toFake: ["Date"], now: now + ms });
}

interface Instance {
  authd: Authd;
  url?: string;
  secret?: string;
  options?: object;
  logs?: string[];
}

/** An instance of the application's server, which shares nothing with others but the secret. */
async function startApp({ authd, url = authd.url, secret = SECRET, options = {}, logs = [] }: Instance) {
  const api = await startApi(authd);
  const server = createServer();
  const port = await listen(server);
  const origin = `http://localhost:${port}`;
  const logger = { log: (_level: string, message: string, ...more: unknown[]) => void logs.push([message, ...more].map(String).join(" ")) };
  const auth = createAuth({ url, secret, baseURL: origin, ...{ logger, rateLimit: { enabled: false } }, ...options });
  server.on("request", createApp(auth, api).listeners("request")[0] as never);
  return { origin, auth };
}

/** A browser with its own cookies, somewhere on the internet. */
function open({ origin }: { origin: string }, { jar = new CookieJar(), address = "203.0.113.7" } = {}) {
  const send = pageFetch({ origin, jar, enforcesCors: false });
  const customFetchImpl = ((input: string, init?: RequestInit) => {
    const headers = new Headers(init?.headers);
    if (address !== "") headers.set("x-forwarded-for", address); // by the proxy in front of the application
    return send(input, { ...init, headers });
  }) as typeof fetch;
  const client = createAuthClient({ baseURL: origin, fetchOptions: { customFetchImpl } });
  const get = async (path: string) => (await customFetchImpl(origin + path)).text();
  return { jar, client, get, headers: () => new Headers({ cookie: jar.header() ?? "", "x-forwarded-for": address }) };
}

/** authd that takes this machine's word about clients, and has Ada's account. */
async function start(env: Record<string, string> = {}) {
  const authd = await startAuthd({ AUTHD_HTTP__TRUSTED_PROXIES: "127.0.0.1,::1", ...env });
  await authd.ctl(["user", "create", "--email", ADA.email, "--name", ADA.name, "--password-stdin"], ADA.password);
  return authd;
}

const sessions = (authd: Authd) => authd.ctl(["session", "list", "--user", ADA.email, "-o", "json"]);
const revoke = (authd: Authd) => authd.ctl(["session", "revoke", "--user", ADA.email, "--yes"]);

describe("the session", () => {
  test("is made by sign-up and sign-in, and read by pages, route handlers and other instances", async () => {
    const authd = await start();
    const app = await startApp({ authd });
    const { client, jar, get } = open(app);
    expect(await get("/")).toBe("<h1>Nobody is signed in</h1>");
    const made = await client.signUp.email({ ...ADA, email: "bob@example.com", name: "Bob" });
    expect(made.data?.user.email).toBe("bob@example.com");
    await client.signOut();
    expect(jar.names()).toEqual([]);
    const { data } = await client.signIn.email(CREDENTIALS);
    expect(data).toMatchObject({ redirect: false, user: { email: ADA.email } });
    const { session, user } = (await client.getSession()).data!;
    expect(user.createdAt).toBeInstanceOf(Date);
    expect([session.token, session.id]).toEqual([data!.token, (await sessions(authd))[0].id]);
    expect(await get("/")).toBe("<h1>Hello, Ada</h1>");
    expect(await get("/whoami")).toBe(user.id);

    const second = await startApp({ authd });
    expect(await open(second, { jar }).get("/")).toBe("<h1>Hello, Ada</h1>");
    const foreign = await startApp({ authd, secret: SECRET.split("").reverse().join("") });
    expect(await open(foreign, { jar }).get("/")).toBe("<h1>Nobody is signed in</h1>");
  });

  test("rf_06 holds authd's tokens encrypted, where no script can read them", async () => {
    const authd = await start();
    const app = await startApp({ authd });
    const { client, jar, headers } = open(app);
    await client.signIn.email(CREDENTIALS);
    for (const name of jar.names()) expect(jar.attributes(name), name).toMatchObject({ httponly: "", samesite: "Lax", path: "/" });
    const { accessToken } = await app.auth.api.authdAccessToken({ headers: headers() });
    const shown = jar.header() + (await (await fetch(`${app.origin}/api/auth/get-session`, { headers: headers() })).text());
    expect(shown).not.toContain(accessToken.split(".")[1]);
    expect(decodeURIComponent(shown)).not.toMatch(/authd-rt/);
    // Only server code can ask for it.
    for (const path of ["/authd-access-token", "/authd/access-token"]) {
      expect((await fetch(`${app.origin}/api/auth${path}`, { headers: headers() })).status).toBe(404);
    }
  });

  test("is asked after when its token approaches its end, once for all requests of a page", async () => {
    const authd = await start();
    const proxy = await startProxy(authd);
    const app = await startApp({ authd, url: proxy.url });
    const { client, jar, headers } = open(app);
    await client.signIn.email(CREDENTIALS);
    const token = async () => (await app.auth.api.authdAccessToken({ headers: headers() })).accessToken;
    const first = await token();
    later(LIFE - MINUTE - 5_000);
    await client.getSession();
    expect([await token(), proxy.refreshes()]).toEqual([first, 0]);
    later(6_000);
    const before = jar.header();
    const tokens = await Promise.all(Array.from({ length: 20 }, token));
    expect([new Set(tokens).size, proxy.refreshes()]).toEqual([1, 1]);
    expect(tokens[0]).not.toBe(first);
    await client.getSession();
    expect(jar.header()).not.toBe(before);
    const refreshed = proxy.refreshes();
    expect(await token()).not.toBe(first);
    expect(proxy.refreshes(), "the browser has the new token").toBe(refreshed);
  });

  test("rf_04 survives pages that cannot set cookies: their refreshes count as lost answers", async () => {
    const authd = await start({ AUTHD_SESSION__REUSE_WINDOW: "0s" });
    const app = await startApp({ authd });
    const { client, get } = open(app);
    await client.signIn.email(CREDENTIALS);
    for (let day = 0; day < 3; day += 1) {
      later(LIFE);
      for (let page = 0; page < 3; page += 1) expect(await get("/")).toBe("<h1>Hello, Ada</h1>");
      expect((await client.getSession()).data?.user.email).toBe(ADA.email);
    }
    expect((await events(authd))["token.refresh_reused"]).toBe(undefined);
  });

  test("ends in authd and in the browser at sign-out", async () => {
    const authd = await start();
    const { client, jar, get } = open(await startApp({ authd }));
    await client.signIn.email(CREDENTIALS);
    expect((await sessions(authd)).length).toBe(1);
    expect((await client.signOut()).data).toEqual({ success: true });
    expect([jar.names(), await sessions(authd)]).toEqual([[], []]);
    expect(await get("/")).toBe("<h1>Nobody is signed in</h1>");
    expect(await get("/whoami")).toBe("UNAUTHORIZED");
  });

  test("se_04 of before ends when the same browser signs in again", async () => {
    const authd = await start();
    const { client } = open(await startApp({ authd }));
    await client.signIn.email(CREDENTIALS);
    const { data } = await client.signIn.email(CREDENTIALS);
    expect((await sessions(authd)).map(({ id }: { id: string }) => id)).toEqual([data!.token]);
  });

  test("ends in the browser even if authd is down, which is said", async () => {
    const authd = await start();
    const { client, jar } = open(await startApp({ authd }));
    await client.signIn.email(CREDENTIALS);
    await authd.halt();
    expect((await client.signOut()).error).toMatchObject({ status: 503, code: "AUTHD_UNREACHABLE" });
    expect(jar.names()).toEqual([]);
    await authd.start();
  });

  test("that was revoked is gone at the next refresh: within the life of a token", async () => {
    const authd = await start();
    const { client, jar, get } = open(await startApp({ authd }));
    await client.signIn.email(CREDENTIALS);
    await revoke(authd);
    expect((await client.getSession()).data?.user.email, "within the bound").toBe(ADA.email);
    later(LIFE - MINUTE);
    expect(await get("/")).toBe("<h1>Nobody is signed in</h1>");
    expect(await get("/whoami")).toBe("UNAUTHORIZED");
    expect((await client.getSession()).data).toBe(null);
    expect(jar.names()).toEqual([]);
  });

  test("is asked after at once by who does not want what is in the cookies", async () => {
    const authd = await start();
    const { client, jar } = open(await startApp({ authd }));
    const ask = () => client.getSession({ query: { disableCookieCache: true } });
    expect((await ask()).data).toBe(null);
    await client.signIn.email(CREDENTIALS);
    expect((await ask()).data?.user.email).toBe(ADA.email);
    await revoke(authd);
    expect((await ask()).data).toBe(null);
    expect(jar.names()).toEqual([]);
  });

  test("sees a change of the user at the next refresh", async () => {
    const authd = await start();
    const app = await startApp({ authd });
    const { client, get, headers } = open(app);
    await client.signIn.email(CREDENTIALS);
    const { accessToken: token } = await app.auth.api.authdAccessToken({ headers: headers() });
    expect((await call("POST", `${authd.url}/api/update-user`, { token, body: { name: "Ada L" } })).status).toBe(200);
    later(LIFE);
    expect(await get("/")).toBe("<h1>Hello, Ada L</h1>");
  });

  test("that is not to be remembered ends with the browser, and not before", async () => {
    const authd = await start();
    const { client, jar, get } = open(await startApp({ authd }));
    await client.signIn.email({ ...CREDENTIALS, rememberMe: false });
    for (const name of jar.names()) expect(jar.attributes(name), name).not.toHaveProperty("max-age");
    later(10 * MINUTE);
    expect(await get("/")).toBe("<h1>Hello, Ada</h1>");
    expect((await client.getSession()).data?.user.email).toBe(ADA.email);
    // But for the cache of the session, which is nothing without the other two.
    const lasting = jar.names().filter((name) => jar.attributes(name)?.["max-age"] !== undefined);
    expect(lasting).toEqual(["better-auth.session_data"]);
    jar.endBrowserSession();
    expect(await get("/")).toBe("<h1>Nobody is signed in</h1>");
  });

  test("outlives an outage of authd until its token ends, and is there again afterwards", async () => {
    const authd = await start();
    const logs: string[] = [];
    const { client, jar, get } = open(await startApp({ authd, logs }));
    await client.signIn.email(CREDENTIALS);
    await authd.halt();
    later(LIFE - MINUTE);
    expect(await get("/")).toBe("<h1>Hello, Ada</h1>");
    later(MINUTE);
    expect((await client.getSession()).error).toMatchObject({ status: 503, code: "AUTHD_UNREACHABLE" });
    expect(await get("/")).toBe("AUTHD_UNREACHABLE");
    expect(logs.join("\n")).toMatch(/authd: url: nothing answers at http:\/\/localhost:\d+\/api\/auth/);
    expect(jar.names()).not.toEqual([]);
    await authd.start();
    expect(await get("/")).toBe("<h1>Hello, Ada</h1>");
  });

  test("that has no tokens beside it is none", async () => {
    const authd = await start();
    const app = await startApp({ authd });
    const { client, jar } = open(app);
    await client.signIn.email(CREDENTIALS);
    const planted = jar.header()!.split("; ").filter((pair) => !pair.includes("authd_tokens")).join("; ");
    expect(await app.auth.api.getSession({ headers: new Headers({ cookie: planted }) })).toBe(null);
  });
});

test("the example runs as it is installed, by its environment alone", async () => {
  const authd = await start();
  const env = { NODE_ENV: "production", AUTHD_URL: authd.url, BETTER_AUTH_SECRET: SECRET, API_URL: await startApi(authd) };
  const origin = await startProgram(process.execPath, [join(import.meta.dirname, "../examples/node-server/server.mjs")], env);
  const { client, get } = open({ origin });
  expect((await client.signIn.email(CREDENTIALS)).error).toBe(null);
  expect(await get("/")).toBe("<h1>Hello, Ada</h1>");
  expect(await get("/whoami")).toBe((await client.getSession()).data!.user.id);
});

describe("clients", () => {
  test("th_04 are told apart by authd's throttles, and named in its listings", async () => {
    const authd = await start({ AUTHD_THROTTLE__REQUESTS: "on" });
    const app = await startApp({ authd });
    const attacker = open(app, { address: "198.51.100.66" });
    const answers = [];
    for (let attempt = 0; attempt < 25; attempt += 1) {
      answers.push((await attacker.client.signIn.email({ email: `nobody${attempt}@example.com`, password: "wrong" })).error?.status);
    }
    expect(answers.slice(0, 20)).toEqual(Array(20).fill(401));
    expect(answers.slice(20)).toEqual(Array(5).fill(429));
    const { client } = open(app, { address: "203.0.113.7" });
    expect((await client.signIn.email(CREDENTIALS)).error).toBe(null);
    expect((await sessions(authd))[0].ipAddress).toBe("203.0.113.7");
  });

  test("that nobody names are one, which is said", async () => {
    const authd = await startAuthd();
    const logs: string[] = [];
    const { client } = open(await startApp({ authd, logs }), { address: "" });
    expect((await client.signUp.email(ADA)).error).toBe(null);
    await client.signIn.email(CREDENTIALS);
    expect(logs.filter((line) => line.includes("advanced.ipAddress")).length).toBe(1);
  });

  test("wb_02 of another origin sign nobody in", async () => {
    const authd = await start();
    const { origin } = await startApp({ authd });
    const answer = await fetch(`${origin}/api/auth/sign-in/email`, {
      method: "POST",
      headers: { "content-type": "application/json", origin: "https://evil.example" },
      body: JSON.stringify(CREDENTIALS),
    });
    expect([answer.status, (await answer.json()).code]).toEqual([403, "INVALID_ORIGIN"]);
    expect(answer.headers.getSetCookie()).toEqual([]);
  });

  test("get authd's own words when it refuses, and 404 where a database would be needed", async () => {
    const authd = await start();
    const { client } = open(await startApp({ authd }));
    expect((await client.signIn.email({ ...CREDENTIALS, password: "wrong" })).error).toMatchObject({ status: 401, code: "INVALID_EMAIL_OR_PASSWORD" });
    expect((await client.signUp.email(ADA)).error).toMatchObject({ status: 422, code: "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL" });
    expect((await client.signIn.email({ email: ADA.email } as never)).error).toMatchObject({ status: 400, code: "VALIDATION_ERROR" });
    expect((await client.updateUser({ name: "Eve" })).error?.status).toBe(404);
  });
});

describe("what is wrong is named", () => {
  test.for([
    [undefined, /^authd: url: is missing/],
    ["", /^authd: url: is missing/],
    ["localhost:8000", /^authd: url: "localhost:8000" is no http/],
  ] as const)("url: %s", ([url, said]) => {
    expect(() => createAuth({ url: url as string, secret: SECRET, baseURL: "http://localhost:3000" })).toThrow(said);
  });

  test.for([
    ["database", { database: memoryAdapter({}) }],
    ["emailAndPassword.enabled", { emailAndPassword: { enabled: true } }],
  ] as const)("%s", async ([setting, options]) => {
    const auth = createAuth({ url: "http://localhost:8000", secret: SECRET, baseURL: "http://localhost:3000", ...options } as never);
    await expect(auth.$context).rejects.toThrow(`authd: ${setting}: `);
  });

  test("nothing answers there", async () => {
    const authd = await start();
    const logs: string[] = [];
    const { client } = open(await startApp({ authd, url: "http://127.0.0.1:1", logs }));
    expect((await client.signIn.email(CREDENTIALS)).error).toMatchObject({ status: 503, code: "AUTHD_UNREACHABLE" });
    expect(logs.join("\n")).toContain("authd: url: nothing answers at http://127.0.0.1:1/api/auth");
  });

  test("authd does not trust this server about its clients", async () => {
    const authd = await startAuthd();
    const logs: string[] = [];
    const { client } = open(await startApp({ authd, logs }));
    expect((await client.signIn.email(CREDENTIALS)).error).toMatchObject({ status: 500, message: expect.stringContaining("http.trusted_proxies") });
    expect(logs.join("\n")).toContain("http.trusted_proxies");
  });

  test("authd does not go by that name", async () => {
    const authd = await startAuthd({ AUTHD_HTTP__PUBLIC_URL: "https://auth.example.com" }, { isProduction: true });
    const { client } = open(await startApp({ authd }));
    expect((await client.signIn.email(CREDENTIALS)).error).toMatchObject({ status: 500, message: expect.stringContaining("http.public_url") });
  });
});

