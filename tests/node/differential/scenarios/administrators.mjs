// Better Auth's admin plugin: administrators among the users.

import { adminClient } from "better-auth/client/plugins";
import { admin } from "better-auth/plugins";
import { createAccessControl } from "better-auth/plugins/access";
import { each, NEW_PASSWORD, PASSWORD } from "./people.mjs";

const person = (name) => ({ name, email: `${name}@example.com`, password: PASSWORD });
const signsUp = (name) => [`${name} POST /sign-up/email`, person(name)];
const signsIn = (name, more) => [`${name} POST /sign-in/email`, { email: `${name}@example.com`, password: PASSWORD, ...more }];
const looks = (name) => [`${name} GET /get-session`];

/** Root is the administrator; Bob and Eve are users. */
const PEOPLE = [signsUp("root"), signsUp("bob"), signsUp("eve"), ["root becomes admin"]];
const bob = (s) => s.answers[1].user.id;
const eve = (s) => s.answers[2].user.id;
const root = (s) => s.answers[0].user.id;

const asks = (who, route, body) => [`${who} POST /admin/${route}`, body];
/** The same of Bob. */
const ofBob = (who, route, more) => asks(who, route, (s) => ({ userId: bob(s), ...more }));
const finds = (query, who = "root") => [`${who} GET /admin/list-users`, undefined, { suffix: `?${query}` }];
/** The list of this scenario's users only, in an order that both servers have. */
const among = (query) => finds(`searchValue=@example.com&sortBy=name&${query}`);

const LISTS = {
  ...each("list-users", PEOPLE, {
    "in the order of names": [among("")],
    "in the other order": [among("sortDirection=desc")],
    "the first": [among("limit=1")],
    "the second": [among("limit=1&offset=1")],
    "the last, and what is behind it": [among("limit=2&offset=2"), among("limit=2&offset=3")],
    "a limit of nothing": [among("limit=0")],
    "a limit that is no number": [among("limit=abc&offset=x")],
    "a limit and a half": [among("limit=1.5")],
    "less than nothing": [among("limit=-1"), among("limit=2&offset=-1")],
    "a very large limit": [among("limit=99999999999")],
    "by a field that there is not": [finds("sortBy=nope"), finds("filterField=nope&filterValue=1")],
    "by a field that nobody sees": [finds("filterField=password&filterValue=x")],
    "by the beginning of the address": [finds("searchValue=bob@example.com&searchOperator=starts_with")],
    "by the end of the address": [among("searchOperator=ends_with"), finds("searchValue=bob@&searchOperator=ends_with")],
    "by the address in capitals": [finds("searchValue=BOB@example.com")],
    "by the address itself": [finds("filterValue=bob@example.com"), finds("filterField=email&filterOperator=eq&filterValue=Bob@example.com")],
    "by role": [among("filterField=role&filterValue=admin"), among("filterField=role&filterValue=admin&filterOperator=ne")],
    "by ban": [ofBob("root", "ban-user"), among("filterField=banned&filterValue=true"), among("filterField=banned&filterValue=false")],
    "by the reason of a ban": [ofBob("root", "ban-user", { banReason: "spam" }), among("filterField=banReason&filterValue=spam"), among("filterField=banReason&filterValue=spam&filterOperator=ne")],
    "by what nobody has": [among("filterField=image&filterValue="), among("filterField=image&filterOperator=ne&filterValue=x")],
    "by time": [
      among("filterField=createdAt&filterOperator=gt&filterValue=2020-01-01T00:00:00.000Z"),
      among("filterField=createdAt&filterOperator=lt&filterValue=2020-01-01T00:00:00.000Z"),
    ],
    "by parts of the name": ["contains", "starts_with", "ends_with"].map((operator) => among(`filterField=name&filterOperator=${operator}&filterValue=B`)),
    "by comparing": ["gt", "gte", "lt", "lte"].map((operator) => among(`filterField=name&filterOperator=${operator}&filterValue=eve`)),
    "one of these": [["root GET /admin/list-users", undefined, { suffix: (s) => `?sortBy=name&filterField=id&filterOperator=in&filterValue=${bob(s)}&filterValue=${eve(s)}` }]],
    "none of these": [among("filterField=name&filterOperator=not_in&filterValue=bob&filterValue=eve")],
    "one of one": [["root GET /admin/list-users", undefined, { suffix: (s) => `?filterField=id&filterOperator=in&filterValue=${bob(s)}` }]],
    "a sign that stands for all": [finds("searchValue=%25@example.com")],
    "words that are none of the choices": [finds("searchField=role&searchValue=x"), finds("sortDirection=up"), finds("filterOperator=zz&filterValue=1"), finds("searchOperator=eq&limit=1&limit=2")],
    "one twice": [finds("limit=1&limit=2"), finds("sortBy=name&sortBy=email")],
    "not an administrator": [finds("", "bob")],
    "nobody": [["script GET /admin/list-users"], ["script GET /admin/list-users", undefined, { suffix: "?searchField=x" }]],
    "not by POST": [["root POST /admin/list-users", {}]],
  }),
  ...each("get-user", PEOPLE, {
    "a user": [["root GET /admin/get-user", undefined, { suffix: (s) => `?id=${bob(s)}` }]],
    "oneself": [["root GET /admin/get-user", undefined, { suffix: (s) => `?id=${root(s)}` }]],
    "nobody": [["root GET /admin/get-user", undefined, { suffix: "?id=nope" }], ["root GET /admin/get-user", undefined, { suffix: "?id=" }]],
    "no id, and two": [["root GET /admin/get-user"], ["root GET /admin/get-user", undefined, { suffix: "?id=a&id=b" }]],
    "not an administrator": [["bob GET /admin/get-user", undefined, { suffix: (s) => `?id=${bob(s)}` }]],
    "without a session": [["script GET /admin/get-user", undefined, { suffix: "?id=x" }]],
  }),
};

