// A comparison counts only after it was seen to catch faults: between it and authd stands a proxy that changes one thing of the
// answers, and every change must be reported, where it was made.

import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { admin, username } from "better-auth/plugins";
import { binaries, testsThatNeed } from "../harness.mjs";
import { compare, inWords, startBoth } from "./runner.mjs";
import { FIELDS_OPTIONS } from "./scenarios/fields.mjs";
import { ADA, CREDENTIALS } from "./scenarios/people.mjs";

const test = testsThatNeed([binaries]);

const STEPS = [
  ["ada POST /sign-up/email", ADA],
  ["phone POST /sign-in/email", { ...CREDENTIALS, rememberMe: false }],
  ["phone GET /get-session"],
  ["ada listSessions"],
  ["ada token"],
  ["ada GET /jwks"],
  ["ada signIn.email", { ...CREDENTIALS, password: "wrong" }],
  ["ada POST /sign-in/email", { email: ADA.email }],
  ["phone POST /sign-in/email", { ...CREDENTIALS, callbackURL: "/in" }],
  ["ada signOut"],
  ["ada GET /nothing"],
];

/** A change to the answers of one route: `change` has status, headers (a list of pairs) and the parsed body. */
const to = (route, change) => ({ route, change });
const cookie = (route, change) =>
  to(route, (answer) => {
    // Not the mark of a device, which is left out where it is as it should be.
    const isOfSession = ([name, value]) => name === "set-cookie" && !/^(__Secure-)?authd\.device=/.test(value);
    answer.headers = answer.headers.map((line) => (isOfSession(line) ? [line[0], change(line[1])] : line));
  });
const header = (route, of, change) =>
  to(route, (answer) => {
    answer.headers = answer.headers.map(([name, value]) => [name, name === of ? change(value) : value]);
  });
const claims = (change) => (jwt) => {
  const [head, payload, signature] = jwt.split(".");
  const changed = JSON.stringify(change(JSON.parse(Buffer.from(payload, "base64url"))));
  return [head, Buffer.from(changed).toString("base64url"), signature].join(".");
};
const set = (body, path, value) => {
  const names = path.split(".");
  const last = names.pop();
  const place = names.reduce((at, name) => at?.[name], body);
  // A refusal of the same route has no such place.
  if (place === undefined) return;
  if (value === undefined) delete place[last];
  else place[last] = typeof value === "function" ? value(place[last]) : value;
};
const body = (route, path, value) => to(route, (answer) => set(answer.body, path, value));

const UP = "/sign-up/email";
const IN = "/sign-in/email";
const OUT = "/sign-out";
const GET = "/get-session";
const LIST = "/list-sessions";

