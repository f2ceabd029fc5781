// One of the two servers as the scenarios drive it: browsers with cookies, scripts without, raw requests and the client.
//
// A scenario is a list of steps. A step is one of
//   ["ada POST /sign-in/email", body, {headers}]     a raw request of Ada's browser; the body as JSON, a string as it is
//   ["ada signIn.email", args, fetchOptions]         the same browser, through the unmodified client
//   ["script GET /get-session", undefined, {headers}] somebody without cookies and origin
//   ["root becomes admin"]                            who has this address of the scenario is given the role by an operator
//   ["somebody mailed"]                               waits for the next mail with a link to anybody of this scenario
//   ["ada closes"]                                    Ada's browser is closed: cookies without an age are gone
// Bodies, headers and paths may be functions of the side, to show what an earlier answer gave: `s => s.answers[0].token`.
// A header that is `null` is left out. In a scenario `@example.com` stands for a domain of its own.

import { CookieJar, exchange, PAGE } from "../harness.mjs";

/** Where both servers have their routes. */
const MOUNT = "/api/auth";
const SCRIPT = "script";

/** What a browser sends of itself from a page of another port of the same site. */
const BROWSER = {
  "user-agent": "Mozilla/5.0 (a browser)",
  accept: "*/*",
  origin: PAGE,
  "sec-fetch-site": "same-site",
  "sec-fetch-mode": "cors",
  "sec-fetch-dest": "empty",
};
/** Both servers stand behind a proxy, which is the only way in which the real one learns of a client's address. */
const PROXY = { "x-forwarded-for": "203.0.113.7" };

export class Side {
  #jars = new Map();
  #clients = new Map();
  #createClient;
  #domain;
  #mails;
  /** The links of the mails so far. */
  links = [];
  /** The tokens of those links. */
  mailTokens = [];
  /** The bodies of the answers so far; of the client its `data`, or its `error`. */
  answers = [];
  /** The answers so far as they came. */
  raw = [];

  /**
   * @param {{url: string, publicUrl?: string, createClient: Function, clientOptions?: object, domain: string}} side
   * `publicUrl` is what the server calls itself, if that is not where it is asked.
   */
  constructor({ url, publicUrl = url, promote, mails, createClient, clientOptions = {}, domain }) {
    this.url = url;
    this.promote = promote;
    this.#mails = mails;
    this.publicUrl = publicUrl;
    this.#createClient = (options) => createClient({ ...clientOptions, ...options });
    this.#domain = domain;
  }

  jar(actor) {
    if (!this.#jars.has(actor)) this.#jars.set(actor, new CookieJar());
    return this.#jars.get(actor);
  }

  /** The value of one of the actor's cookies, by the end of its name. */
  cookie(actor, name = "session_token") {
    const pair = (this.jar(actor).header() ?? "").split("; ").find((text) => text.split("=")[0].endsWith(name));
    return pair?.slice(pair.indexOf("=") + 1);
  }

  /** What stands behind the mount in the `n`-th link from the last. */
  link(n = 1) {
    const url = this.links.at(-n);
    return url.slice(url.indexOf(MOUNT) + MOUNT.length);
  }

  /** Does a step. Answers what the caller saw, and every exchange that it took. */
  async perform([what, given, options = {}]) {
    const [actor, verb, path] = what.split(" ");
    if (verb === "closes") {
      this.jar(actor).endBrowserSession();
      this.answers.push(undefined);
      return { exchanges: [] };
    }
    if (verb === "becomes") {
      await this.promote(this.#own(`${actor}@example.com`), path);
      this.answers.push(undefined);
      return { exchanges: [] };
    }
    if (verb === "mailed") {
      const { to, url } = await this.#mails.next(this.#domain);
      this.links.push(url);
      const [place, query] = url.slice(url.indexOf(MOUNT) + MOUNT.length).split("?");
      const parameters = new URLSearchParams(query);
      const token = parameters.get("token") ?? place.split("/").at(-1);
      this.mailTokens.push(token);
      this.answers.push({ token });
      return { mail: { to, place: place.replace(token, "<mailed>"), target: parameters.get("callbackURL") }, exchanges: [] };
    }
    const evaluated = (value) => (typeof value === "function" ? value(this) : value);
    const each = (values) => Object.fromEntries(Object.entries(values).map(([name, value]) => [name, evaluated(value)]));
    if (path === undefined) {
      return this.#call(actor, verb, this.#own(evaluated(given)), this.#own(evaluated(options)));
    }
    const body = this.#own(evaluated(given));
    const headers = this.#own(each(options.headers ?? {}));
    if (body !== undefined && headers["content-type"] === undefined) headers["content-type"] = "application/json";
    const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
    const suffix = this.#own(evaluated(options.suffix ?? ""));
    const root = options.root ? "" : MOUNT;
    const answer = await this.#send(actor, { path: root + path + suffix, method: verb, headers, body: text });
    this.answers.push(parsed(answer.text));
    return { exchanges: [answer] };
  }

  async #send(actor, { path, method, headers, body }) {
    const jar = actor === SCRIPT ? undefined : this.jar(actor);
    const cookie = jar?.header();
    const all = { ...PROXY, ...(jar && BROWSER), ...(cookie !== undefined && { cookie }), ...headers };
    const sent = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null && value !== undefined));
    const answer = await exchange({ url: this.url, host: new URL(this.publicUrl).host, path, method, headers: sent, body });
    jar?.store(answer.headers);
    const seen = { method, path, ...answer };
    this.raw.push(seen);
    return seen;
  }

  async #call(actor, name, args, options) {
    const exchanges = [];
    if (!this.#clients.has(actor)) {
      const customFetchImpl = async (input, init) => {
        const asked = new Request(input, init);
        const { pathname, search } = new URL(asked.url);
        const body = asked.body === null ? undefined : await asked.text();
        const path = pathname + search;
        const answer = await this.#send(actor, { path, method: asked.method, headers: Object.fromEntries(asked.headers), body });
        this.#clients.get(actor).exchanges.push(answer);
        const { status, statusText, headers, text } = answer;
        return new Response([204, 304].includes(status) ? null : text, { status, statusText, headers });
      };
      const client = this.#createClient({ baseURL: this.url, fetchOptions: { customFetchImpl } });
      this.#clients.set(actor, { client, exchanges });
    }
    const entry = this.#clients.get(actor);
    entry.exchanges = exchanges;
    const method = name.split(".").reduce((at, part) => at[part], entry.client);
    let result;
    try {
      result = await method(args, options);
    } catch (error) {
      result = { thrown: error.name, status: error.status, error: error.error };
    }
    this.answers.push(result.data ?? result.error);
    return { result, exchanges };
  }

  /** The value with this scenario's own domain in its addresses, and its own part of names that are one user's alone. */
  #own(value) {
    if (typeof value === "string") return value.replaceAll("@example.com", `@${this.#domain}`).replaceAll("{s}", this.#domain.split(".")[0]);
    if (Array.isArray(value)) return value.map((item) => this.#own(item));
    if (value === null || typeof value !== "object" || Object.getPrototypeOf(value) !== Object.prototype) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.#own(item)]));
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
