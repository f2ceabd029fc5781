// Where a request comes from: origins by pattern, addresses, user agents, targets in other places than the body.

import { ADA, CREDENTIALS, each, LOOKS, SIGNS_UP } from "./people.mjs";

const PATTERNS = ["https://*.example.com", "*.wild.dev", "http://*.port.dev:8080", "192.168.*.*", "app-?.one.dev", "exp://", "myapp://home/in"];

const from = (origin) => [["ada POST /update-user", { name: "Ada L" }, { headers: { origin } }]];
const to = (callbackURL) => [["eve POST /sign-out", { callbackURL }]];

const ORIGINS = [
  "https://a.example.com", "https://a.b.example.com", "https://example.com", "http://a.example.com", "https://a.example.com:8443", "https://a.example.com.evil.dev",
  "https://evilexample.com", "https://x.wild.dev", "http://x.wild.dev", "http://x.wild.dev:3000", "https://wild.dev", "http://a.port.dev:8080", "http://a.port.dev",
  "http://192.168.1.20", "http://192.168.1.20:3000", "http://192.168.evil.com", "http://1.192.168.1", "https://app-1.one.dev", "https://app-12.one.dev",
  "exp://", "exp://192.168.1.2:8081", "myapp://home", "myapp://other", "http://[::1]:3000", "http://localhost:3000",
];
const TARGETS = [
  "https://a.example.com/in", "https://a.example.com:8443/in", "https://example.com/in", "http://x.wild.dev:3000/in?x=1#y", "https://wild.dev/", "http://192.168.1.20:3000/x",
  "https://app-1.one.dev/x", "https://app-12.one.dev/x", "exp://192.168.1.2:8081/--/in", "exp://x", "myapp://home/in", "myapp://home/in/deep", "myapp://home/inside",
  "myapp://home/out", "myapp://home", "myapp://other/in", "myapp://home/in/../out", "myapp://home/in?x=1", "https://a.example.com@evil.dev/", "https://evil.dev/?a.example.com",
  "https://evil.dev#.example.com", "https://evil.dev/.example.com", "https:a.example.com", "https:///a.example.com", "//a.example.com",
];

const named = (cases, steps) => Object.fromEntries(cases.map((text) => [text, steps(text)]));

const BY_PATTERN = {
  ...each("origin", [SIGNS_UP], named(ORIGINS, from)),
  ...each("target", [], named(TARGETS, to)),
};

const address = (value) => [["ada POST /sign-up/email", ADA, { headers: { "x-forwarded-for": value } }], LOOKS];
const agent = (value) => [["ada POST /sign-up/email", ADA, { headers: { "user-agent": value } }], LOOKS];

const evil = "https%3A%2F%2Fevil.example%2F";

export const WHENCE = {
  ...each("address", [], {
    "IPv4": address("198.51.100.23"),
    "IPv4 in IPv6": address("::ffff:198.51.100.23"),
    "IPv6": address("2001:db8:1:2:3:4:5:6"),
    "no address": address("unknown"),
    "an empty text": address(""),
  }),
  ...each("user agent", [], {
    "one of a browser": agent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"),
    "none": agent(null),
    "of 400 characters": agent("a".repeat(400)),
  }),
  "a later use from elsewhere changes neither": [
    SIGNS_UP,
    ["ada GET /get-session", undefined, { headers: { "x-forwarded-for": "198.51.100.99", "user-agent": "another" } }],
    ["ada GET /list-sessions"],
  ],
  ...each("targets beside the body", [SIGNS_UP], {
    "in the query of a POST": [["ada POST /sign-out", {}, { suffix: `?callbackURL=${evil}` }], LOOKS],
    "in the query of a GET": [["ada GET /get-session", undefined, { suffix: `?callbackURL=${evil}` }], ["ada GET /ok", undefined, { suffix: `?callbackURL=${evil}` }]],
    "a good one in the query": [["ada POST /update-user", { name: "x" }, { suffix: "?callbackURL=%2Fin" }]],
    "a good one in the body, a bad one in the query": [["ada POST /update-user", { name: "x", callbackURL: "/in" }, { suffix: `?callbackURL=${evil}` }]],
    "redirectTo": [["ada POST /update-user", { name: "x", redirectTo: "https://evil.example" }]],
    "redirectTo in the query": [["ada POST /update-user", { name: "x" }, { suffix: `?redirectTo=${evil}` }]],
    "errorCallbackURL": [["ada POST /update-user", { name: "x", errorCallbackURL: "https://evil.example" }]],
    "newUserCallbackURL": [["ada POST /update-user", { name: "x", newUserCallbackURL: "//evil.example" }]],
    "several at once": [["ada POST /update-user", { name: "x", newUserCallbackURL: "//evil.example", redirectTo: "/\\x", callbackURL: 5 }]],
    "a number for redirectTo": [["ada POST /update-user", { name: "x", redirectTo: 5 }]],
    "false and zero": [["ada POST /update-user", { name: "x", redirectTo: 0, callbackURL: false, errorCallbackURL: "" }]],
    "in a form": [["ada POST /sign-in/email", "email=ada%40example.com&password=x&callbackURL=https%3A%2F%2Fevil.example", { headers: { "content-type": "application/x-www-form-urlencoded" } }]],
    "without a cookie": [["script POST /sign-out", { callbackURL: "https://evil.example" }], ["script POST /sign-in/email", { ...CREDENTIALS, callbackURL: "https://evil.example" }]],
  }),
};

export const BY_PATTERN_GROUP = {
  name: "origins by pattern",
  scenarios: BY_PATTERN,
  options: {
    authd: { AUTHD_HTTP__TRUSTED_ORIGINS: ["http://localhost:5173", ...PATTERNS].join(",") },
    reference: { trustedOrigins: ["http://localhost:5173", ...PATTERNS] },
  },
};
