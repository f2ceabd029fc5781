// What changes with the configuration: each group has options that mean the same on both sides.

import { bearer, jwt } from "better-auth/plugins";
import { ADA, BOB, CREDENTIALS, each, LOOKS, NEW_PASSWORD, PASSWORD, phone, SIGNS_UP } from "./people.mjs";

const by = (token) => ({ headers: { authorization: token } });
const signed = (who) => (s) => `Bearer ${decodeURIComponent(s.cookie(who))}`;
const encoded = (who) => (s) => `Bearer ${s.cookie(who)}`;
const raw = (who) => (s) => `Bearer ${decodeURIComponent(s.cookie(who)).split(".")[0]}`;
const asks = (token, path = "/get-session") => [`script GET ${path}`, undefined, by(token)];

/** A client that keeps the token of `set-auth-token` and no cookies, as apps do. */
const app = (n) => (s) => `Bearer ${s.raw[n].headers.get("set-auth-token")}`;

const BEARER = {
  "an app signs up, looks, lists, changes, signs out": [
    ["script POST /sign-up/email", ADA],
    asks(app(0)),
    asks(app(0), "/list-sessions"),
    asks(app(0), "/list-accounts"),
    asks(app(0), "/token"),
    ["script POST /update-user", { name: "Ada L" }, by(app(0))],
    ["script POST /verify-password", { password: PASSWORD }, by(app(0))],
    asks(app(0)),
    ["script POST /sign-out", {}, by(app(0))],
    asks(app(0)),
    asks(app(0), "/list-sessions"),
  ],
  "an app changes the password and goes on with the new token": [
    ["script POST /sign-up/email", ADA],
    ["script POST /change-password", { currentPassword: PASSWORD, newPassword: NEW_PASSWORD, revokeOtherSessions: true }, by(app(0))],
    asks(app(0)),
    asks(app(1)),
  ],
  "an app ends its own session, and all": [
    ["script POST /sign-up/email", ADA],
    ["script POST /sign-in/email", CREDENTIALS],
    ["script POST /revoke-session", (s) => ({ token: s.answers[0].token }), by(app(0))],
    asks(app(0)),
    asks(app(1)),
    ["script POST /revoke-sessions", {}, by(app(1))],
    asks(app(1)),
  ],
  "an app that is not remembered": [["script POST /sign-up/email", { ...ADA, rememberMe: false }], asks(raw("ada")), asks(app(0))],
  "a sign-in that shows the token of before": [
    ["script POST /sign-up/email", ADA],
    ["script POST /sign-in/email", CREDENTIALS, by(app(0))],
    asks(app(1)),
  ],
  "the token of the body is the one of the cookie": [
    SIGNS_UP,
    ["script GET /get-session", undefined, by((s) => `Bearer ${s.answers[0].token}`)],
    LOOKS,
    ["ada listSessions"],
  ],
  ...each("bearer", [SIGNS_UP], {
    "signed": [asks(signed("ada"))],
    "signed and encoded": [asks(encoded("ada"))],
    "the token alone": [asks(raw("ada"))],
    "in capitals": [asks((s) => signed("ada")(s).replace("Bearer", "BEARER"))],
    "in small letters": [asks((s) => signed("ada")(s).replace("Bearer", "bearer"))],
    "with two spaces": [asks((s) => signed("ada")(s).replace(" ", "  "))],
    "with a space at its end": [asks((s) => `${signed("ada")(s)} `)],
    "with a wrong signature": [asks((s) => signed("ada")(s).replace(/.{5}=$/, "AAAAA="))],
    "with a cut signature": [asks((s) => signed("ada")(s).slice(0, -4))],
    "of another scheme": [asks((s) => signed("ada")(s).replace("Bearer", "Basic"))],
    "without a scheme": [asks((s) => signed("ada")(s).replace("Bearer ", ""))],
    "empty": [asks("Bearer ")],
    "only a dot": [asks("Bearer .")],
    "unknown": [asks(`Bearer ${"x".repeat(32)}`), asks(`Bearer ${"x".repeat(32)}`, "/list-sessions")],
    "a JWT that is none": [asks("Bearer a.b.c"), asks("Bearer a.b.c", "/list-sessions")],
    "of strange bytes": [asks("Bearer %zz"), asks("Bearer a b c")],
    "beats the cookie": [["bob POST /sign-up/email", BOB], ["bob GET /get-session", undefined, by(signed("ada"))]],
    "unknown, beside a cookie": [["ada GET /get-session", undefined, by(`Bearer ${"x".repeat(32)}`)]],
    "wrong, beside a cookie": [["ada GET /get-session", undefined, by("Bearer x.y")]],
    "beside a cookie, from a foreign page": [["ada POST /update-user", { name: "Eve" }, { headers: { authorization: signed("ada"), origin: "https://evil.example" } }]],
    "from a foreign page without a cookie": [["script POST /update-user", { name: "Ada L" }, { headers: { authorization: signed("ada"), origin: "https://evil.example" } }]],
    "at every door that needs a session": ["/list-sessions", "/list-accounts", "/token"].map((path) => asks(signed("ada"), path)),
    "by the client": [
      ["eve getSession", undefined, (s) => ({ headers: { authorization: signed("ada")(s) } })],
      ["eve updateUser", { name: "Ada L" }, (s) => ({ headers: { authorization: signed("ada")(s) } })],
      ["eve signOut", undefined, (s) => ({ headers: { authorization: signed("ada")(s) } })],
    ],
  }),
};