const create = (body) => asks("root", "create-user", body);
const update = (data) => ofBob("root", "update-user", { data });

const ACCOUNTS = {
  ...each("create-user", PEOPLE, {
    "with a password": [create(person("new")), signsIn("new")],
    "without": [create({ email: "new@example.com", name: "New" }), signsIn("new")],
    "with an empty one": [create({ ...person("new"), password: "" })],
    "an address in capitals": [create({ ...person("new"), email: "NEW@example.com" })],
    "a role": [create({ ...person("new"), role: "support" })],
    "several roles": [create({ ...person("new"), role: ["user", "admin"] })],
    "no role at all": [create({ ...person("new"), role: [] })],
    "a role that is a number": [create({ ...person("new"), role: 5 }), create({ ...person("new"), role: ["user", 5] })],
    "more data": [create({ ...person("new"), data: { emailVerified: true, image: "https://example.com/x.png", role: "support" } })],
    "data that is a list": [create({ ...person("new"), data: [1] })],
    "banned from the beginning": [create({ ...person("new"), data: { banned: true, banReason: "why" } }), signsIn("new")],
    "of somebody who is there": [create(person("bob")), create({ ...person("bob"), email: "BOB@example.com" })],
    "an address that is none": [create({ ...person("new"), email: "x" }), create({ ...person("new"), email: 5 })],
    "a password that is too long": [create({ ...person("new"), password: "x".repeat(129) })],
    "a password that is too short": [create({ ...person("new"), password: "x" })],
    "no name": [create({ email: "new@example.com" })],
    "nothing": [create({}), ["root POST /admin/create-user"]],
    "not an administrator": [asks("bob", "create-user", person("new")), asks("bob", "create-user", {})],
    "without a session": [["script POST /admin/create-user", person("new")], ["script POST /admin/create-user", {}]],
  }),
  ...each("update-user", PEOPLE, {
    "a name": [update({ name: "Bobby" }), looks("bob")],
    "a picture, and none": [update({ image: "https://example.com/b.png" }), update({ image: null })],
    "an address": [update({ email: "BOBBY@example.com", emailVerified: true }), signsIn("bobby")],
    "one's own address": [update({ email: "bob@example.com" })],
    "another's address": [update({ email: "eve@example.com" })],
    "an address that is none": [update({ email: "x" }), update({ email: "" }), update({ email: 5 })],
    "roles": [update({ role: ["user", "support"] }), update({ role: "user" })],
    "a role that is a number": [update({ role: 5 })],
    "nothing": [update({})],
    "what there is not": [update({ nope: 1 })],
    "a password": [update({ password: "x" }), update({ password: null })],
    "the id": [update({ id: "x" })],
    "a ban": [update({ banned: true, banReason: "why", banExpires: "2100-01-01T00:00:00.000Z" }), looks("bob"), signsIn("bob")],
    "a ban of oneself": [asks("root", "update-user", (s) => ({ userId: root(s), data: { banned: true } }))],
    "nobody": [asks("root", "update-user", { userId: "nope", data: { name: "x" } }), asks("root", "update-user", { userId: "nope", data: {} })],
    "an id that is a number": [asks("root", "update-user", { userId: 5, data: { name: "x" } })],
    "no data, or a list": [ofBob("root", "update-user"), ofBob("root", "update-user", { data: [] })],
    "no id": [asks("root", "update-user", { data: { name: "x" } })],
    "not an administrator": [ofBob("eve", "update-user", { data: { name: "x" } }), ofBob("eve", "update-user", { data: {} })],
    "without a session": [ofBob("script", "update-user", { data: { name: "x" } })],
  }),
  ...each("set-role", PEOPLE, {
    "one": [ofBob("root", "set-role", { role: "support" }), looks("bob")],
    "several": [ofBob("root", "set-role", { role: ["user", "admin"] }), finds("searchValue=@example.com&sortBy=name", "bob")],
    "none": [ofBob("root", "set-role", { role: [] })],
    "a number": [ofBob("root", "set-role", { role: 5 })],
    "nothing": [ofBob("root", "set-role")],
    "of nobody": [asks("root", "set-role", { userId: "nope", role: "user" })],
    "one's own, away": [asks("root", "set-role", (s) => ({ userId: root(s), role: "user" })), finds("")],
    "not an administrator": [ofBob("bob", "set-role", { role: "admin" }), asks("bob", "set-role", { userId: "nope", role: "x" })],
    "without a session": [ofBob("script", "set-role", { role: "admin" })],
  }),
  ...each("remove-user", PEOPLE, {
    "a user": [ofBob("root", "remove-user"), looks("bob"), signsIn("bob"), ofBob("root", "remove-user")],
    "oneself": [asks("root", "remove-user", (s) => ({ userId: root(s) }))],
    "no id": [asks("root", "remove-user", {})],
    "not an administrator": [ofBob("eve", "remove-user")],
    "without a session": [ofBob("script", "remove-user")],
  }),
  ...each("set-user-password", PEOPLE, {
    "another": [ofBob("root", "set-user-password", { newPassword: NEW_PASSWORD }), signsIn("bob"), ["phone POST /sign-in/email", { email: "bob@example.com", password: NEW_PASSWORD }]],
    "too short, too long, empty": ["x", "x".repeat(129), ""].map((newPassword) => ofBob("root", "set-user-password", { newPassword })),
    "nothing": [asks("root", "set-user-password", {}), asks("root", "set-user-password", { userId: "", newPassword: 5 })],
    "of nobody": [asks("root", "set-user-password", { userId: "nope", newPassword: NEW_PASSWORD }), asks("root", "set-user-password", { userId: "nope", newPassword: "x" })],
    "not an administrator": [ofBob("eve", "set-user-password", { newPassword: NEW_PASSWORD })],
    "without a session": [ofBob("script", "set-user-password", { newPassword: NEW_PASSWORD })],
  }),
  ...each("sign-up", [], {
    "with a role": [["eve POST /sign-up/email", { ...person("eve"), role: "admin" }], ["eve POST /sign-up/email", { ...person("eve"), role: "" }]],
    "with a ban": [["eve POST /sign-up/email", { ...person("eve"), banned: true }], ["bob POST /sign-up/email", { ...person("bob"), banReason: "x" }]],
  }),
  ...each("one's own fields", PEOPLE, {
    "the role": [["bob POST /update-user", { role: "admin" }], ["bob POST /update-user", { role: "" }], looks("bob")],
    "a name and a ban": [["bob POST /update-user", { name: "B", banned: true }], ["bob POST /update-user", { banned: false }], looks("bob")],
    "who acts in the session": [["bob POST /update-session", { impersonatedBy: "x" }], looks("bob")],
  }),
};

