// Better Auth's username plugin: names to sign in with.

import { usernameClient } from "better-auth/client/plugins";
import { username } from "better-auth/plugins";
import { ADA, BOB, each, LOOKS, PASSWORD } from "./people.mjs";

// Each scenario has names of its own: a name is one user's alone.
const NAME = "Ada_{s}";
const SIGNS_UP = ["ada POST /sign-up/email", { ...ADA, username: NAME }];
const BOB_TOO = ["bob POST /sign-up/email", { ...BOB, username: "bob_{s}" }];
const signUp = (more) => [["bob POST /sign-up/email", { ...BOB, ...more }], ["bob GET /get-session"]];
const signIn = (body) => ["phone POST /sign-in/username", { username: NAME, password: PASSWORD, ...body }];
const update = (body) => [["ada POST /update-user", body], LOOKS];
const isFree = (name) => ["script POST /is-username-available", { username: name }];

const ALL = {
  ...each("sign-up with a username", [SIGNS_UP], {
    "and its spelling": signUp({ username: "Bob_{s}", displayUsername: "Bob the Builder" }),
    "and an empty spelling": signUp({ username: "Bob_{s}", displayUsername: "" }),
    "a spelling alone that can be one": signUp({ displayUsername: "Bob_{s}" }),
    "a spelling alone that cannot": signUp({ displayUsername: "Bob the Builder" }),
    "a spelling alone that is taken": signUp({ displayUsername: "ADA_{s}" }),
    "that is taken": signUp({ username: "ADA_{s}" }),
    "that is taken, by whoever is there": [["bob POST /sign-up/email", { ...ADA, username: NAME }]],
    "that is taken, with an address that is none": signUp({ username: NAME, email: "x" }),
    "that is taken, with a short password": signUp({ username: NAME, password: "x" }),
    "too short": signUp({ username: "ab", password: "x" }),
    "too long": signUp({ username: "a".repeat(31) }),
    "with a space": signUp({ username: "has space" }),
    "with letters of other scripts": signUp({ username: "äda_{s}" }),
    "empty": signUp({ username: "" }),
    "null": signUp({ username: null, displayUsername: null }),
    "a number": signUp({ username: 5 }),
    "none": signUp({}),
  }),
  ...each("sign-in by username", [SIGNS_UP], {
    "as typed": [signIn(), ["phone GET /get-session"]],
    "in capitals": [signIn({ username: "ADA_{s}" })],
    "not remembered, with a callback": [signIn({ rememberMe: false, callbackURL: "/home" })],
    "wrong password": [signIn({ password: "wrong password" })],
    "nobody": [signIn({ username: "nobody_{s}" })],
    "too short, too long, no name": ["ab", "a".repeat(31), "a b c"].map((name) => signIn({ username: name })),
    "empty": [signIn({ username: "" }), signIn({ password: "" }), signIn({ username: "a", password: "" })],
    "missing": [["phone POST /sign-in/username", { password: PASSWORD }], ["phone POST /sign-in/username", { username: NAME }], ["phone POST /sign-in/username"]],
    "a number": [signIn({ username: 5 }), signIn({ username: null })],
    "a password that is too long": [signIn({ password: "x".repeat(129) })],
    "as a form": [["phone POST /sign-in/username", "username=ada&password=x", { headers: { "content-type": "application/x-www-form-urlencoded" } }]],
    "by the address": [["phone POST /sign-in/username", { username: ADA.email, password: PASSWORD }]],
  }),
  ...each("is-username-available", [SIGNS_UP], {
    "free and taken": [isFree("free_{s}"), isFree(NAME), isFree("ADA_{s}"), isFree("...")],
    "no name": ["a b", "a-b-c", " ada", "äbc"].map(isFree),
    "too short, too long, empty": ["a", "a".repeat(31), ""].map(isFree),
    "a number, nothing": [isFree(5), isFree(null), ["script POST /is-username-available", {}], ["script POST /is-username-available"]],
    "free again after a change": [["ada POST /update-user", { username: "new_{s}" }], isFree(NAME), isFree("new_{s}")],
  }),
  ...each("update-user: a username", [SIGNS_UP, BOB_TOO], {
    "another": update({ username: "New_{s}" }),
    "the same in capitals": update({ username: "ADA_{s}" }),
    "its spelling": update({ displayUsername: "Countess  of" }),
    "both": update({ username: "New_{s}", displayUsername: "The New" }),
    "another's": update({ username: "BOB_{s}" }),
    "a spelling that is another's name": update({ displayUsername: "Bob_{s}" }),
    "no name": [...update({ username: "a b" }), ...update({ username: "!" }), ...update({ username: "" })],
    "taken away": [...update({ username: null, displayUsername: null }), signIn()],
    "a number": update({ username: 5 }),
    "without a session": [["script POST /update-user", { username: "a" }], ["script POST /update-user", { username: NAME }], ["script POST /update-user", { username: "fine_{s}" }]],
  }),
  "by the client": [
    ["ada signUp.email", { ...ADA, username: NAME }],
    ["ada isUsernameAvailable", { username: NAME }],
    ["phone signIn.username", { username: NAME, password: PASSWORD }],
    ["phone getSession"],
    ["phone updateUser", { username: "New_{s}", displayUsername: "N" }],
    ["phone getSession"],
    ["tablet signIn.username", { username: NAME, password: PASSWORD }],
  ],
};

export const USERNAMES = [
  {
    name: "usernames",
    scenarios: ALL,
    options: { authd: { AUTHD_USERNAME__ENABLED: "true" }, reference: { plugins: [username()] }, clientOptions: { plugins: [usernameClient()] } },
  },
];
