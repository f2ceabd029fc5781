import { ADA, CREDENTIALS, each, LOOKS, PASSWORD, SIGNS_UP } from "./people.mjs";

const PATHS = ["/sign-up/email", "/sign-in/email", "/sign-out", "/get-session", "/list-sessions", "/revoke-session", "/revoke-sessions",
  "/revoke-other-sessions", "/update-session", "/update-user", "/change-password", "/verify-password", "/list-accounts", "/ok", "/token", "/jwks"];
const GETS = ["/get-session", "/list-sessions", "/list-accounts", "/ok", "/token", "/jwks"];
const POSTS = PATHS.filter((path) => !GETS.includes(path));

const page = (headers) => ["eve POST /sign-in/email", CREDENTIALS, { headers }];
const riding = (headers, path = "/update-user") => [
  [`ada POST ${path}`, { name: "Eve" }, { headers }],
  LOOKS,
];
const NO_FETCH = { "sec-fetch-site": null, "sec-fetch-mode": null, "sec-fetch-dest": null };

export const HTTP = {
  "wrong methods are nothing": [SIGNS_UP, ...GETS.filter((path) => path !== "/get-session").map((path) => [`ada POST ${path}`, {}]), ...POSTS.map((path) => [`ada GET ${path}`])],
  "other methods are nothing": PATHS.flatMap((path) => ["PUT", "DELETE", "PATCH", "HEAD"].map((method) => [`ada ${method} ${path}`])),
  "paths that are none": ["", "/", "/nothing", "/get-session/", "//get-session", "/get-session//", "/GET-SESSION", "/get_session", "/sign-in",
    "/sign-in/email/x", "/sign-up", "/get-session/..", "/%67et-session", "/set-password", "/forget-password", "/sign-jwt"].map((path) => [`ada GET ${path}`]),
  "methods of the client that nobody serves": [["ada nothing.atAll"], ["ada nothing.atAll", { x: 1 }], ["ada setPassword", { newPassword: PASSWORD }]],
  "ok and error": [
    ["ada GET /ok"],
    ["script GET /ok"],
    ["ada GET /error"],
    ...["?error=INVALID_TOKEN", "?error=", "?error=a%20b", "?error=%3Cscript%3E", "?error=please_restart_the_process",
      "?error=X&error_description=why", "?error=X&error_description=a%20b%26c%3Cd%3E", "?error=X&error_description=", "?error_description=x",
      "?error=a%20b&error_description=x", "?error=X&error_description=%0D%0Ax", "?error=X&error_description=gr%C3%B6%C3%9Fe+%27%22",
      "?error=access_denied&state=x", "?error=a&error=b", "?error=a'b", "?error=a.b", `?error=${"x".repeat(100)}`, "?error=X&error_description=a&error_description=b",
      `?error=X&error_description=${"d".repeat(600)}`].map((query) => ["ada GET /error", undefined, { suffix: query }]),
  ],
  "what a session is needed for, without one": [
    ...GETS.map((path) => [`eve GET ${path}`]),
    ...POSTS.map((path) => [`eve POST ${path}`, {}]),
    ...POSTS.map((path) => [`script POST ${path}`, {}]),
  ],
  "content types at every door": POSTS.flatMap((path) => [
    [`ada POST ${path}`, "<x/>", { headers: { "content-type": "text/xml" } }],
    [`ada POST ${path}`, "a=b", { headers: { "content-type": "application/x-www-form-urlencoded" } }],
    [`ada POST ${path}`, "{}", { headers: { "content-type": "application/json;charset=UTF-8" } }],
    [`ada POST ${path}`, "{}", { headers: { "content-type": "application/jsonp" } }],
    [`ada POST ${path}`, "{}", { headers: { "content-type": "" } }],
  ]),
  "broken bodies at every door": POSTS.flatMap((path) => ["{", "nope", "[", '{"a":}', "{'a':1}", '{"a":1}}', "\u0000"].map((body) => [`ada POST ${path}`, body])),
  "odd bodies at every door, signed in": [SIGNS_UP, ...POSTS.filter((path) => !/revoke|sign/.test(path)).flatMap((path) =>
    ["null", "[]", '"x"', "1", "true"].map((body) => [`ada POST ${path}`, body]))],
  "a body to a GET": [SIGNS_UP, ["ada GET /get-session", "{}"], ["ada GET /list-sessions", "nope"]],
  "an escape in a body": [["ada POST /sign-up/email", `{"name":"\\ud83e\\udd89","email":"ada@example.com","password":"${PASSWORD}"}`]],
  "white space around a body": [["eve POST /sign-up/email", `  {"name":"Eve","email":"eve@example.com","password":"${PASSWORD}"}\n`]],
  "a number that is too large": [["ada POST /sign-up/email", `{"name":"Ada","email":"ada@example.com","password":"${PASSWORD}","x":1e400}`]],
  "a byte order mark before a body": [["eve POST /sign-up/email", `\ufeff{"name":"Eve","email":"eve@example.com","password":"${PASSWORD}"}`]],
  "a control character in a name": [["bob POST /sign-up/email", `{"name":"a\\u0000b","email":"bob@example.com","password":"${PASSWORD}"}`]],
};