const SESSIONS = {
  ...each("ban-user", PEOPLE, {
    "for good": [ofBob("root", "ban-user"), looks("bob"), signsIn("bob"), ["bob POST /sign-in/email", { email: "bob@example.com", password: "wrong password" }]],
    "with reason and end": [ofBob("root", "ban-user", { banReason: "spam", banExpiresIn: 3600 })],
    "of no length": [ofBob("root", "ban-user", { banExpiresIn: 0 })],
    "of a length that is a text": [ofBob("root", "ban-user", { banExpiresIn: "5" }), ofBob("root", "ban-user", { banReason: 5 })],
    "one that is over": [ofBob("root", "ban-user", { banReason: "x", banExpiresIn: -5 }), signsIn("bob"), looks("bob")],
    "again, and lifted": [ofBob("root", "ban-user", { banReason: "one" }), ofBob("root", "ban-user", { banReason: "two" }), ofBob("root", "unban-user"), ofBob("root", "unban-user"), signsIn("bob")],
    "oneself": [asks("root", "ban-user", (s) => ({ userId: root(s) }))],
    "nobody": [asks("root", "ban-user", { userId: "nope" }), asks("root", "unban-user", { userId: "nope" }), asks("root", "ban-user", {}), asks("root", "unban-user", {})],
    "not an administrator": [ofBob("eve", "ban-user"), ofBob("eve", "unban-user")],
    "without a session": [ofBob("script", "ban-user"), ofBob("script", "unban-user")],
  }),
  ...each("sessions of others", PEOPLE, {
    "listed": [ofBob("root", "list-user-sessions"), asks("root", "list-user-sessions", { userId: "nope" }), asks("root", "list-user-sessions", {})],
    "ended by its token": [ofBob("root", "list-user-sessions"), asks("root", "revoke-user-session", (s) => ({ sessionToken: s.answers.at(-1).sessions[0].token })), looks("bob")],
    "an unknown token": [asks("root", "revoke-user-session", { sessionToken: "nope" }), asks("root", "revoke-user-session", {})],
    "all ended": [ofBob("root", "revoke-user-sessions"), looks("bob"), asks("root", "revoke-user-sessions", { userId: "nope" })],
    "not an administrator": ["list-user-sessions", "revoke-user-sessions"].map((route) => ofBob("eve", route)).concat([asks("eve", "revoke-user-session", { sessionToken: "x" })]),
    "without a session": ["list-user-sessions", "revoke-user-sessions"].map((route) => ofBob("script", route)).concat([asks("script", "revoke-user-session", { sessionToken: "x" })]),
  }),
  ...each("impersonation", PEOPLE, {
    "begun and ended": [ofBob("root", "impersonate-user"), looks("root"), ["root GET /list-sessions"], finds("", "root"), asks("root", "stop-impersonating", {}), looks("root"), asks("root", "stop-impersonating", {})],
    "of an administrator who is not remembered": [signsIn("root", { rememberMe: false }), ofBob("root", "impersonate-user"), asks("root", "stop-impersonating", {}), looks("root")],
    "of an administrator": [asks("root", "impersonate-user", (s) => ({ userId: root(s) })), ofBob("root", "set-role", { role: "user,admin" }), ofBob("root", "impersonate-user")],
    "of nobody": [asks("root", "impersonate-user", { userId: "nope" }), asks("root", "impersonate-user", {})],
    "of somebody who is banned": [ofBob("root", "ban-user"), ofBob("root", "impersonate-user"), looks("root")],
    "another within": [ofBob("root", "impersonate-user"), asks("root", "impersonate-user", (s) => ({ userId: eve(s) })), asks("root", "stop-impersonating", {})],
    "seen by the user": [ofBob("root", "impersonate-user"), ["root POST /update-user", { name: "Bob!" }], looks("bob"), ["bob GET /list-sessions"]],
    "and the token": [ofBob("root", "impersonate-user"), ["root GET /token"]],
    "what only the user may do": [
      ofBob("root", "impersonate-user"),
      ["root POST /change-password", { currentPassword: PASSWORD, newPassword: NEW_PASSWORD }],
    ],
    "signed out of": [ofBob("root", "impersonate-user"), ["root POST /sign-out", {}], looks("root")],
    "not an administrator": [ofBob("eve", "impersonate-user"), asks("eve", "stop-impersonating", {})],
    "without a session": [ofBob("script", "impersonate-user"), asks("script", "stop-impersonating", {})],
    "its browser is closed": [ofBob("root", "impersonate-user"), ["root closes"], looks("root")],
  }),
};

