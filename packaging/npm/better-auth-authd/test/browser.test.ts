// The page of examples/page in Chromium: real tabs, real Web Locks, real cookies, real CORS. Refreshes are counted by a proxy in
// front of authd. AUTHD_BROWSER_SCREENSHOTS=DIR keeps a picture of each step that is worth a look.

import { createReadStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { extname, join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { build } from "vite";
import { afterAll, beforeAll, expect } from "vitest";
import { ADA, after, isProgram, startAuthd, testsThatNeed, until } from "./authd.js";
import { serve, startApi, startProxy } from "./servers.js";

const EXAMPLE = join(import.meta.dirname, "../examples/page");
const SCREENSHOTS = process.env["AUTHD_BROWSER_SCREENSHOTS"];
const CHROMIUM = process.env["CHROMIUM_BIN"] || ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(isProgram);
const TYPES: Record<string, string> = { ".html": "text/html; charset=utf-8", ".js": "text/javascript" };
const LIFE = 15 * 60_000;

const test = testsThatNeed([{ what: "Chromium (CHROMIUM_BIN names another)", isThere: CHROMIUM !== undefined }]);

let browser: Browser;
beforeAll(async () => {
  if (CHROMIUM === undefined) return;
  await build({ root: EXAMPLE, logLevel: "error", mode: "production" });
  // The sandbox is the container's where the tests run as root.
  browser = await chromium.launch({ executablePath: CHROMIUM, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
});
afterAll(() => browser?.close());

/** authd, a proxy in front of it, an API, the page's own server, and a browser. */
async function start(env: Record<string, string> = {}, { host = "localhost", options = {} } = {}) {
  const authd = await startAuthd(env);
  const proxy = await startProxy(authd);
  const config = { baseURL: `${proxy.url}/api`, api: await startApi(authd), options };
  const port = await serve((asked, answered) => {
    const { pathname } = new URL(asked.url!, "http://localhost");
    if (pathname === "/config.js") {
      answered.writeHead(200, { "content-type": "text/javascript" }).end(`window.config = ${JSON.stringify(config)};`);
      return;
    }
    const file = pathname === "/" ? "/index.html" : pathname;
    const stream = createReadStream(join(EXAMPLE, "dist", file));
    stream.on("error", () => answered.writeHead(404).end());
    stream.once("open", () => answered.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" }));
    stream.pipe(answered);
  });
  const context = await browser.newContext({ viewport: { width: 640, height: 520 } });
  after(() => context.close());
  return { authd, proxy, context, origin: `http://${host}:${port}` };
}

async function openTab(context: BrowserContext, origin: string): Promise<Page> {
  const tab = await context.newPage();
  await tab.goto(origin);
  return tab;
}

const says = (tab: Page, text: string | RegExp) => tab.getByText(text).waitFor();
const greets = (tab: Page) => tab.getByRole("heading", { name: "Hello, Ada" }).waitFor();
const knowsNobody = (tab: Page) => tab.getByRole("heading", { name: "Nobody is signed in" }).waitFor();
const token = (tab: Page) => tab.evaluate(() => (window as any).authClient.accessToken() as Promise<string | null>);

async function signUp(tab: Page): Promise<void> {
  await knowsNobody(tab);
  const form = tab.getByRole("form", { name: "Sign up" });
  for (const [name, value] of Object.entries(ADA)) await form.getByPlaceholder(name, { exact: true }).fill(value);
  await form.getByRole("button").click();
  await greets(tab);
}

async function picture(tab: Page, name: string): Promise<void> {
  if (!SCREENSHOTS) return;
  await mkdir(SCREENSHOTS, { recursive: true });
  await tab.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}

test("two tabs with short-lived tokens: one refresh for both, each time", async () => {
  const { context, origin, proxy } = await start({ AUTHD_TOKEN__EXPIRES_IN: "5s" });
  const one = await openTab(context, origin);
  await signUp(one);
  const other = await openTab(context, origin);
  await greets(other);
  await until(async () => [await token(one), await token(other)], ([a, b]) => a !== null && b !== null);
  // Each took a token of its own when it opened. From the first one that they share, each is of one refresh.
  const shared = await until(async () => [await token(one), await token(other)], ([a, b]) => a === b);
  let last = shared[0];
  const before = proxy.refreshes();
  for (let turn = 1; turn <= 3; turn += 1) {
    const [next] = await until(async () => [await token(one), await token(other)], ([a, b]) => a !== last && a === b);
    last = next!;
    expect(proxy.refreshes() - before).toBe(turn);
  }
  await one.getByRole("button", { name: "Call the API" }).click();
  await says(one, /the API says: 200 \w+/);
  await picture(one, "npm-api");
});

test("a token that is fast-forwarded to its end in ten tabs: one refresh", async () => {
  const { context, origin, proxy } = await start();
  await context.clock.install();
  const one = await openTab(context, origin);
  await signUp(one);
  const tabs = [one];
  for (let opened = 1; opened < 10; opened += 1) tabs.push(await openTab(context, origin));
  await Promise.all(tabs.map(greets));
  await Promise.all(tabs.map(token));
  const before = proxy.refreshes();
  await context.clock.fastForward(LIFE - 50_000);
  const tokens = await Promise.all(tabs.map(token));
  expect(new Set(tokens).size).toBe(1);
  expect(proxy.refreshes() - before).toBe(1);
});

test("rf_06 the page keeps nothing that a script could take away for long, and a reload goes on by the cookie", async () => {
  const { context, origin } = await start();
  const tab = await openTab(context, origin);
  await picture(tab, "npm-nobody");
  await signUp(tab);
  expect(await token(tab)).not.toBe(null);
  const kept = await tab.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }]));
  expect(kept).not.toMatch(/eyJ|authd-rt/);
  await tab.reload();
  await greets(tab);
  expect(await token(tab)).not.toBe(null);
});

test("sign out in one tab, and the other has no token any more", async () => {
  const { context, origin } = await start();
  const one = await openTab(context, origin);
  await signUp(one);
  const other = await openTab(context, origin);
  await greets(other);
  expect(await token(other)).not.toBe(null);
  await one.getByRole("button", { name: "Sign out" }).click();
  await knowsNobody(one);
  await knowsNobody(other);
  expect([await token(one), await token(other)]).toEqual([null, null]);
  await picture(other, "npm-followed-sign-out");
});

test("a revocation by the operator is seen at the next refresh, in both tabs", async () => {
  const { authd, context, origin, proxy } = await start({ AUTHD_TOKEN__EXPIRES_IN: "5s" });
  const one = await openTab(context, origin);
  await signUp(one);
  const other = await openTab(context, origin);
  await greets(other);
  expect(await token(other)).not.toBe(null);
  await authd.ctl(["session", "revoke", "--user", ADA.email, "--yes"]);
  const revokedAt = Date.now();
  const before = proxy.refreshes();
  await Promise.all([knowsNobody(one), knowsNobody(other)]);
  console.log(`revocation seen after ${Date.now() - revokedAt} ms, with tokens of 5 s`);
  // Each tab may have had a token of its own, which is due at its own time; the first to be refused tells the other.
  expect(proxy.refreshes() - before).toBeLessThanOrEqual(2);
  expect([await token(one), await token(other)]).toEqual([null, null]);
  const told = await Promise.all([one, other].map((tab) => tab.getByText("The session has ended: SESSION_REVOKED").count()));
  expect(told.reduce((sum, count) => sum + count)).toBeGreaterThan(0);
  await picture(told[0] ? one : other, "npm-revoked");
  expect((await context.cookies(proxy.url)).filter(({ name }) => name !== "authd.device")).toEqual([]);
});

test("a page of another site: token mode, without cookies; a storage that was asked for is shared by tabs", async () => {
  // 127.0.0.1 is another site than localhost.
  const { context, origin, proxy } = await start({}, { host: "127.0.0.1", options: { storage: "localStorage" } });
  await context.clock.install();
  const one = await openTab(context, origin);
  await signUp(one);
  expect(await context.cookies(proxy.url)).toEqual([]);
  const other = await openTab(context, origin);
  await greets(other);
  expect(await token(other)).toBe(await token(one));
  expect(proxy.refreshes()).toBe(0);
  await context.clock.fastForward(LIFE);
  const tokens = await Promise.all([token(one), token(other), token(one), token(other)]);
  expect(new Set(tokens).size).toBe(1);
  expect(proxy.refreshes()).toBe(1);
  await one.reload();
  await greets(one);
  await other.getByRole("button", { name: "Sign out" }).click();
  await Promise.all([knowsNobody(one), knowsNobody(other)]);
  expect(await one.evaluate(() => JSON.stringify({ ...localStorage }))).not.toMatch(/eyJ|authd-rt/);
});
