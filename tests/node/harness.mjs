// A real authd in a process of its own, authctl beside it, and a page in a browser, for the tests in this folder.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import dns from "node:dns";
import { accessSync, constants, rmSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Mails } from "./mails.mjs";

// authd listens on 127.0.0.1 and is called localhost: what somebody else has on the same port of ::1 is not asked first.
dns.setDefaultResultOrder("ipv4first");

// As Node has it, also where a test puts a page's `fetch` in its place.
const network = globalThis.fetch;

export const repository = fileURLToPath(new URL("../..", import.meta.url));
const AUTHD = process.env.AUTHD_BIN || join(repository, "target/debug/authd");
const AUTHCTL = process.env.AUTHCTL_BIN || join(repository, "target/debug/authctl");

/** Good enough for authd's own rules of passwords. */
export const PASSWORD = "plum orbit candle 47";
/** Where the page stands that the tests act as: another origin than authd's, as with every development server. */
export const PAGE = "http://localhost:5173";

/** Whether a program is there: by path, or by name in PATH. */
export function isProgram(name) {
  const paths = name.includes("/") ? [name] : (process.env.PATH ?? "").split(delimiter).map((dir) => join(dir, name));
  return paths.some((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** `test` for tests that cannot run without something: skipped without it, which is said aloud once. */
export function testsThatNeed(things) {
  const missing = things.find(({ isThere }) => !isThere)?.what;
  if (missing !== undefined) console.log(`skipped: needs ${missing}`);
  return (name, fn) => test(name, { skip: missing !== undefined && `needs ${missing}` }, fn);
}

/** For `testsThatNeed`: what every test that starts authd needs. */
export const binaries = { what: "the binaries", isThere: isProgram(AUTHD) && isProgram(AUTHCTL) };

// The caller's own AUTHD_*, AUTHCTL_*, XDG_* and proxies must not reach what is tested.
const environment = (more) => ({ PATH: process.env.PATH, ...more });

/**
 * Runs a program to its end, with this on its standard input and nothing of the environment but PATH and `env`.
 * @returns {Promise<{code: number | null, signal: string | null, stdout: string, stderr: string}>}
 */
export async function run(program, args, { env = {}, stdin = "" } = {}) {
  const child = spawn(program, args, { env: environment(env) });
  const read = async (stream) => {
    let text = "";
    for await (const chunk of stream.setEncoding("utf8")) text += chunk;
    return text;
  };
  // A program that does not read its input to the end is judged by its exit code.
  child.stdin.on("error", () => {});
  child.stdin.end(stdin);
  const [end, stdout, stderr] = await Promise.all([exit(child), read(child.stdout), read(child.stderr)]);
  return { ...end, stdout, stderr };
}

const exit = (child) =>
  new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal }));
  });

// An interrupted test run leaves no daemon behind, nor its directory.
const running = new Map();
const endAll = () => {
  for (const [child, dir] of running) {
    child.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  }
};
process.on("exit", endAll);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => {
    endAll();
    process.kill(process.pid, signal);
  });
}

/**
 * Starts authd in development mode, or with a configuration as a host has it, on a port of the system's choice, everything it
 * keeps in a new directory. The test stops it at its end, and fails if it does not stop in order.
 * @param {import("node:test").TestContext} t
 * @param {Record<string, string>} env Settings, such as AUTHD_KEYS__ALGORITHM.
 */