const has = (who, body) => asks(who, "has-permission", body);
const PERMISSIONS = each("has-permission", PEOPLE, {
  "what administrators may": [has("root", { permissions: { user: ["create"], session: ["list"] } }), has("root", { permissions: { user: ["impersonate-admins"] } })],
  "what users may": [has("bob", { permissions: { user: ["create"] } })],
  "nothing asked": [has("root", { permissions: {} }), has("root", { permissions: { user: [] } })],
  "what there is not": [has("root", { permissions: { x: ["y"] } }), has("root", { permissions: { user: ["fly"] } })],
  "in another form": [has("root", { permissions: { user: "create" } }), has("root", { permissions: [] }), has("root", { permissions: 5 }), has("root", { permissions: { user: [5] } })],
  "under another name": [has("root", { permission: { user: ["create"] } }), has("root", { permissions: { user: ["create"] }, permission: { user: ["create"] } }), has("root", {})],
  "of somebody else": [has("bob", { permissions: { user: ["create"] }, role: "admin" }), has("root", { permissions: { user: ["create"] }, role: 5 })],
  "without a session": [has("script", { permissions: { user: ["create"] } }), has("script", {}), has("script", { permission: { user: ["create"] } })],
});

const CLIENT = {
  "by the client": [
    ["root signUp.email", person("root")],
    ["bob signUp.email", person("bob")],
    ["root becomes admin"],
    ["root admin.listUsers", { query: { searchValue: "@example.com", sortBy: "name", limit: 10 } }],
    ["root admin.createUser", { ...person("new"), role: "user" }],
    ["root admin.getUser", (s) => ({ query: { id: s.answers[1].user.id } })],
    ["root admin.setRole", (s) => ({ userId: s.answers[1].user.id, role: "support" })],
    ["root admin.updateUser", (s) => ({ userId: s.answers[1].user.id, data: { name: "Bobby" } })],
    ["root admin.banUser", (s) => ({ userId: s.answers[1].user.id, banReason: "spam", banExpiresIn: 3600 })],
    ["root admin.unbanUser", (s) => ({ userId: s.answers[1].user.id })],
    ["bob signIn.email", { email: "bob@example.com", password: PASSWORD }],
    ["root admin.listUserSessions", (s) => ({ userId: s.answers[1].user.id })],
    ["root admin.revokeUserSession", (s) => ({ sessionToken: s.answers.at(-1).sessions[0].token })],
    ["root admin.revokeUserSessions", (s) => ({ userId: s.answers[1].user.id })],
    ["root admin.setUserPassword", (s) => ({ userId: s.answers[1].user.id, newPassword: NEW_PASSWORD })],
    ["root admin.hasPermission", { permissions: { user: ["list"] } }],
    ["root admin.impersonateUser", (s) => ({ userId: s.answers[1].user.id })],
    ["root getSession"],
    ["root admin.stopImpersonating"],
    ["root getSession"],
    ["root admin.removeUser", (s) => ({ userId: s.answers[1].user.id })],
    ["bob admin.listUsers", { query: {} }],
  ],
};

