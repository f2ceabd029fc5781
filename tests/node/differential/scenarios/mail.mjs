// Links in mails. authd hands its mails to a real SMTP server; the real server's application hands them to a function.

import { ADA, BOB, CREDENTIALS, each, LOOKS, NEW_PASSWORD, PASSWORD, phone, SIGNS_UP } from "./people.mjs";

const MAILED = ["somebody mailed"];
/** Follows the `n`-th link from the last, as it was mailed. */
const follows = (who, n = 1) => [`${who} GET `, undefined, { suffix: (s) => s.link(n) }];
/** Follows it with another target, or none. */
const followsTo = (who, path, target) => [
  `${who} GET ${path}`,
  undefined,
  { suffix: (s) => `?token=${s.mailTokens.at(-1)}${target === undefined ? "" : `&callbackURL=${encodeURIComponent(target)}`}` },
];
const opens = (who, target) => [
  `${who} GET /reset-password/`,
  undefined,
  { suffix: (s) => `${s.mailTokens.at(-1)}${target === undefined ? "" : `?callbackURL=${encodeURIComponent(target)}`}` },
];
const asksReset = (body) => ["eve POST /request-password-reset", { email: ADA.email, redirectTo: "/reset", ...body }];
const resets = (body = {}) => ["eve POST /reset-password", (s) => ({ newPassword: NEW_PASSWORD, token: s.mailTokens.at(-1), ...body })];
const withNew = ["phone POST /sign-in/email", { ...CREDENTIALS, password: NEW_PASSWORD }];

const RESET = {
  "a password is reset by the client": [
    ["ada signUp.email", ADA],
    ["eve requestPasswordReset", { email: ADA.email, redirectTo: "/reset" }],
    MAILED,
    follows("eve"),
    ["eve resetPassword", (s) => ({ newPassword: NEW_PASSWORD, token: s.mailTokens.at(-1) })],
    phone(),
    withNew,
    ["ada getSession"],
  ],
  "a link sets one password": [SIGNS_UP, asksReset(), MAILED, resets(), resets(), follows("eve"), phone(), withNew],
  "a password that is refused leaves the link good": [
    SIGNS_UP,
    asksReset(),
    MAILED,
    resets({ newPassword: "short" }),
    resets({ newPassword: "x".repeat(129) }),
    follows("eve"),
    resets(),
    withNew,
  ],
  "the token in the query": [
    SIGNS_UP,
    asksReset(),
    MAILED,
    ["eve POST /reset-password", { newPassword: NEW_PASSWORD }, { suffix: (s) => `?token=${s.mailTokens.at(-1)}` }],
    withNew,
  ],
  "an address in capitals": [SIGNS_UP, asksReset({ email: "ADA@example.com" }), MAILED, resets(), withNew],
  ...each("reset asked for", [SIGNS_UP], {
    "for nobody": [asksReset({ email: "nobody@example.com" })],
    "for no address": [asksReset({ email: "x" })],
    "for a list": [asksReset({ email: ["ada@example.com"] })],
    "for nothing": [["eve POST /request-password-reset", {}], ["eve POST /request-password-reset"]],
    "without a target": [["eve POST /request-password-reset", { email: ADA.email }], MAILED, follows("eve")],
    "with an empty target": [asksReset({ redirectTo: "" }), MAILED, follows("eve")],
    "with a target elsewhere": [asksReset({ redirectTo: "https://evil.example/" }), asksReset({ redirectTo: "//evil.example" })],
    "with a target that is a number": [asksReset({ redirectTo: 5 })],
    "with a trusted target": [asksReset({ redirectTo: "http://localhost:5173/reset?x=1" }), MAILED, follows("eve")],
    "with a target that has a query": [asksReset({ redirectTo: "/reset?a=b%20c&d" }), MAILED, follows("eve")],
    "with a target that has a fragment": [asksReset({ redirectTo: "/reset#here" }), MAILED, follows("eve")],
    "from a foreign page": [["ada POST /request-password-reset", { email: ADA.email }, { headers: { origin: "https://evil.example" } }]],
    "by a form": [["eve POST /request-password-reset", "email=x", { headers: { "content-type": "application/x-www-form-urlencoded" } }]],
  }),
  ...each("reset link", [SIGNS_UP, asksReset(), MAILED], {
    "with another target": [opens("eve", "/other"), opens("eve", "http://localhost:5173/x")],
    "with a target elsewhere": [opens("eve", "https://evil.example"), opens("eve", "//evil.example")],
    "without a target": [opens("eve"), opens("eve", "")],
    "of a token that is none": [["eve GET /reset-password/none?callbackURL=%2Freset"], ["eve GET /reset-password/none?callbackURL="]],
    "of no token": [["eve GET /reset-password/?callbackURL=%2Freset"], ["eve GET /reset-password"]],
    "by a HEAD": [["eve HEAD /reset-password/x?callbackURL=%2Freset"]],
  }),
  ...each("reset", [SIGNS_UP], {
    "with a token that is none": [resets({ token: "none" })],
    "without a token": [["eve POST /reset-password", { newPassword: NEW_PASSWORD }], ["eve POST /reset-password", { newPassword: "x" }]],
    "without a password": [["eve POST /reset-password", { token: "x" }]],
    "with a token that is a number": [resets({ token: 5 })],
    "without a body": [["eve POST /reset-password"]],
  }),
};