export const ORIGINS = {
  ...each("a page rides on the visitor's cookie", [SIGNS_UP], {
    "from a foreign origin": riding({ origin: "https://evil.example" }),
    "from an origin that only begins alike": riding({ origin: "http://localhost:5173.evil.example" }),
    "from the same host by another scheme": riding({ origin: "https://localhost:5173" }),
    "from null": riding({ origin: "null" }),
    "from null, and the browser says same origin": riding({ origin: "null", "sec-fetch-site": "same-origin" }),
    "from null, and the browser says cross-site": riding({ origin: "null", "sec-fetch-site": "cross-site" }),
    "from nowhere": riding({ origin: null }),
    "from nowhere at all": riding({ origin: null, ...NO_FETCH }),
    "with an empty origin": riding({ origin: "" }),
    "with a trusted referer only": riding({ origin: null, referer: "http://localhost:5173/page?x" }),
    "with a foreign referer only": riding({ origin: null, referer: "https://evil.example/" }),
    "with a referer that is none": riding({ origin: null, referer: "nonsense" }),
    "from a foreign origin, with a trusted referer": riding({ origin: "https://evil.example", referer: "http://localhost:5173/" }),
    "from an app": riding({ origin: "myapp://" }),
    "from an app by its host": riding({ origin: "myapp://home" }),
    "from another app": riding({ origin: "evilapp://" }),
    "from a trusted origin with a slash": riding({ origin: "http://localhost:5173/" }),
    "from a trusted origin in capitals": riding({ origin: "HTTP://LOCALHOST:5173" }),
    "with the server's own origin": [["ada POST /update-user", { name: "Ada L" }, { headers: { origin: (s) => s.publicUrl } }], LOOKS],
    "to sign out": [["ada POST /sign-out", {}, { headers: { origin: "https://evil.example" } }], LOOKS],
    "to sign out from nowhere": [["ada POST /sign-out", {}, { headers: { origin: null } }], LOOKS],
    "to end all sessions": [["ada POST /revoke-sessions", {}, { headers: { origin: "https://evil.example" } }], LOOKS],
    "to change the password": [["ada POST /change-password", {}, { headers: { origin: "https://evil.example" } }], LOOKS],
    "to sign in as somebody else": [["ada POST /sign-in/email", CREDENTIALS, { headers: { origin: "https://evil.example" } }], LOOKS],
    "to read, which nobody hinders": [["ada GET /get-session", undefined, { headers: { origin: null, referer: "https://evil.example/" } }]],
    "with a broken body": [["ada POST /update-user", "{", { headers: { origin: "https://evil.example" } }]],
    "to a path that is none": [["ada POST /nothing", {}, { headers: { origin: "https://evil.example" } }]],
    "with a body of another type": [["ada POST /update-user", "a=b", { headers: { origin: "https://evil.example", "content-type": "text/plain" } }]],
  }),
  ...each("a page signs its visitor in", [SIGNS_UP], {
    "from a foreign origin": [page({ origin: "https://evil.example" })],
    "from a foreign origin, as old browsers do": [page({ origin: "https://evil.example", ...NO_FETCH })],
    "by a form, from elsewhere": [page({ origin: "https://evil.example", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" })],
    "by a form, from the trusted page": [page({ "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" })],
    "by a form, from the same site": [page({ "sec-fetch-site": "same-site", "sec-fetch-mode": "navigate" })],
    "by a script, cross-site but trusted": [page({ "sec-fetch-site": "cross-site" })],
    "by a script without an origin": [page({ origin: null })],
    "with Sec-Fetch-Mode alone": [page({ origin: null, ...NO_FETCH, "sec-fetch-mode": "cors" })],
    "with Sec-Fetch-Site none": [page({ origin: null, ...NO_FETCH, "sec-fetch-site": "none" })],
    "with a trusted referer only": [page({ origin: null, ...NO_FETCH, referer: "http://localhost:5173/x" })],
    "with a foreign referer only": [page({ origin: null, ...NO_FETCH, referer: "https://evil.example/x" })],
    "with null": [page({ origin: "null" })],
    "with null, same origin": [page({ origin: "null", "sec-fetch-site": "same-origin" })],
    "with an unrelated cookie and no origin": [page({ origin: null, ...NO_FETCH, cookie: "theme=dark" })],
    "with an unrelated cookie and a trusted origin": [page({ cookie: "theme=dark" })],
    "as a script does": [["script POST /sign-in/email", CREDENTIALS], ["script POST /sign-up/email", { ...ADA, email: "new@example.com" }]],
    "as a script does, wrongly": [["script POST /sign-in/email", { ...CREDENTIALS, password: "wrong" }]],
    "with a wrong body, from a foreign origin": [["eve POST /sign-in/email", { email: 5 }, { headers: { origin: "https://evil.example" } }]],
    "with a foreign callback, from a foreign origin": [["eve POST /sign-in/email", { ...CREDENTIALS, callbackURL: "https://evil.example" }, { headers: { origin: "https://evil.example" } }]],
    "by sign-up, from elsewhere": [["eve POST /sign-up/email", { ...ADA, email: "eve@example.com" }, { headers: { origin: "https://evil.example" } }]],
  }),
  ...each("targets", [], Object.fromEntries(["/a", "/a/b?c=d#e", "/", "/a b", "/ä", "//x", "///x", "/\\x", "/a\\b", "/a//b", "/%2fx", "/%5cx", "/a%2Fb", "/a?x=%2f", "/\tx", "/\n/x",
    "/./x", "/../x", "/a/../../x", "http://localhost:5173", "http://localhost:5173/x", "http://localhost:5174/x", "https://localhost:5173/x", "http://LOCALHOST:5173/x",
    "http://localhost:5173@evil.example/", "http://user@localhost:5173/", "http://localhost:5173.evil.example/", "myapp://", "myapp://x/y", "myapp:x", "MYAPP://x",
    "evilapp://x", "data:text/html,x", "javascript://localhost:5173/%0aalert(1)", "mailto:a@b.co", "ftp://localhost:5173/", "x", "./x", "?x", "#x", " /x", "/x ", "/@evil.example", "/:80", "/a;b", "/a'b", "/a\"b", "/<x>", "/a|b", "/a,b", "/a*b", "/[x]", "/a=b&c", "/~x", "/a$b", "/%", "/%zz"].map(
    (target) => [JSON.stringify(target), [["eve POST /sign-out", { callbackURL: target }]]]))),
};