const STATEMENTS = {
  user: ["create", "list", "set-role", "ban", "impersonate", "impersonate-admins", "delete", "set-password", "set-email", "set-phone", "get", "update"],
  session: ["list", "revoke", "delete"],
  project: ["create", "share"],
};
const control = createAccessControl(STATEMENTS);
const ROLES = {
  member: {},
  admin: { user: ["create", "list", "set-role", "ban", "impersonate", "delete", "set-password", "set-email", "get", "update"], session: ["list", "revoke", "delete"] },
  support: { user: ["impersonate", "impersonate-admins", "get"], project: ["create"] },
  updater: { user: ["update"] },
  creator: { user: ["create"] },
};
const asText = ([name, may]) => [name, ...Object.entries(may).flatMap(([resource, actions]) => actions.map((action) => `${resource}:${action}`))].join(" ");

const asRole = (role) => [...PEOPLE, [`eve becomes ${role}`]];
const changes = (data) => ofBob("eve", "update-user", { data });
const OWN_ROLES = {
  ...each("a role of one's own", asRole("updater"), {
    "may change names": [changes({ name: "B" })],
    "and no roles": [changes({ role: "member" }), changes({ role: 5 }), changes({ role: "zz" })],
    "and no addresses": [changes({ email: "z@example.com" }), changes({ email: "zz" }), changes({ emailVerified: true })],
    "and ban nobody": [changes({ banned: true }), changes({ banned: false }), changes({ banReason: "x" })],
    "nor set telephone numbers": [changes({ phoneNumber: "1" })],
    "in this order": [changes({ password: "x", role: "member" }), changes({ id: "x", role: "member" }), changes({ password: "x", id: "x" })],
    "of nobody": [asks("eve", "update-user", { userId: "nope", data: { role: "member" } }), asks("eve", "update-user", { userId: "nope", data: { email: "zz@example.com" } })],
    "nothing else": [finds("", "eve"), ofBob("eve", "ban-user"), ofBob("eve", "set-role", { role: "admin" })],
  }),
  ...each("who makes accounts", asRole("creator"), {
    "makes them": [asks("eve", "create-user", person("new"))],
    "without roles": [asks("eve", "create-user", { ...person("new"), role: "member" }), asks("eve", "create-user", { ...person("new"), data: { role: "admin" } }), asks("eve", "create-user", { ...person("bob"), role: "admin" })],
    "without bans": [asks("eve", "create-user", { ...person("new"), data: { banned: true } })],
    "with a proved address": [asks("eve", "create-user", { ...person("new"), data: { emailVerified: true } })],
  }),
  ...each("support", asRole("support"), {
    "acts as administrators": [asks("eve", "impersonate-user", (s) => ({ userId: root(s) })), looks("eve"), asks("eve", "stop-impersonating", {})],
    "asks for the application": [has("eve", { permissions: { project: ["create"] } }), has("eve", { permissions: { project: ["create", "share"] } }), has("eve", { permissions: { project: ["create"], user: ["get"] } })],
  }),
  ...each("roles that there are not", PEOPLE, {
    "set-role": [ofBob("root", "set-role", { role: "zz" }), ofBob("root", "set-role", { role: ["member", "zz"] }), asks("root", "set-role", { userId: "nope", role: "zz" }), ofBob("root", "set-role", { role: "member,support" }), ofBob("root", "set-role", { role: "" }), ofBob("root", "set-role", { role: [] })],
    "create-user": [create({ ...person("new"), role: "zz" })],
    "update-user": [update({ role: "zz" }), update({ role: ["member", "zz"] })],
  }),
  ...each("options", PEOPLE, {
    "the usual reason and length of a ban, and what is said": [ofBob("root", "ban-user"), signsIn("bob")],
    "the usual role": [looks("bob")],
  }),
};