/** What is changed, and where that must be reported. */
const CHANGES = {
  "a status": [to(UP, (answer) => (answer.status = 201)), /status$/],
  "a status of a refusal": [to(IN, (answer) => (answer.status = answer.status === 401 ? 403 : answer.status)), /status$/],
  "an empty 404 has a body": [to("/nothing", (answer) => (answer.body = { code: "NOT_FOUND" })), /body/],
  "a 404 is a 405": [to("/nothing", (answer) => (answer.status = 405)), /status/],
  "a code": [to(IN, ({ body }) => body.code && (body.code = "INVALID_CREDENTIALS")), /(body|error)\.code$/],
  "no code": [to(IN, ({ body }) => delete body.code), /(body|error)\.code$/],
  "a message": [to(IN, ({ body }) => body.message && (body.message += ".")), /(body|error)\.message$/],
  "a validation text": [to(IN, ({ body }) => body.message && (body.message = body.message.replace("undefined", "nothing"))), /message$/],
  "the user without image": [body(UP, "user.image", undefined), /user\.image$/],
  "the user with role": [body(UP, "user.role", "user"), /user\.role$/],
  "another name": [body(UP, "user.name", "Eve"), /user\.name$/],
  "a truth value as a number": [body(UP, "user.emailVerified", 0), /emailVerified$/],
  "null for a text": [body(UP, "token", null), /token$/],
  "a date with six digits": [body(UP, "user.createdAt", (date) => date.replace("Z", "000Z")), /createdAt$/],
  "a date as a number": [body(UP, "user.createdAt", (date) => Date.parse(date)), /createdAt$/],
  "a date of yesterday": [body(UP, "user.createdAt", (date) => new Date(Date.parse(date) - 86_400_000).toISOString()), /createdAt$/],
  "a session of another length": [
    body(GET, "session.expiresAt", (date) => new Date(Date.parse(date) + 86_400_000).toISOString()),
    /session\.expiresAt$/,
  ],
  "a session of somebody else": [body(GET, "session.userId", "somebody else"), /session\.userId$/],
  "another token than the sign-in's": [body(GET, "session.token", "x".repeat(32)), /session\.token$/],
  "the address of the proxy": [body(GET, "session.ipAddress", "127.0.0.1"), /ipAddress$/],
  "no session": [to(GET, (answer) => (answer.body = null)), /body/],
  "one session too few": [to(LIST, ({ body }) => body.pop()), /(body|data)$/],
  "the sessions in another order": [to(LIST, ({ body }) => body.reverse()), /(body|data)\.0/],
  "two sessions of one token": [to(LIST, ({ body }) => (body[0].token = body[1].token)), /token$/],
  "no success": [to(OUT, ({ body }) => (body.success = false)), /success$/],
  "a redirect where none is": [to(IN, ({ body }) => "redirect" in body && (body.redirect = !body.redirect)), /redirect$/],
  "no location": [to(IN, (answer) => (answer.headers = answer.headers.filter(([name]) => name !== "location"))), /location$/],
  "another location": [header(IN, "location", () => "/elsewhere"), /location$/],
  "another content type": [header(UP, "content-type", () => "text/plain"), /content-type$/],
  "no content type": [to(UP, (answer) => (answer.headers = answer.headers.filter(([name]) => name !== "content-type"))), /content-type$/],
  "the session may be cached": [header(GET, "cache-control", () => "max-age=60"), /cache-control$/],
  "a header that nobody knows": [to(UP, ({ headers }) => headers.push(["x-powered-by", "authd"])), /x-powered-by$/],
  "no cookie": [to(UP, (answer) => (answer.headers = answer.headers.filter(([name]) => name !== "set-cookie"))), /cookies$/],
  "a cookie too much": [to(UP, ({ headers }) => headers.push(["set-cookie", "a=b; Path=/"])), /cookies$/],
  "a device's mark for scripts": [
    to(UP, (answer) => (answer.headers = answer.headers.map(([name, value]) => [name, value.replace(/(authd\.device=.*); HttpOnly/, "$1")]))),
    /cookies$/,
  ],
  "a cookie's name": [cookie(UP, (line) => `x-${line}`), /cookies\.0\.name$/],
  "a cookie without HttpOnly": [cookie(UP, (line) => line.replace("; HttpOnly", "")), /cookies\.0\.attributes$/],
  "a cookie for all sites": [cookie(UP, (line) => line.replace("Lax", "None")), /cookies\.0\.attributes$/],
  "a cookie for a part of the site": [cookie(UP, (line) => line.replace("Path=/", "Path=/api")), /cookies\.0\.attributes$/],
  "a cookie of another age": [cookie(UP, (line) => line.replace("604800", "604799")), /cookies\.0\.attributes$/],
  "a cookie of a domain": [cookie(UP, (line) => line.replace("Path", "Domain=localhost; Path")), /cookies\.0\.attributes$/],
  "a cookie that is not signed": [cookie(UP, (line) => line.replace(/\.[^;]+/, "")), /cookies\.0\.value$/],
  "a cookie that lasts though it should not": [
    cookie(IN, (line) => line.replace(/(session_token=[^;]+;) Path/, "$1 Max-Age=604800; Path")),
    /cookies\.0\.attributes$/,
  ],
  "a cookie that is not deleted": [cookie(OUT, (line) => line.replace("Max-Age=0; ", "")), /cookies\.0\.attributes$/],
  "a claim": [header(GET, "set-auth-jwt", claims((all) => ({ ...all, name: "Eve" }))), /claims\.name$/],
  "a claim too much": [header(GET, "set-auth-jwt", claims((all) => ({ ...all, admin: true }))), /claims\.admin$/],
  "another issuer": [body("/token", "token", claims((all) => ({ ...all, iss: "https://example.com" }))), /claims\.iss$/],
  "a token that lives longer": [body("/token", "token", claims((all) => ({ ...all, exp: all.exp + 3600 }))), /claims\.exp$/],
  "a key with its private part": [to("/jwks", ({ body }) => (body.keys[0].d = "x")), /keys\.0\.d$/],
  "a key of another size": [to("/jwks", ({ body }) => (body.keys[0].x = "AAAA")), /keys\.0\.x$/],
  "another id than the token's key": [to("/jwks", ({ body }) => (body.keys[0].kid = "other")), /kid$/],
};