const asksProof = (body, who = "eve") => [`${who} POST /send-verification-email`, { email: ADA.email, callbackURL: "/welcome", ...body }];

const PROOF = {
  "a mailbox is proved by the client": [
    ["ada signUp.email", ADA],
    ["ada sendVerificationEmail", { email: ADA.email, callbackURL: "/welcome" }],
    MAILED,
    follows("ada"),
    ["ada getSession"],
    ["ada sendVerificationEmail", { email: ADA.email }],
  ],
  "the link works again": [SIGNS_UP, asksProof(), MAILED, follows("eve"), follows("eve"), followsTo("eve", "/verify-email"), LOOKS],
  "without a target": [SIGNS_UP, asksProof({ callbackURL: undefined }), MAILED, followsTo("eve", "/verify-email"), LOOKS],
  "the mail's own target": [SIGNS_UP, asksProof({ callbackURL: undefined }), MAILED, follows("eve")],
  ...each("proof asked for", [SIGNS_UP], {
    "for nobody": [asksProof({ email: "nobody@example.com" })],
    "for no address": [asksProof({ email: "x" })],
    "for nothing": [["eve POST /send-verification-email", {}]],
    "with a target elsewhere": [asksProof({ callbackURL: "https://evil.example" })],
    "for somebody else": [asksProof({ email: BOB.email }, "ada")],
    "by the user": [asksProof({}, "ada"), MAILED, follows("ada"), asksProof({}, "ada")],
    "in capitals": [asksProof({ email: "ADA@example.com" }), MAILED, follows("eve"), LOOKS],
  }),
  ...each("proof", [SIGNS_UP, asksProof(), MAILED], {
    "with a token that is none": [
      ["eve GET /verify-email?token=bad"],
      ["eve GET /verify-email?token=bad&callbackURL=%2Fwelcome"],
      ["eve GET /verify-email?token=bad&callbackURL=%2Fwelcome%3Fa%3D1"],
      ["eve GET /verify-email?token=bad&callbackURL=http%3A%2F%2Flocalhost%3A5173%2Fx"],
    ],
    "without a token": [["eve GET /verify-email"]],
    "with a target elsewhere": [followsTo("eve", "/verify-email", "https://evil.example"), followsTo("eve", "/verify-email", "//evil.example")],
    "to another target": [followsTo("eve", "/verify-email", "/elsewhere?x=1")],
    "by a HEAD": [["eve HEAD /verify-email?token=bad"]],
  }),
};

const REQUIRED = {
  "nobody signs in before the proof": [
    ["ada signUp.email", { ...ADA, callbackURL: "/welcome" }],
    MAILED,
    phone(),
    phone({ password: "wrong password" }),
    follows("ada"),
    LOOKS,
    phone(),
    ["phone getSession"],
  ],
  "a second sign-up is answered like the first": [
    SIGNS_UP,
    MAILED,
    follows("ada"),
    ["eve POST /sign-up/email", { ...ADA, name: "Eve", password: NEW_PASSWORD }],
    phone(),
    withNew,
  ],
};

const AGAIN_AT_SIGN_IN = {
  "a refused sign-in sends the link again, and the link signs in": [
    ["ada signUp.email", ADA],
    MAILED,
    ["ada POST /sign-in/email", { ...CREDENTIALS, callbackURL: "/after" }],
    MAILED,
    follows("ada"),
    LOOKS,
    ["ada listSessions"],
  ],
};

const asksChange = (body, who = "ada") => [`${who} POST /change-email`, { newEmail: "new@example.com", callbackURL: "/settings", ...body }];
const PROVED = [SIGNS_UP, asksProof({}, "ada"), MAILED, follows("ada")];

const CHANGE = {
  "an address is changed by the client": [
    ["ada signUp.email", ADA],
    ["ada changeEmail", { newEmail: "new@example.com", callbackURL: "/settings" }],
    MAILED,
    follows("ada"),
    ["ada getSession"],
    phone(),
    phone({ email: "new@example.com" }),
  ],
  "the link works once": [SIGNS_UP, asksChange(), MAILED, follows("ada"), follows("ada"), followsTo("ada", "/verify-email")],
  "a link without a target": [SIGNS_UP, asksChange(), MAILED, followsTo("ada", "/verify-email"), LOOKS],
  "somebody else is signed in": [SIGNS_UP, asksChange(), MAILED, ["bob POST /sign-up/email", BOB], follows("bob"), LOOKS],
  ...each("change of address", [SIGNS_UP], {
    "to the same": [asksChange({ newEmail: ADA.email }), asksChange({ newEmail: "ADA@example.com" })],
    "to one that is taken": [["bob POST /sign-up/email", BOB], asksChange({ newEmail: BOB.email })],
    "to none": [asksChange({ newEmail: "x" }), ["ada POST /change-email", {}]],
    "by nobody": [asksChange({}, "eve")],
    "with a target elsewhere": [asksChange({ callbackURL: "https://evil.example" })],
  }),
};

