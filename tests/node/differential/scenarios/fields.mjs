// The application's own fields of users and sessions: both servers are given the same ones.

import { ADA, BOB, CREDENTIALS, each, LOOKS, NEW_PASSWORD, PASSWORD, phone } from "./people.mjs";

/** Better Auth's form of the fields; authd's is made of it. */
const OF_USERS = {
  plan: { type: "string", required: false },
  nick: { type: "string", required: true },
  level: { type: "number", required: false, defaultValue: 3 },
  vip: { type: "boolean", required: false, defaultValue: false, input: false },
  note: { type: "string", required: false, returned: false },
  born: { type: "date", required: false },
  tags: { type: "string[]", required: false },
  scores: { type: "number[]", required: false },
  locked: { type: "string", required: false, input: false },
  lang: { type: "string", defaultValue: "en" },
  news: { type: "boolean", required: false },
};
const OF_SESSIONS = {
  theme: { type: "string", required: false },
  device: { type: "string", required: false, input: false },
  visits: { type: "number", required: false, defaultValue: 7 },
  secret: { type: "string", required: false, returned: false },
  until: { type: "date", required: false },
  tabs: { type: "string[]", required: false },
  area: { type: "string", required: true, defaultValue: "home" },
};

const toml = (fields) =>
  Object.entries(fields)
    .flatMap(([name, { defaultValue, ...field }]) => Object.entries({ ...field, ...(defaultValue !== undefined && { default: defaultValue }) }).map(([key, value]) => `${name}.${key} = ${JSON.stringify(value)}`))
    .join("\n");

const both = (user, session = {}, more = {}) => ({
  authd: { AUTHD_USER__FIELDS: toml(user), AUTHD_SESSION__FIELDS: toml(session), ...more.authd },
  reference: { user: { additionalFields: user }, session: { additionalFields: session }, ...more.reference },
});

const LOVELACE = { ...ADA, nick: "ada" };
const SIGNS_UP = ["ada POST /sign-up/email", LOVELACE];
const signsUp = (more) => ["ada POST /sign-up/email", { ...LOVELACE, ...more }];
const changes = (more) => [["ada POST /update-user", more], LOOKS];
const sets = (more) => [["ada POST /update-session", more], LOOKS];