const FIELD_STEPS = [
  ["ada POST /sign-up/email", { ...ADA, nick: "ada", born: "1815-12-10", tags: ["a"] }],
  ["ada POST /update-user", { locked: "x" }],
  ["bob POST /sign-up/email", ADA],
  ["ada POST /update-session", { theme: "dark" }],
  ["ada GET /get-session"],
  ["ada GET /token"],
];
const UPDATE = "/update-session";

/** The same of the application's fields. */
const FIELD_CHANGES = {
  "a field too few": [body(UP, "user.plan", undefined), /user\.plan$/],
  "a field without its default": [body(UP, "user.level", null), /user\.level$/],
  "a field that nobody should see": [body(UP, "user.note", "x"), /user\.note$/],
  "a number as a text": [body(UP, "user.level", "3"), /user\.level$/],
  "a date as it was sent": [body(UP, "user.born", "1815-12-10"), /user\.born$/],
  "a list as a text": [body(UP, "user.tags", "a"), /user\.tags$/],
  "a field that clients set although they may not": [body(GET, "user.vip", true), /user\.vip$/],
  "another field is named": [to("/update-user", ({ body }) => (body.message = "vip is not allowed to be set")), /message$/],
  "a field that is missing, as another code": [to(UP, ({ body }) => body.code && (body.code = "VALIDATION_ERROR")), /code$/],
  "a session without its field": [body(UPDATE, "session.theme", undefined), /session\.theme$/],
  "a session of before": [body(GET, "session.theme", null), /session\.theme$/],
  "a session that answers with its user": [body(UPDATE, "user", { id: "x" }), /user$/],
  "no cookie again": [to(UPDATE, (answer) => (answer.headers = answer.headers.filter(([name]) => name !== "set-cookie"))), /cookies$/],
  "a claim that is a field's": [body("/token", "token", claims((all) => ({ ...all, level: 4 }))), /claims\.level$/],
};

/** The same of the admin and username plugins. */
const PLUGIN_STEPS = [
  ["root POST /sign-up/email", { ...ADA, name: "Root", email: "root@example.com", username: "Root_{s}" }],
  ["bob POST /sign-up/email", { ...ADA, name: "Bob", email: "bob@example.com", username: "Bob_{s}" }],
  ["root becomes admin"],
  ["root GET /admin/list-users", undefined, { suffix: "?searchValue=@example.com&sortBy=name&limit=5" }],
  ["root POST /admin/ban-user", (s) => ({ userId: s.answers[1].user.id, banExpiresIn: 3600 })],
  ["bob POST /sign-in/email", { ...CREDENTIALS, email: "bob@example.com" }],
  ["root POST /admin/unban-user", (s) => ({ userId: s.answers[1].user.id })],
  ["root POST /admin/impersonate-user", (s) => ({ userId: s.answers[1].user.id })],
  ["root POST /admin/stop-impersonating", {}],
  ["script GET /admin/get-user", undefined, { suffix: "?id=x" }],
  ["bob POST /sign-in/username", { username: "BOB_{s}", password: CREDENTIALS.password }],
  ["script POST /is-username-available", { username: "bob_{s}" }],
];
const USERS = "/admin/list-users?searchValue=";
const BAN = "/admin/ban-user";
const ACT = "/admin/impersonate-user";

const PLUGIN_CHANGES = {
  "another role": [body(UP, "user.role", "admin"), /user\.role$/],
  "no ban in a user": [body(BAN, "user.banned", undefined), /user\.banned$/],
  "a ban without a reason": [body(BAN, "user.banReason", null), /banReason$/],
  "a ban of another length": [body(BAN, "user.banExpires", (date) => new Date(Date.parse(date) + 3_600_000).toISOString()), /banExpires$/],
  "another refusal of the banned": [to(IN, ({ body }) => body.message && (body.message = "No")), /message$/],
  "a ban that is lifted and shown": [body("/admin/unban-user", "user.banned", true), /user\.banned$/],
  "another total": [to(USERS, ({ body }) => (body.total += 1)), /total$/],
  "no limit": [to(USERS, ({ body }) => delete body.limit), /limit$/],
  "the users in another order": [to(USERS, ({ body }) => body.users.reverse()), /users\.0/],
  "nobody acts": [body(ACT, "session.impersonatedBy", null), /impersonatedBy$/],
  "the wrong one acts": [to(ACT, ({ body }) => (body.session.impersonatedBy = body.session.userId)), /impersonatedBy$/],
  "a longer impersonation": [body(ACT, "session.expiresAt", (date) => new Date(Date.parse(date) + 60_000).toISOString()), /session\.expiresAt$/],
  "the own session is not kept": [
    to(ACT, (answer) => (answer.headers = answer.headers.filter(([, value]) => !value.includes("admin_session")))),
    /cookies$/,
  ],
  "the own session for scripts": [cookie(ACT, (line) => (line.includes("admin_session") ? line.replace("; HttpOnly", "") : line)), /cookies\.3\.attributes$/],
  "a lasting impersonation": [cookie(ACT, (line) => line.replace(/(session_token=[^;]+;) Path/, "$1 Max-Age=604800; Path")), /cookies\.4\.attributes$/],
  "the user's session comes back": [body("/admin/stop-impersonating", "user.name", "Bob"), /user\.name$/],
  "a body for who has no session": [to("/admin/get-user?id=x", (answer) => (answer.body = { code: "UNAUTHORIZED" })), /body/],
  "another spelling": [body("/sign-in/username", "user.displayUsername", "bob"), /displayUsername$/],
  "a name in capitals": [body("/sign-in/username", "user.username", "BOB"), /username$/],
  "a name that is free": [body("/is-username-available", "available", true), /available$/],
};