export async function startAuthd(t, env = {}, { isProduction = false } = {}) {
  const dir = await mkdtemp(join(tmpdir(), "authd-"));
  const home = join(dir, "home");
  const socket = join(dir, "a.sock");
  await mkdir(home);
  const flags = ["--data-dir", join(dir, "data"), "--admin-socket", socket];
  if (isProduction) {
    const made = await run(AUTHD, ["init", "--dir", dir, "--public-url", "http://localhost"], { env: { HOME: home } });
    assert.equal(made.code, 0, made.stderr);
    // Unset, it is what it listens on.
    env = { AUTHD_HTTP__PUBLIC_URL: "", ...env };
    flags.unshift("--config", join(dir, "authd.toml"));
  } else {
    flags.unshift("--development");
  }

  const mails = new Mails();
  let child;
  let ended;
  let port = 0;
  /** Starts it; again, on the port of the first time and with the data of then. */
  const start = async () => {
    const log = [];
    const all = { HOME: home, ...env };
    child = spawn(AUTHD, [...flags, "--listen", `127.0.0.1:${port}`], { env: environment(all), stdio: ["ignore", "ignore", "pipe"] });
    running.set(child, dir);
    const end = exit(child);
    ended = end.then((how) => ({ ...how, log: log.join("\n") }));
    const address = await new Promise((resolve, reject) => {
      createInterface({ input: child.stderr }).on("line", (line) => {
        log.push(line);
        const event = eventOf(line);
        if (event?.message === "authd is ready") resolve(event.address);
        if (event?.message === "a mail is in the outbox" && event.link) mails.put(event.to, { url: event.link });
      });
      end.then(({ code, signal }) => reject(new Error(`authd ended, ${code ?? signal}:\n${log.join("\n")}`)), reject);
    });
    port = Number(address.slice(address.lastIndexOf(":") + 1));
  };
  /** Ends it in order, and keeps its data. */
  const halt = async () => {
    child.kill("SIGTERM");
    const { log, ...end } = await ended;
    running.delete(child);
    assert.deepEqual(end, { code: 0, signal: null }, `authd did not stop in order:\n${log}`);
  };
  let stopping;
  const stop = () => {
    stopping ??= (async () => {
      try {
        if (running.has(child)) await halt();
      } finally {
        await rm(dir, { recursive: true, force: true });
      }
    })();
    return stopping;
  };
  t.after(stop);
  await start();

  /** Runs authctl; an exit code other than 0 is an error. With `-o json` among the arguments, answers the JSON. */
  const ctl = async (args, stdin = "") => {
    const end = await run(AUTHCTL, ["--socket", socket, ...args], { env: { HOME: home }, stdin });
    assert.equal(end.code, 0, `authctl ${args.join(" ")}: exit ${end.code ?? end.signal}\n${end.stderr}`);
    const isJson = args.includes("json");
    return isJson ? JSON.parse(end.stdout) : end.stdout;
  };
  return { url: `http://localhost:${port}`, port, socket, mails, ctl, start, halt, stop };
}

