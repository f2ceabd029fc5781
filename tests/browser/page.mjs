// The page and its browser: a React page with the unmodified Better Auth client, in Chromium, on another port than authd.
// AUTHD_BROWSER_SCREENSHOTS=DIR keeps a picture of each step that is worth a look.

import { createReadStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createServer, request } from "node:http";
import { extname, join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { binaries, isProgram, PASSWORD, startAuthd, testsThatNeed } from "../node/harness.mjs";

const DIST = fileURLToPath(new URL("dist", import.meta.url));
const SCREENSHOTS = process.env.AUTHD_BROWSER_SCREENSHOTS;
const CHROMIUM = process.env.CHROMIUM_BIN || ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(isProgram);
export const ADA = { name: "Ada", email: "ada@example.com", password: PASSWORD };

export const test = testsThatNeed([binaries, { what: "Chromium (CHROMIUM_BIN names another)", isThere: CHROMIUM !== undefined }]);

let browser;
before(async () => {
  if (CHROMIUM === undefined) return;
  // The sandbox is the container's where the tests run as root.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  browser = await chromium.launch({ executablePath: CHROMIUM, args });
});
after(() => browser?.close());

const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript" };

/** Hands a request on to another server as it is, as an application's reverse proxy does. */
function forward(asked, answered, upstream) {
  const { method, headers } = asked;
  const on = request(new URL(asked.url, upstream), { method, headers }, (answer) => {
    answered.writeHead(answer.statusCode, answer.rawHeaders);
    answer.pipe(answered);
  });
  on.on("error", () => answered.writeHead(502).end());
  asked.pipe(on);
}

/**
 * The page's own server: the built files, and what the page is configured with. Where `proxied` names an upstream, that is
 * what answers below /api. Answers the origin of the page.
 */
export async function servePage(t, config, proxied = {}) {
  const server = createServer((asked, answered) => {
    const { pathname } = new URL(asked.url, "http://localhost");
    if (proxied.upstream && pathname.startsWith("/api/")) {
      forward(asked, answered, proxied.upstream);
      return;
    }
    if (pathname === "/config.js") {
      answered.writeHead(200, { "content-type": TYPES[".js"] });
      answered.end(`window.config = ${JSON.stringify(config)};`);
      return;
    }
    const file = pathname === "/" ? "/index.html" : pathname;
    const stream = createReadStream(join(DIST, file));
    stream.on("error", () => answered.writeHead(404).end());
    stream.once("open", () => answered.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" }));
    stream.pipe(answered);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://localhost:${server.address().port}`;
}

/** A browser with cookies of its own. */
export async function openBrowser(t) {
  const context = await browser.newContext({ viewport: { width: 640, height: 520 } });
  t.after(() => context.close());
  return context;
}

/** authd, the page beside it, and a way to open browsers: each with its own cookies. */
export async function set(t, env = {}, sessionOptions = {}) {
  const authd = await startAuthd(t, env);
  const origin = await servePage(t, { baseURL: `${authd.url}/api`, sessionOptions });
  return { authd, origin, openBrowser: () => openBrowser(t) };
}

export async function openTab(context, origin) {
  const tab = await context.newPage();
  await tab.goto(origin);
  return tab;
}

export async function send(tab, label, values = {}) {
  const form = tab.getByRole("form", { name: label });
  for (const [name, value] of Object.entries(values)) await form.getByPlaceholder(name, { exact: true }).fill(value);
  await form.getByRole("button").click();
}

/** Waits for the page to say so. */
export const says = (tab, text) => tab.getByText(text).waitFor();
export const greets = (tab, name = "Ada") => tab.getByRole("heading", { name: `Hello, ${name}` }).waitFor();
export const knowsNobody = (tab) => tab.getByRole("heading", { name: "Nobody is signed in" }).waitFor();
export const askAgain = (tab) => tab.getByRole("button", { name: "Ask again" }).click();

export async function picture(tab, name) {
  if (!SCREENSHOTS) return;
  await mkdir(SCREENSHOTS, { recursive: true });
  await tab.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}

export async function signUp(tab) {
  await knowsNobody(tab);
  await send(tab, "Sign up", ADA);
  await greets(tab);
}

export async function signIn(tab, password = PASSWORD) {
  await knowsNobody(tab);
  await send(tab, "Sign in", { email: ADA.email, password });
}

/** The cookies that a browser keeps for authd, but for the mark of the device: that one outlives sessions (TH-02). */
export async function sessionCookies(context, authd) {
  return (await context.cookies(authd.url)).filter(({ name }) => name !== "authd.device");
}