const SIGNED_BEARER = {
  "only the signed token counts": [SIGNS_UP, asks(signed("ada")), asks(encoded("ada")), asks(raw("ada")), asks(raw("ada"), "/list-sessions")],
};

const BEARER_OFF = {
  "a session token in the Authorization header is nothing": [
    SIGNS_UP,
    asks(signed("ada")),
    asks(raw("ada")),
    ["ada GET /get-session", undefined, by("Bearer x")],
    ["ada GET /list-accounts", undefined, by("Bearer x")],
  ],
};

const WITHOUT_JWT = {
  "there is no /token and no header": [SIGNS_UP, LOOKS, ["ada token"], ["ada GET /token"], ["eve GET /token"], ["ada GET /list-accounts"]],
};

const WITHOUT_HEADER = { "there is a /token and no header": [SIGNS_UP, LOOKS, ["ada token"]] };

/** Everything that sets or deletes cookies. */
const COOKIES = {
  "every cookie that is set": [
    SIGNS_UP,
    phone({ rememberMe: false }),
    ["phone GET /get-session"],
    phone(),
    ["phone POST /update-user", { name: "Ada L" }],
    ["phone POST /change-password", { currentPassword: PASSWORD, newPassword: NEW_PASSWORD, revokeOtherSessions: true }],
    ["phone POST /sign-out", {}],
    ["ada GET /get-session"],
    ["ada GET /list-sessions"],
    ["ada getSession"],
  ],
  "cookies of other names are none": [
    SIGNS_UP,
    ["eve GET /get-session", undefined, { headers: { cookie: (s) => `better-auth.session_token=${s.cookie("ada")}` } }],
    ["eve GET /get-session", undefined, { headers: { cookie: (s) => `__Secure-better-auth.session_token=${s.cookie("ada")}` } }],
    ["eve GET /get-session", undefined, { headers: { cookie: (s) => `session_token=${s.cookie("ada")}` } }],
  ],
};

const PROLONGED = {
  "every use prolongs, and sets the cookie": [
    SIGNS_UP,
    LOOKS,
    ["ada GET /get-session", undefined, { suffix: "?disableRefresh=true" }],
    ["ada GET /list-sessions"],
    ["ada GET /list-accounts"],
    ["ada GET /token"],
    ["ada POST /verify-password", { password: PASSWORD }],
    ["ada POST /verify-password", { password: "wrong" }],
    ["ada POST /update-user", { name: "Ada L" }],
    ["ada POST /update-user", {}],
    ["ada POST /update-session", { x: 1 }],
    phone(),
    ["ada POST /revoke-session", (s) => ({ token: s.answers.at(-1).token })],
    ["ada POST /revoke-other-sessions", {}],
    ["ada POST /change-password", { currentPassword: PASSWORD, newPassword: NEW_PASSWORD, revokeOtherSessions: false }],
    ["ada POST /change-password", { currentPassword: "wrong", newPassword: NEW_PASSWORD, revokeOtherSessions: false }],
    ["ada POST /sign-out", {}],
  ],
  "a session that is not remembered is not prolonged": [
    SIGNS_UP,
    phone({ rememberMe: false }),
    ["phone GET /get-session"],
    ["phone GET /list-sessions"],
    ["phone GET /list-accounts"],
  ],
};

const NOT_PROLONGED = {
  "no use prolongs": [SIGNS_UP, LOOKS, ["ada GET /list-accounts"], ["ada POST /update-user", { name: "Ada L" }], LOOKS],
};

