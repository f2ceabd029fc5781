// What differs on purpose, each with its reason. A rule that nothing needs any more fails the run.

const absent = (value) => value === undefined;

export const KNOWN = [
  // Of every answer.
  {
    at: /^exchanges\.\d+\.headers\.(x-content-type-options|referrer-policy|content-security-policy|cross-origin-resource-policy)$/,
    theirs: absent,
    why: "WB-06: every answer has them",
  },
  { at: /^exchanges\.\d+\.headers\.x-request-id$/, theirs: absent, why: "errors are found again in the log by it" },
  { at: /^exchanges\.\d+\.headers\.vary$/, theirs: absent, ours: "Origin", why: "WB-05: CORS is the daemon's own" },
  {
    at: /^exchanges\.\d+\.headers\.access-control-(allow-origin|allow-credentials|expose-headers)$/,
    why: "WB-05: CORS is the daemon's own; the real server leaves it to its host",
  },
  { at: /\.headers\.strict-transport-security$/, theirs: absent, ours: "max-age=31536000", why: "WB-06: where the public URL is https" },
  { at: /\.headers\.retry-after$/, theirs: absent, why: "TH-01: what other clients than Better Auth's look for" },
  { at: /\.claims\.sid$/, theirs: absent, ours: /^<sid/, why: "the session that a token ends with; claims of one's own are for that" },
  { at: /\.claims\.act$/, theirs: absent, ours: (act) => /^<id \d+>$/.test(act?.sub), why: "AZ-07: a token says who acts as its subject (RFC 8693 section 4.1)" },
  { at: /\.keys\.\d+\.use$/, theirs: absent, ours: "sig", why: "RFC 7517 section 4.2: for those who would take the key for encryption" },
  {
    step: /GET \/jwks/,
    at: /\.headers\.(cache-control|etag)$/,
    theirs: absent,
    why: "backends may keep the key set, and ask whether it changed",
  },
  { at: /^exchanges\.\d+\.headers\.cache-control$/, theirs: absent, ours: "no-store", why: "WB-06: nothing here is for caches" },

  // Of single scenarios: there everything may differ that follows from the reason.
  { scenario: "sign-up: the domain ends with a dash", why: "RFC 1123 section 2.1: no such domain can receive mail" },
  { scenario: "sign-up: the password is four emoji", why: "AU-02: one finds it within a million guesses" },
  { scenario: "sign-up: the password is white space", why: "AU-02: one finds it within a million guesses" },
  { scenario: "sign-up: a member twice", why: "HT-05: no two readers of a body may see different things in it" },
  { scenario: "a number that is too large", why: "HT-05: no two readers of a body may see different things in it" },
  { scenario: "a byte order mark before a body", why: "RFC 8259 section 8.1: there is none in JSON" },
  { scenario: "a control character in a name", why: "HT-07: names are shown on terminals and in logs" },
  {
    scenario: "sign-in: with a callback that is not ASCII",
    at: /\.headers\.location$/,
    why: "RFC 9110 section 10.2.2: a URI reference is ASCII; clients follow the URL of the body, which is the same",
  },
  { scenario: "update-user: the name is null", why: "the real server fails with an empty 500" },
  {
    scenario: /^(fields of another type: |session fields: of another type$)/,
    why: "the real server checks no types: its database makes something of it, or fails (422 at sign-up, or an empty 500)",
  },
  {
    scenario: "a field is required unless it is said",
    theirs: (value) => [422, "Unprocessable Entity", "Failed to create user", "FAILED_TO_CREATE_USER"].includes(value),
    ours: (value) => [400, "Bad Request", "team is required", "MISSING_FIELD"].includes(value),
    why: "the real server leaves this to its database, which does not say which field",
  },
  { scenario: /^update-user: the (name|picture) is a number$/, why: "the real server stores what its database makes of it" },
  {
    scenario: "a new password where the session is not remembered",
    at: /\.session\.expiresAt/,
    why: "SE-09: the session that takes its place is not remembered either",
  },
  {
    scenario: "an app that is not remembered",
    step: "script GET /get-session",
    why: "SE-09: the real server forgets, without the cookie dont_remember, that a session was not to be remembered",
  },
  {
    scenario: "every use prolongs, and sets the cookie",
    step: "ada POST /update-user",
    at: /\.cookies$/,
    theirs: (cookies) => cookies.length === 2 && JSON.stringify(cookies[0]) === JSON.stringify(cookies[1]),
    ours: (cookies) => cookies.length === 1,
    why: "the same cookie once is enough",
  },
  { scenario: "a new password where nothing is said of other devices", why: "AU-10: they end, unless the configuration says otherwise" },
  {
    scenario: "a password is reset by the client",
    step: "ada getSession",
    why: "RC-07: nobody had proved the mailbox, so whoever was signed in may be somebody else",
  },
  {
    scenario: /^a page rides on the visitor's cookie: from a trusted origin (with a slash|in capitals)$/,
    why: "WB-01: an origin is compared as browsers send it",
  },
  { scenario: "targets: \"http://user@localhost:5173/\"", why: "WB-01: nothing that looks like another host" },
  { scenario: "target: https:a.example.com", why: "WB-01: a browser reads it as a URL, a person does not" },
  {
    scenario: "address: IPv6",
    at: /ipAddress$/,
    theirs: "2001:0db8:0001:0002:0000:0000:0000:0000",
    ours: "2001:db8:1:2:3:4:5:6",
    why: "the whole address, as it is written (RFC 5952)",
  },
  {
    scenario: /^address: (no address|an empty text)$/,
    at: /ipAddress$/,
    theirs: "",
    ours: "127.0.0.1",
    why: "TH-04: what is no address falls back to the peer's",
  },
  { scenario: "targets: \"myapp:x\"", why: "the entry is myapp://, and this is another form of URL" },
  { scenario: "list-users: one of one", why: "the real server fails where a list has one item" },
  { scenario: "list-users: a sign that stands for all", why: "the real server takes the wildcards of its database for such" },
  { scenario: "create-user: a password that is too short", why: "AU-05: the rules of passwords hold for administrators too" },
  { scenario: "ban-user: one that is over", at: /\.banExpires$/, why: "a time of the past, by the milliseconds of either server" },
  { scenario: "impersonation: what only the user may do", why: "AZ-07: who acts as a user does not change the password" },
  {
    scenario: "impersonation: signed out of",
    step: "root POST /sign-out",
    at: /\.cookies$/,
    theirs: (cookies) => cookies.length === 3,
    ours: (cookies) => cookies.length === 4 && cookies[3].name.endsWith("admin_session") && cookies[3].value === "",
    why: "whoever signs out leaves no session behind that comes back",
  },
  { scenario: "sign-up with a username: a number", why: "the real server fails to make a name of it" },
  { scenario: "update-user: a username: a number", why: "the real server fails to make a name of it" },
];