const AGREED = {
  "a proved address agrees first": [...PROVED, asksChange(), MAILED, follows("ada"), MAILED, follows("ada"), LOOKS],
  "an address that is not proved is not asked": [SIGNS_UP, asksChange(), MAILED, follows("ada"), LOOKS],
};

const AT_ONCE = {
  "an address that is not proved is changed at once": [SIGNS_UP, asksChange(), LOOKS, phone({ email: "new@example.com" })],
};

const DELETED_BY_MAIL = {
  "an account is deleted by its link": [
    ["ada signUp.email", ADA],
    ["ada deleteUser", { callbackURL: "/bye" }],
    MAILED,
    follows("eve"),
    follows("ada"),
    LOOKS,
    phone(),
  ],
  "by the token in a body": [SIGNS_UP, ["ada POST /delete-user", {}], MAILED, ["ada POST /delete-user", (s) => ({ token: s.mailTokens.at(-1) })], LOOKS],
  "by a link without a target": [SIGNS_UP, ["ada POST /delete-user", {}], MAILED, followsTo("ada", "/delete-user/callback"), LOOKS],
  "with the password it takes the link all the same": [SIGNS_UP, ["ada POST /delete-user", { password: PASSWORD }], MAILED, follows("ada"), LOOKS],
  "by a token that is none": [
    SIGNS_UP,
    ["ada GET /delete-user/callback?token=bad"],
    ["ada GET /delete-user/callback?token=bad&callbackURL=%2Fbye"],
    ["ada GET /delete-user/callback"],
    ["ada POST /delete-user", { token: "bad" }],
    ["eve GET /delete-user/callback?token=bad"],
    LOOKS,
  ],
};

const sends = (send) => ({ sendVerificationEmail: async ({ user, url }) => send(user.email, url) });
const passwords = (send) => ({ sendResetPassword: async ({ user, url }) => send(user.email, url) });
const group = (name, scenarios, authd, reference) => ({ name: `mail: ${name}`, scenarios, options: { withMail: true, authd, reference } });

export const MAIL = [
  group("passwords", RESET, { AUTHD_PASSWORD__RESET_ENDS_SESSIONS: "false" }, (send) => ({ emailAndPassword: passwords(send) })),
  group("proofs", PROOF, {}, (send) => ({ emailVerification: sends(send) })),
  group("proof required", REQUIRED, { AUTHD_EMAIL__VERIFICATION_REQUIRED: "true" }, (send) => ({
    emailAndPassword: { requireEmailVerification: true },
    emailVerification: sends(send),
  })),
  group(
    "proof required, and sent again",
    AGAIN_AT_SIGN_IN,
    {
      AUTHD_EMAIL__VERIFICATION_REQUIRED: "true",
      AUTHD_EMAIL__SEND_ON_SIGN_IN: "true",
      AUTHD_EMAIL__AUTO_SIGN_IN_AFTER_VERIFICATION: "true",
    },
    (send) => ({
      emailAndPassword: { requireEmailVerification: true },
      emailVerification: { ...sends(send), sendOnSignIn: true, autoSignInAfterVerification: true },
    }),
  ),
  group("changes of address", CHANGE, { AUTHD_EMAIL__CHANGE_ENABLED: "true" }, (send) => ({
    emailVerification: sends(send),
    user: { changeEmail: { enabled: true } },
  })),
  group(
    "changes of address that are agreed to",
    AGREED,
    { AUTHD_EMAIL__CHANGE_ENABLED: "true", AUTHD_EMAIL__CHANGE_CONFIRMATION: "true" },
    (send) => ({
      emailVerification: sends(send),
      user: { changeEmail: { enabled: true, sendChangeEmailConfirmation: async ({ user, url }) => send(user.email, url) } },
    }),
  ),
  group(
    "changes of address at once",
    AT_ONCE,
    { AUTHD_EMAIL__CHANGE_ENABLED: "true", AUTHD_EMAIL__CHANGE_UNVERIFIED_AT_ONCE: "true" },
    () => ({ user: { changeEmail: { enabled: true, updateEmailWithoutVerification: true } } }),
  ),
  group(
    "deletions",
    DELETED_BY_MAIL,
    { AUTHD_ACCOUNT__SELF_DELETE: "true", AUTHD_ACCOUNT__DELETE_BY_MAIL: "true" },
    (send) => ({ user: { deleteUser: { enabled: true, sendDeleteAccountVerification: async ({ user, url }) => send(user.email, url) } } }),
  ),
];