const DEFERRED = {
  "GET says what a POST does": [
    SIGNS_UP,
    LOOKS,
    ["ada POST /get-session", {}],
    ["ada POST /get-session"],
    ["ada GET /get-session", undefined, { suffix: "?disableRefresh=true" }],
    ["ada POST /get-session", {}, { suffix: "?disableRefresh=true" }],
    ["ada getSession"],
    ["ada GET /list-sessions"],
    ["ada GET /list-accounts"],
    ["ada GET /token"],
  ],
  "POST from a foreign page": [SIGNS_UP, ["ada POST /get-session", {}, { headers: { origin: "https://evil.example" } }], LOOKS],
  "POST with odd bodies": [SIGNS_UP, ["ada POST /get-session", "[]"], ["ada POST /get-session", "{"], ["ada POST /get-session", "null"],
    ["ada POST /get-session", "x", { headers: { "content-type": "text/plain" } }], ["ada POST /get-session"]],
  "without a session": [["eve GET /get-session"], ["eve POST /get-session", {}]],
  "a session that is not remembered": [SIGNS_UP, phone({ rememberMe: false }), ["phone GET /get-session"], ["phone POST /get-session", {}]],
  "an ended session": [
    SIGNS_UP,
    phone(),
    ["ada POST /revoke-other-sessions", {}],
    ["eve POST /get-session", {}, { headers: { cookie: (s) => `better-auth.session_token=${s.cookie("phone")}` } }],
    ["phone GET /get-session"],
  ],
};

const NO_SIGN_IN = {
  "a sign-up signs nobody in, and tells nothing": [
    SIGNS_UP,
    LOOKS,
    ["bob POST /sign-up/email", ADA],
    ["bob POST /sign-up/email", { ...ADA, name: "Bob", image: "https://example.com/b.png" }],
    ["bob GET /get-session"],
    ["ada signIn.email", CREDENTIALS],
    ["ada getSession"],
  ],
};

const NO_SIGN_UP = {
  "nobody signs up": [
    ["ada signUp.email", ADA],
    ["ada POST /sign-up/email", { ...ADA, password: "short" }],
    ["ada POST /sign-up/email", {}],
    ["ada POST /sign-in/email", CREDENTIALS],
  ],
};

const LENGTHS = {
  ...each("lengths of passwords", [], {
    "one too few": [["ada POST /sign-up/email", { ...ADA, password: "xK4#mQ9wLp2" }]],
    "enough": [["ada POST /sign-up/email", { ...ADA, password: "xK4#mQ9wLp2!" }]],
    "one too many": [["ada POST /sign-up/email", { ...ADA, password: "xK4#mQ9wLp2!".repeat(6).slice(0, 65) }]],
    "as many as may be": [["ada POST /sign-up/email", { ...ADA, password: "xK4#mQ9wLp2!".repeat(6).slice(0, 64) }]],
    "at sign-in": [SIGNS_UP, ["ada POST /sign-in/email", { ...CREDENTIALS, password: "x".repeat(65) }], ["ada POST /sign-in/email", { ...CREDENTIALS, password: "x" }]],
  }),
};

const SHORT = {
  "sessions of an hour": [SIGNS_UP, LOOKS, phone({ rememberMe: false }), ["phone GET /get-session"], ["ada POST /update-user", { name: "x" }]],
};

/** Each scenario is a client of its own: the limits count by address. */
const from = (n) => ({ headers: { "x-forwarded-for": `203.0.113.${n}` } });
const times = (n, step) => Array.from({ length: n }, () => step);

const LIMITED = {
  "four sign-ins in a row": [
    ["ada POST /sign-up/email", ADA, from(10)],
    ...times(4, ["phone POST /sign-in/email", CREDENTIALS, from(10)]),
    ["phone GET /get-session", undefined, from(10)],
    ["tablet POST /sign-in/email", CREDENTIALS, from(11)],
  ],
  "refused requests count too": times(5, ["ada POST /sign-in/email", {}, from(20)]),
  "each path has its own count": [
    ...times(4, ["ada POST /sign-up/email", {}, from(30)]),
    ["ada POST /sign-in/email", {}, from(30)],
    ...times(4, ["ada POST /change-password", {}, from(30)]),
    ["ada POST /update-user", {}, from(30)],
  ],
  "by the client": [
    ...times(3, ["ada POST /sign-in/email", {}, from(40)]),
    ["ada signIn.email", CREDENTIALS, from(40)],
    ["ada signIn.email", CREDENTIALS, { ...from(40), throw: true }],
  ],
  "a hundred of all others": [...times(101, ["script GET /ok", undefined, from(50)])],
};