const USERS = {
  ...each("fields", [], {
    "what a new user has": [SIGNS_UP, LOOKS, phone(), ["phone GET /get-session"]],
    "every one of them": [
      signsUp({ plan: "pro", level: 4.5, note: "hush", born: "1815-12-10", tags: ["a", "b c"], scores: [1, -2.5], lang: "de", news: true }),
      LOOKS,
      phone(),
    ],
    "by the client": [
      ["ada signUp.email", { ...LOVELACE, plan: "pro", born: "1815-12-10T11:12:13.456Z", tags: [] }],
      ["ada updateUser", { plan: null, level: 0, news: false }],
      ["ada getSession"],
      ["ada updateUser", { vip: true }],
      ["ada updateUser", { unknown: true }],
    ],
    "in the claims of a JWT": [signsUp({ plan: "pro", note: "hush", tags: ["a"], level: 9 }), ["ada GET /token"], LOOKS],
    "a change of the password shows them": [
      signsUp({ plan: "pro" }),
      ["ada POST /change-password", { currentPassword: PASSWORD, newPassword: NEW_PASSWORD, revokeOtherSessions: true }],
      LOOKS,
    ],
    "one that is required is missing": [["ada POST /sign-up/email", ADA], ["ada POST /sign-up/email", { ...ADA, plan: "pro" }]],
    "one that is required is empty": [signsUp({ nick: "" }), LOOKS],
    "nothing is given for one with a default": [signsUp({ level: null, plan: null }), LOOKS],
    "one that may not be set": [signsUp({ locked: "x" }), signsUp({ locked: 1 }), signsUp({ locked: [] })],
    "one that may not be set, and nothing is": [signsUp({ locked: "" }), LOOKS],
    "one that may not be set, and null is": [signsUp({ locked: null, vip: null }), LOOKS],
    "one that may not be set and has a default": [signsUp({ vip: true }), LOOKS],
    "the first problem counts": [["ada POST /sign-up/email", { ...ADA, locked: "x" }], signsUp({ locked: "x", password: "short" })],
    "a password that is too short comes first": [["ada POST /sign-up/email", { ...ADA, password: "short" }]],
    "they come before the address": [SIGNS_UP, ["bob POST /sign-up/email", { ...BOB, email: ADA.email }], ["bob POST /sign-up/email", { ...LOVELACE, name: "Bob" }]],
    "a wrong address comes before them": [["ada POST /sign-up/email", { ...ADA, email: "ada" }]],
    "unknown ones are none": [signsUp({ unknown: 1, role: "admin", emailVerified: true, id: "x", constructor: "x" }), LOOKS],
    "a form": [
      ["ada POST /sign-up/email", `name=Ada&email=ada%40example.com&password=${encodeURIComponent(PASSWORD)}&nick=a+b&plan=pro`, { headers: { "content-type": "application/x-www-form-urlencoded" } }],
      LOOKS,
    ],
    "dates in other zones": [signsUp({ born: "2000-01-02T03:04:05+02:00" }), LOOKS, ...changes({ born: "0099-01-01" })],
    "numbers of every size": [
      signsUp({ level: 1e300, scores: [0, -0.5, 1e-7, 9007199254740991, -1] }),
      LOOKS,
      ...changes({ level: 12345678901234567890 }),
      ...changes({ level: -7 }),
    ],
    "texts of every kind": [signsUp({ plan: "zwei\nZeilen\tund \"mehr\"", tags: ["", "שלום", "👩‍👩‍👧"] }), LOOKS],
  }),
  ...each("fields change", [SIGNS_UP], {
    "one": changes({ plan: "pro" }),
    "one beside the name": changes({ name: "Ada L", nick: "countess" }),
    "one that is required": [...changes({ nick: "x" }), ...changes({ nick: "" })],
    "to nothing": [...changes({ plan: "pro", born: "1815-12-10", tags: ["a"] }), ...changes({ plan: null, born: null, tags: null, level: null })],
    "one that nobody sees": changes({ note: "x" }),
    "one with a default": changes({ lang: "fr", level: 0 }),
    "lists": [...changes({ tags: ["x"], scores: [3] }), ...changes({ tags: [], scores: [] })],
    "one that may not be": [...changes({ locked: "x" }), ...changes({ vip: true }), ...changes({ plan: "pro", vip: true })],
    "nothing of what may not be": [...changes({ locked: null }), ...changes({ vip: false }), ...changes({ locked: "", vip: 0 })],
    "unknown ones": [...changes({ unknown: "x" }), ...changes({ unknown: "x", plan: "pro" }), ...changes({ role: "admin", banned: true })],
    "the address comes first": changes({ email: "x@example.com", locked: "x" }),
    "nobody": [["eve POST /update-user", { plan: "pro" }], ["eve POST /update-user", { locked: "x" }]],
    "for every device": [phone(), ["phone POST /update-user", { plan: "pro" }], LOOKS, ["ada GET /token"]],
  }),
  ...each("fields of another type", [SIGNS_UP], {
    "a text": changes({ plan: 5 }),
    "a number": changes({ level: "many" }),
    "a truth value": changes({ news: "maybe" }),
    "a date": changes({ born: "soon" }),
    "a list": changes({ scores: ["a"] }),
    "null where a value must be": changes({ nick: null }),
    "at sign-up": [["bob POST /sign-up/email", { ...BOB, nick: null }], ["bob POST /sign-up/email", { ...BOB, nick: "b", level: "x" }]],
  }),
};