/** What a line of the log says. */
function eventOf(line) {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** A script's request: JSON in and out, no cookies, no origin. */
export async function call(method, url, { body, token } = {}) {
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  const response = await network(url, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === "" ? undefined : JSON.parse(text) };
}

/** Makes an account by the plain endpoint, without a session that the test would have to know of. */
export async function signUp(authd, email) {
  const answer = await call("POST", `${authd.url}/api/auth/signup`, { body: { email, password: PASSWORD, name: "Ada" } });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
}

/** An access token of a new session. */
export async function signIn(authd, email) {
  const answer = await call("POST", `${authd.url}/api/auth/login`, { body: { email, password: PASSWORD } });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body.access_token;
}

/** The mark by which authd knows a device at the next sign-in. */
export const DEVICE_COOKIE = "authd.device";

/**
 * One exchange, without anything that a client library would add, follow or hide.
 * @returns {Promise<{status: number, statusText: string, headers: Headers, text: string}>}
 */
export function exchange({ url, host, path, method, headers, body }) {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const message = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const sent = httpRequest({ hostname, port, path, method, headers: { host, ...headers, ...message }, agent: false }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => {
        const received = new Headers();
        const raw = answer.rawHeaders;
        for (let at = 0; at < raw.length; at += 2) received.append(raw[at], raw[at + 1]);
        const text = Buffer.concat(chunks).toString();
        resolve({ status: answer.statusCode, statusText: answer.statusMessage, headers: received, text });
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** `fetch` as an app has it: no cookies, no origin, and nothing that a browser says of itself (Node's own fetch does). */
export async function appFetch(input, init) {
  const asked = new Request(input, init);
  const { origin, host, pathname, search } = new URL(asked.url);
  const body = asked.body === null ? undefined : await asked.text();
  const headers = Object.fromEntries(asked.headers);
  const answer = await exchange({ url: origin, host, path: pathname + search, method: asked.method, headers, body });
  const { status, statusText, text } = answer;
  return new Response([204, 304].includes(status) ? null : text, { status, statusText, headers: answer.headers });
}

/** The cookies of a browser, for one host: all that authd's are about. Expiry by the clock is left out. */
export class CookieJar {
  #cookies = new Map();

  /** Takes the `Set-Cookie` headers of an answer. */
  store(headers) {
    for (const line of headers.getSetCookie()) {
      const [pair, ...attributes] = line.split(";").map((part) => part.trim());
      const [name, value] = split(pair);
      const parsed = Object.fromEntries(attributes.map(split).map(([key, text]) => [key.toLowerCase(), text]));
      if (parsed["max-age"] !== undefined && Number(parsed["max-age"]) <= 0) this.#cookies.delete(name);
      else this.#cookies.set(name, { value, attributes: parsed });
    }
  }

  /** The `Cookie` header, or undefined. */
  header() {
    const pairs = [...this.#cookies].map(([name, { value }]) => `${name}=${value}`);
    return pairs.length > 0 ? pairs.join("; ") : undefined;
  }

  /** The names of the session's cookies. The mark of a known device is not one of them: it outlives sessions. */
  names() {
    return [...this.#cookies.keys()].filter((name) => name !== DEVICE_COOKIE).sort();
  }

  /** The attributes of a cookie, names in lower case; undefined without the cookie. */
  attributes(name) {
    return this.#cookies.get(name)?.attributes;
  }

  /** Closes the browser: cookies without an age are gone. */
  endBrowserSession() {
    for (const [name, { attributes }] of this.#cookies) {
      if (attributes["max-age"] === undefined) this.#cookies.delete(name);
    }
  }
}

const split = (text) => {
  const at = text.indexOf("=");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
};

/**
 * `fetch` as a page of this origin has it: with its cookies, with `Origin`, and with the browser's part of CORS, so that an
 * answer that a page could not read is a TypeError here too.
 * @param {{origin?: string, jar?: CookieJar, enforcesCors?: boolean}} page
 */
export function pageFetch({ origin = PAGE, jar = new CookieJar(), enforcesCors = true } = {}) {
  const allows = ({ headers }) =>
    headers.get("access-control-allow-origin") === origin && headers.get("access-control-allow-credentials") === "true";
  const listed = (response, name) => (response.headers.get(name) ?? "").split(",").map((item) => item.trim().toLowerCase());

  return async (input, init = {}) => {
    const request = new Request(input, init);
    const what = `${request.method} ${request.url}`;
    const unsafe = [...request.headers.keys()].filter((name) => ["content-type", "authorization"].includes(name)).sort();
    if (enforcesCors && unsafe.length > 0) {
      const preflight = await network(request.url, {
        method: "OPTIONS",
        headers: {
          origin,
          "access-control-request-method": request.method,
          "access-control-request-headers": unsafe.join(","),
          "sec-fetch-site": "same-site",
        },
      });
      const isGranted =
        preflight.ok &&
        allows(preflight) &&
        listed(preflight, "access-control-allow-methods").includes(request.method.toLowerCase()) &&
        unsafe.every((name) => listed(preflight, "access-control-allow-headers").includes(name));
      if (!isGranted) throw new TypeError(`blocked by CORS: preflight of ${what}`);
    }
    const headers = new Headers(request.headers);
    headers.set("origin", origin);
    headers.set("sec-fetch-site", "same-site");
    const cookie = jar.header();
    if (cookie) headers.set("cookie", cookie);
    // As text, not as the request's own stream: that would be sent chunked, which browsers do not do.
    const body = request.body === null ? undefined : await request.text();
    const response = await network(request.url, { method: request.method, headers, body, signal: request.signal });
    // A browser keeps the cookies also of an answer that the page may not read.
    jar.store(response.headers);
    if (enforcesCors && !allows(response)) throw new TypeError(`blocked by CORS: ${what}`);
    return response;
  };
}