const ON = { authd: { AUTHD_ADMIN_PLUGIN__ENABLED: "true" }, reference: { plugins: [admin()] }, clientOptions: { plugins: [adminClient()] } };

export const ADMINISTRATORS = [
  { name: "administrators: lists", scenarios: LISTS, options: ON },
  { name: "administrators: accounts", scenarios: ACCOUNTS, options: ON },
  { name: "administrators: bans, sessions, impersonation", scenarios: SESSIONS, options: ON },
  { name: "administrators: permissions", scenarios: { ...PERMISSIONS, ...CLIENT }, options: ON },
  {
    name: "administrators: roles of the application",
    scenarios: OWN_ROLES,
    options: {
      authd: {
        ...ON.authd,
        AUTHD_ADMIN_PLUGIN__ROLES: Object.entries(ROLES).map(asText).join(","),
        AUTHD_ADMIN_PLUGIN__DEFAULT_ROLE: "member",
        AUTHD_ADMIN_PLUGIN__BANNED_USER_MESSAGE: "Go away",
        AUTHD_ADMIN_PLUGIN__DEFAULT_BAN_REASON: "because",
        AUTHD_ADMIN_PLUGIN__DEFAULT_BAN_EXPIRES_IN: "1h",
      },
      reference: {
        plugins: [
          admin({
            ac: control,
            roles: Object.fromEntries(Object.entries(ROLES).map(([name, may]) => [name, control.newRole(may)])),
            defaultRole: "member",
            bannedUserMessage: "Go away",
            defaultBanReason: "because",
            defaultBanExpiresIn: 3600,
          }),
        ],
      },
    },
  },
];