const SESSIONS = {
  ...each("session fields", [SIGNS_UP], {
    "what a new session has": [LOOKS, ["ada GET /list-sessions"], phone(), ["phone GET /get-session"]],
    "one changes": [...sets({ theme: "dark" }), ["ada GET /list-sessions"]],
    "by the client": [
      ["ada updateSession", { theme: "dark", tabs: ["a", "b"], until: "2030-01-02" }],
      ["ada getSession"],
      ["ada updateSession", { theme: null, tabs: null }],
      ["ada updateSession", { device: "x" }],
      ["ada updateSession", { unknown: "x" }],
    ],
    "of one session only": [phone(), ...sets({ theme: "dark" }), ["phone GET /get-session"]],
    "one with a default": [...sets({ visits: 8 }), ...sets({ visits: null }), ...sets({ area: "" })],
    "one that may not be set": [...sets({ device: "x" }), ...sets({ device: "x", theme: "dark" }), ...sets({ device: null })],
    "one that nobody sees": sets({ secret: "x" }),
    "nothing to set": [...sets({}), ...sets({ unknown: 1 }), ...sets({ token: "x", userId: "x", expiresAt: "2030-01-01T00:00:00.000Z", ipAddress: "x" })],
    "not in a sign-up or of a user": [["bob POST /sign-up/email", { ...BOB, nick: "b", theme: "dark" }], ["bob GET /get-session"], ["bob POST /update-user", { theme: "dark" }]],
    "nobody": [["eve POST /update-session", { theme: "dark" }], ["eve POST /update-session", { device: "x" }]],
    "no body": [["ada POST /update-session"], ["ada POST /update-session", []], ["ada POST /update-session", null]],
    "a new password, a new session": [
      ...sets({ theme: "dark", visits: 9 }),
      ["ada POST /change-password", { currentPassword: PASSWORD, newPassword: NEW_PASSWORD, revokeOtherSessions: true }],
      LOOKS,
    ],
    "not remembered": [phone({ rememberMe: false }), ["phone POST /update-session", { theme: "dark" }], ["phone GET /get-session"]],
    "from a foreign page": [["ada POST /update-session", { theme: "dark" }, { headers: { origin: "https://evil.example" } }], LOOKS],
    "of another type": [...sets({ theme: 5 }), ...sets({ visits: "x" }), ...sets({ until: "soon" }), ...sets({ area: null })],
  }),
};

const NO_SIGN_IN = {
  "fields of a user that is not signed in": [
    ["ada POST /sign-up/email", { ...LOVELACE, plan: "pro", note: "x", tags: ["a"] }],
    ["bob POST /sign-up/email", { ...ADA, nick: "b", note: "y", level: 4 }],
    ["bob POST /sign-up/email", ADA],
    ["bob POST /sign-up/email", { ...LOVELACE, locked: "x" }],
  ],
};

const NOT_SETTABLE = {
  "a field that must be and may not be set": [["ada POST /sign-up/email", ADA], ["ada POST /sign-up/email", { ...ADA, team: "x" }], ["ada POST /sign-in/email", CREDENTIALS]],
};

const BY_DEFAULT = {
  "a field is required unless it is said": [["ada POST /sign-up/email", ADA]],
  "a field is settable and shown unless it is said": [["ada POST /sign-up/email", { ...ADA, team: "x" }], ["ada POST /update-user", { team: "y" }], LOOKS],
};

const OPTIONS = both(OF_USERS, OF_SESSIONS);

/** Both servers with these fields, for the seeded changes. */
export const FIELDS_OPTIONS = OPTIONS;

export const FIELDS = [
  { name: "fields of users", scenarios: USERS, options: OPTIONS },
  { name: "fields of sessions", scenarios: SESSIONS, options: OPTIONS },
  {
    name: "fields without a sign-in",
    scenarios: NO_SIGN_IN,
    options: both(OF_USERS, {}, { authd: { AUTHD_SIGN_UP__AUTO_SIGN_IN: "false" }, reference: { emailAndPassword: { autoSignIn: false } } }),
  },
  { name: "a field that only operators set", scenarios: NOT_SETTABLE, options: both({ team: { type: "string", required: true, input: false } }) },
  { name: "a field of a type alone", scenarios: BY_DEFAULT, options: both({ team: { type: "string" } }) },
];
