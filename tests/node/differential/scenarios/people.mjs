// Who the scenarios are about, and steps that many begin with.

export const PASSWORD = "plum orbit candle 47";
export const NEW_PASSWORD = "quartz lantern mosaic 82";
export const ADA = { name: "Ada Lovelace", email: "ada@example.com", password: PASSWORD };
export const BOB = { name: "Bob", email: "bob@example.com", password: PASSWORD };
export const CREDENTIALS = { email: ADA.email, password: PASSWORD };

export const SIGNS_UP = ["ada POST /sign-up/email", ADA];
export const phone = (more) => ["phone POST /sign-in/email", { ...CREDENTIALS, ...more }];
/** What everybody can see of Ada's session. */
export const LOOKS = ["ada GET /get-session"];

/** One scenario for each case: these steps, then the same request with another body. */
export const each = (what, before, cases) =>
  Object.fromEntries(Object.entries(cases).map(([name, step]) => [`${what}: ${name}`, [...before, ...step]]));
