// What two servers answered, brought to one form: ids, tokens, times and addresses of the servers become labels.

const DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/;
/** Of the connection, not of the answer. */
const OF_THE_CONNECTION = ["connection", "date", "keep-alive", "transfer-encoding", "content-length"];
/** Ages that mean something, in seconds; what is none of them is shown as it is. */
const AGES = [0, 60, 300, 600, 900, 3600, 43_200, 86_400, 604_800, 1_209_600, 2_592_000];

/** Labels of one side in one scenario. The same value has the same label in every step, and another value another one. */
export class Labels {
  #seen = new Map();
  #since = Date.now();
  #urls;
  #side;

  constructor(side) {
    this.#urls = [side.url, side.publicUrl];
    this.#side = side;
  }

  #nth(kind, value) {
    const values = this.#seen.get(kind) ?? this.#seen.set(kind, []).get(kind);
    if (!values.includes(value)) values.push(value);
    return `<${kind} ${values.indexOf(value) + 1}>`;
  }

  #time(ms) {
    // A second more on either side: a JWT has whole seconds.
    const age = AGES.find((age) => ms - age * 1000 >= this.#since - 1000 && ms - age * 1000 <= Date.now() + 1000);
    return age === undefined ? `<${new Date(ms).toISOString()}>` : `<now + ${age} s>`;
  }

  #text(text) {
    text = this.#side.mailTokens?.reduce((text, token) => text.replaceAll(token, "<mailed>"), text) ?? text;
    return this.#urls.reduce((text, url) => text.replaceAll(url, "<server>").replaceAll(encodeURIComponent(url), "<server>"), text);
  }

  jwt(text) {
    const part = (n) => JSON.parse(Buffer.from(text.split(".")[n], "base64url").toString());
    const { iat, nbf, exp, ...claims } = part(1);
    const times = Object.entries({ iat, nbf, exp }).filter(([, value]) => value !== undefined);
    return {
      header: this.value(part(0)),
      claims: { ...this.value(claims), ...Object.fromEntries(times.map(([name, s]) => [name, this.#time(s * 1000)])) },
      signature: text.split(".")[2].length,
    };
  }

  /** A value of a body, by the name it stands under. */
  value(value, name = "", parent = "") {
    if (value instanceof Date) return { date: this.#time(value.getTime()) };
    if (Array.isArray(value)) return value.map((item) => this.value(item, name, parent));
    if (typeof value === "object" && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.value(item, key, name)]));
    }
    if (typeof value !== "string") return value;
    if (DATE.test(value)) return this.#time(Date.parse(value));
    if (name === "token" && JWT.test(value)) return this.jwt(value);
    if (value !== "") {
      if (["id", "userId", "accountId", "sub", "impersonatedBy"].includes(name)) return this.#nth("id", value);
      if (["sid", "jti", "kid"].includes(name)) return this.#nth(name, value);
      if (name === "token") return this.#nth("token", value);
      // Keys are of each server's own, and of the same size.
      if (parent === "keys" && ["x", "y", "n"].includes(name)) return `<${value.length} characters>`;
    }
    return this.#text(value);
  }

  #signed(value) {
    const text = decodeURIComponent(value);
    const at = text.lastIndexOf(".");
    const [shown, signature] = [text.slice(0, at), text.slice(at + 1)];
    if (at < 0 || !/^[A-Za-z0-9+/]{43}=$/.test(signature)) return value;
    return `${shown === "true" ? "true" : this.#nth("cookie", shown)}, signed`;
  }

  #cookie(line) {
    const [pair, ...attributes] = line.split("; ");
    const at = pair.indexOf("=");
    return { name: pair.slice(0, at), value: this.#signed(pair.slice(at + 1)), attributes: attributes.join("; ") };
  }

  #headers(headers) {
    const kept = [...headers].filter(([name]) => ![...OF_THE_CONNECTION, "set-cookie"].includes(name));
    return Object.fromEntries(
      kept.map(([name, value]) => {
        if (name === "set-auth-jwt") return [name, this.jwt(value)];
        if (name === "set-auth-token") return [name, this.#signed(encodeURIComponent(value))];
        // What is left of a window depends on the moment.
        if (name === "x-retry-after" && /^([1-9]|10)$/.test(value)) return [name, "<up to 10 s>"];
        return [name, this.#text(value)];
      }),
    );
  }

  /** What a step gave, all of it. */
  step({ result, mail, exchanges }) {
    const shown = exchanges.map(({ method, path, status, statusText, headers, text }) => {
      let body = text;
      try {
        body = JSON.parse(text);
      } catch {
        // A text then.
      }
      const cookies = withoutMark(headers.getSetCookie()).map((line) => this.#cookie(line));
      return { method, path: this.#text(path.split("?")[0]), status, statusText, headers: this.#headers(headers), cookies, body: this.value(body) };
    });
    return { ...(result !== undefined && { client: this.value(result) }), ...(mail && { mail }), exchanges: shown };
  }
}

/**
 * TH-02: where a user signs in, authd marks the device by one cookie of its own behind all others. Clients keep it as any cookie, and
 * nothing reads it; anywhere else, or in another form, it counts as a difference.
 */
function withoutMark(cookies) {
  const isMark = /^(__Secure-)?authd\.device=[\w.%~-]+; Max-Age=\d+; (Domain=[\w.-]+; )?Path=\/; HttpOnly; (Secure; )?SameSite=Lax$/;
  return isMark.test(cookies.at(-1) ?? "") ? cookies.slice(0, -1) : cookies;
}

const isObject = (value) => typeof value === "object" && value !== null;

/** Every place where the two differ: `{at, theirs, ours}`. Absent is not null, and a list is compared item by item. */
export function differences(theirs, ours, at = "") {
  if (isObject(theirs) && isObject(ours) && Array.isArray(theirs) === Array.isArray(ours)) {
    if (Array.isArray(theirs) && theirs.length !== ours.length) return [{ at, theirs, ours }];
    const names = [...new Set([...Object.keys(theirs), ...Object.keys(ours)])];
    return names.flatMap((name) => differences(theirs[name], ours[name], at === "" ? name : `${at}.${name}`));
  }
  return Object.is(theirs, ours) ? [] : [{ at, theirs, ours }];
}