const URL = "https://auth.example.test";

export const OPTIONS = [
  {
    name: "bearer",
    scenarios: BEARER,
    options: { authd: { AUTHD_BEARER__ENABLED: "true" }, reference: { plugins: [bearer()] } },
  },
  {
    name: "bearer, signed only",
    scenarios: SIGNED_BEARER,
    options: {
      authd: { AUTHD_BEARER__ENABLED: "true", AUTHD_BEARER__REQUIRE_SIGNATURE: "true" },
      reference: { plugins: [bearer({ requireSignature: true })] },
    },
  },
  { name: "bearer off", scenarios: BEARER_OFF },
  {
    name: "without jwt",
    scenarios: WITHOUT_JWT,
    options: { authd: { AUTHD_JWT__ENABLED: "false" }, reference: { withoutJwt: true } },
  },
  {
    name: "jwt without its header",
    scenarios: WITHOUT_HEADER,
    options: { authd: { AUTHD_JWT__SET_HEADER: "false" }, reference: { withoutJwt: true, plugins: [jwt({ disableSettingJwtHeader: true })] } },
  },
  {
    name: "cookies of another prefix",
    scenarios: COOKIES,
    options: { authd: { AUTHD_COOKIES__PREFIX: "my-app" }, reference: { advanced: { cookiePrefix: "my-app" } } },
  },
  {
    name: "cookies by https",
    scenarios: COOKIES,
    options: { publicUrl: URL },
  },
  {
    name: "cookies for a domain",
    scenarios: COOKIES,
    options: {
      publicUrl: URL,
      authd: { AUTHD_COOKIES__DOMAIN: "example.test" },
      reference: { advanced: { crossSubDomainCookies: { enabled: true, domain: "example.test" } } },
    },
  },
  {
    name: "every use prolongs the session",
    scenarios: PROLONGED,
    options: { authd: { AUTHD_SESSION__UPDATE_AGE: "0s" }, reference: { session: { updateAge: 0 } } },
  },
  {
    name: "no use prolongs the session",
    scenarios: NOT_PROLONGED,
    options: {
      authd: { AUTHD_SESSION__UPDATE_AGE: "0s", AUTHD_SESSION__PROLONG: "false" },
      reference: { session: { updateAge: 0, disableSessionRefresh: true } },
    },
  },
  {
    name: "deferred refresh, due",
    scenarios: DEFERRED,
    options: {
      authd: { AUTHD_SESSION__UPDATE_AGE: "0s", AUTHD_SESSION__DEFER_REFRESH: "true" },
      reference: { session: { updateAge: 0, deferSessionRefresh: true } },
    },
  },
  {
    name: "deferred refresh, not due",
    scenarios: DEFERRED,
    options: { authd: { AUTHD_SESSION__DEFER_REFRESH: "true" }, reference: { session: { deferSessionRefresh: true } } },
  },
  {
    name: "sign-up without sign-in",
    scenarios: NO_SIGN_IN,
    options: { authd: { AUTHD_SIGN_UP__AUTO_SIGN_IN: "false" }, reference: { emailAndPassword: { autoSignIn: false } } },
  },
  {
    name: "no sign-up",
    scenarios: NO_SIGN_UP,
    options: { authd: { AUTHD_SIGN_UP__ENABLED: "false" }, reference: { emailAndPassword: { disableSignUp: true } } },
  },
  {
    name: "other lengths of passwords",
    scenarios: LENGTHS,
    options: {
      authd: { AUTHD_PASSWORD__MIN_LENGTH: "12", AUTHD_PASSWORD__MAX_LENGTH: "64" },
      reference: { emailAndPassword: { minPasswordLength: 12, maxPasswordLength: 64 } },
    },
  },
  {
    name: "limits of requests",
    scenarios: LIMITED,
    options: { authd: { AUTHD_THROTTLE__REQUESTS: "on" }, reference: { rateLimit: { enabled: true } } },
  },
  {
    name: "other lengths of sessions",
    scenarios: SHORT,
    options: {
      authd: { AUTHD_SESSION__EXPIRES_IN: "1h", AUTHD_SESSION__UPDATE_AGE: "5m", AUTHD_SESSION__FRESH_AGE: "10m" },
      reference: { session: { expiresIn: 3600, updateAge: 300, freshAge: 600 } },
    },
  },
];