/** A proxy in front of authd. What it is given as `tampering.now` is done to the answers. */
async function startProxy(t, upstream) {
  const { hostname, port, host } = new URL(upstream);
  const tampering = { now: undefined, count: 0 };
  const server = createServer((asked, answered) => {
    const { method, url: path, headers } = asked;
    const forwarded = request({ hostname, port, method, path, headers: { ...headers, host }, agent: false }, async (received) => {
      const chunks = [];
      for await (const chunk of received) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      const raw = received.rawHeaders;
      const pairs = raw.flatMap((name, at) => (at % 2 === 0 ? [[name.toLowerCase(), raw[at + 1]]] : []));
      const answer = { status: received.statusCode, headers: pairs, body: text === "" ? undefined : JSON.parse(text) };
      const route = tampering.now?.route;
      if (route !== undefined && (path.endsWith(route) || (route.includes("?") && path.includes(route)))) {
        tampering.count += 1;
        tampering.now.change(answer);
      }
      const out = answer.body === undefined ? "" : JSON.stringify(answer.body);
      const kept = answer.headers.filter(([name]) => !["content-length", "transfer-encoding", "connection"].includes(name));
      answered.writeHead(answer.status, kept.flat());
      answered.end(out);
    });
    forwarded.on("error", (error) => answered.destroy(error));
    asked.pipe(forwarded);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://localhost:${server.address().port}`, tampering };
}

async function areReported(t, { options, steps, changes }) {
  const both = await startBoth(t, options);
  const { url, tampering } = await startProxy(t, both.ours.url);
  const seeded = { ...both, ours: { url, publicUrl: both.ours.url } };
  const run = () => compare(seeded, { name: "tampering", steps });

  await t.test("and nothing where nothing is changed", async () => {
    const found = await run();
    assert.equal(found.length, 0, inWords(found));
  });
  for (const [name, [change, where]] of Object.entries(changes)) {
    await t.test(name, async () => {
      tampering.now = change;
      tampering.count = 0;
      const found = await run();
      assert.ok(tampering.count > 0, "the change was made");
      assert.ok(found.some(({ at }) => where.test(at)), `not reported at ${where}:\n${inWords(found)}`);
    });
  }
}

async function seed(t, options, steps, changes) {
  const both = await startBoth(t, options);
  const { url, tampering } = await startProxy(t, both.ours.url);
  const seeded = { ...both, ours: { ...both.ours, url, publicUrl: both.ours.url } };
  const run = () => compare(seeded, { name: "tampering", steps });

  await t.test("and nothing where nothing is changed", async () => {
    const found = await run();
    assert.equal(found.length, 0, inWords(found));
  });
  for (const [name, [change, where]] of Object.entries(changes)) {
    await t.test(name, async () => {
      tampering.now = change;
      tampering.count = 0;
      const found = await run();
      assert.ok(tampering.count > 0, "the change was made");
      assert.ok(found.some(({ at }) => where.test(at)), `not reported at ${where}:\n${inWords(found)}`);
    });
  }
}

test("every seeded change is reported", (t) => seed(t, { authd: { AUTHD_SESSION__MAX_PER_USER: "100" } }, STEPS, CHANGES));

test("every seeded change of the admin and username plugins is reported", (t) => {
  const authd = { AUTHD_ADMIN_PLUGIN__ENABLED: "true", AUTHD_USERNAME__ENABLED: "true" };
  return seed(t, { authd, reference: { plugins: [admin(), username()] } }, PLUGIN_STEPS, PLUGIN_CHANGES);
});
