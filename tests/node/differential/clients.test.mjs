// The last clients of Better Auth 1.4, 1.5 and 1.6: each call sends, and makes of the answer, what the client of 1.7 does; and
// authd answers them as the real server does. Their stores do differ: see ../stores.test.mjs.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { createAuthClient as newest } from "better-auth/client";
import { createAuthClient as client14 } from "better-auth-1.4/client";
import { createAuthClient as client15 } from "better-auth-1.5/client";
import { createAuthClient as client16 } from "better-auth-1.6/client";
import { binaries, testsThatNeed } from "../harness.mjs";
import { compare, inWords, startBoth } from "./runner.mjs";
import { ACCOUNT, DELETION } from "./scenarios/account.mjs";
import { ADA, CREDENTIALS, NEW_PASSWORD, PASSWORD } from "./scenarios/people.mjs";
import { SESSION } from "./scenarios/session.mjs";
import { SIGN_IN } from "./scenarios/sign_in.mjs";
import { SIGN_UP } from "./scenarios/sign_up.mjs";

const test = testsThatNeed([binaries]);
const OLDER = { 1.4: client14, 1.5: client15, 1.6: client16 };

const CALLS = [
  ["signUp.email", ADA],
  ["signIn.email", { ...CREDENTIALS, callbackURL: "/in", rememberMe: false }],
  ["signOut"],
  ["getSession"],
  ["getSession", { query: { disableCookieCache: true, disableRefresh: true } }],
  ["listSessions"],
  ["revokeSession", { token: "x" }],
  ["revokeSessions"],
  ["revokeOtherSessions"],
  ["updateUser", { name: "Ada", image: null }],
  ["updateSession", { theme: "dark" }],
  ["changePassword", { currentPassword: PASSWORD, newPassword: NEW_PASSWORD, revokeOtherSessions: true }],
  ["verifyPassword", { password: PASSWORD }],
  ["listAccounts"],
  ["deleteUser", { password: PASSWORD }],
  ["deleteUser"],
  ["changeEmail", { newEmail: "ada@example.org" }],
  ["token"],
  ["ok"],
  ["error"],
];

/** What a client sends for a call, and what it makes of an answer. */
async function call(createClient, [name, args], answer) {
  let sent;
  const customFetchImpl = async (input, init) => {
    const request = new Request(input, init);
    const { pathname, search } = new URL(request.url);
    const { method, headers, credentials } = request;
    sent = { method, path: pathname + search, headers: Object.fromEntries(headers), credentials, body: await request.text() };
    return answer();
  };
  const client = createClient({ baseURL: "http://localhost:8000/api", fetchOptions: { customFetchImpl } });
  const result = await name.split(".").reduce((at, part) => at[part], client)(args);
  return { sent, result };
}

const ANSWERS = {
  "a success": () => Response.json({ status: true, at: "2026-11-22T12:00:00.123Z" }),
  "null": () => new Response("null", { headers: { "content-type": "application/json" } }),
  "a refusal": () => Response.json({ code: "INVALID_PASSWORD", message: "Invalid password" }, { status: 400, statusText: "Bad Request" }),
  "an empty 404": () => new Response("", { status: 404, statusText: "Not Found" }),
  "too many requests": () => Response.json({ message: "Too many requests. Please try again later." }, { status: 429, statusText: "Too Many Requests" }),
};

describe("what older clients send and make of answers", () => {
  for (const [version, createClient] of Object.entries(OLDER)) {
    for (const [what, answer] of Object.entries(ANSWERS)) {
      test(`${version}: ${what}`, async () => {
        for (const step of CALLS) {
          assert.deepEqual(await call(createClient, step, answer), await call(newest, step, answer), step[0]);
        }
      });
    }
  }
});

/** The scenarios in which a client takes part. */
const withClient = (scenarios) =>
  Object.entries(scenarios).filter(([, steps]) => steps.some(([what]) => what.split(" ").length === 2 && !what.endsWith(" closes")));

const SCENARIOS = [SIGN_UP, SIGN_IN, SESSION, ACCOUNT, DELETION].flatMap(withClient);
const OPTIONS = { authd: { AUTHD_ACCOUNT__SELF_DELETE: "true" }, reference: { user: { deleteUser: { enabled: true } } } };

for (const [version, createClient] of Object.entries(OLDER)) {
  test(`the client of ${version} through the scenarios`, async (t) => {
    const both = await startBoth(t, OPTIONS);
    for (const [name, steps] of SCENARIOS) {
      await t.test(name, async () => {
        const found = await compare(both, { name, steps }, { createClient });
        assert.equal(found.length, 0, `${name}\n${inWords(found)}`);
      });
    }
  });
}
