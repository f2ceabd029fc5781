// The real Better Auth server beside authd, both driven by the unmodified client and by raw requests: what the caller sees and
// what goes over the wire is the same, but for what known.mjs lists.

import assert from "node:assert/strict";
import { binaries, testsThatNeed } from "../harness.mjs";
import { KNOWN } from "./known.mjs";
import { compare, inWords, startBoth } from "./runner.mjs";
import { GROUPS } from "./scenarios/index.mjs";

const test = testsThatNeed([binaries]);
const used = new Set();
const seen = new Map();

/** Some groups only, while one works on them: part of their names. */
const only = process.env.AUTHD_TEST_GROUP;
for (const { name, options, scenarios } of GROUPS.filter(({ name }) => only === undefined || name.includes(only))) {
  test(name, async (t) => {
    const both = await startBoth(t, options);
    for (const [scenario, steps] of Object.entries(scenarios)) {
      await t.test(scenario, async () => {
        const found = await compare(both, { name: scenario, steps }, { used, seen });
        assert.equal(found.length, 0, `${scenario}\n${inWords(found)}`);
      });
    }
  });
}

/** What each route must have been seen to answer, or the scenarios compare refusals of one kind only. */
const EXPECTED = {
  "POST /sign-up/email": [200, 400, 403, 415, 422],
  "POST /sign-in/email": [200, 400, 401, 403, 415],
  "POST /sign-out": [200, 400, 403, 415],
  "GET /get-session": [200],
  "POST /get-session": [405],
  "GET /list-sessions": [200, 401],
  "POST /revoke-session": [200, 400, 401],
  "POST /revoke-sessions": [200, 401, 403],
  "POST /revoke-other-sessions": [200, 400, 401],
  "POST /update-session": [200, 400, 401, 403],
  "GET /admin/list-users": [200, 400, 401, 403],
  "GET /admin/get-user": [200, 400, 401, 403, 404],
  "POST /admin/create-user": [200, 400, 401, 403],
  "POST /admin/update-user": [200, 400, 401, 403, 404],
  "POST /admin/set-role": [200, 400, 401, 403, 404],
  "POST /admin/ban-user": [200, 400, 401, 403, 404],
  "POST /admin/unban-user": [200, 400, 401, 403, 404],
  "POST /admin/set-user-password": [200, 400, 401, 403, 404],
  "POST /admin/remove-user": [200, 400, 401, 403, 404],
  "POST /admin/list-user-sessions": [200, 400, 401, 403],
  "POST /admin/revoke-user-session": [200, 400, 401, 403],
  "POST /admin/revoke-user-sessions": [200, 401, 403],
  "POST /admin/impersonate-user": [200, 400, 401, 403, 404],
  "POST /admin/stop-impersonating": [200, 400, 401],
  "POST /admin/has-permission": [200, 400, 401],
  "POST /sign-in/username": [200, 400, 401, 415, 422],
  "POST /is-username-available": [200, 400, 422],
  "POST /update-user": [200, 400, 401, 403],
  "POST /change-password": [200, 400, 401, 403],
  "POST /verify-password": [200, 400, 401],
  "POST /delete-user": [200, 400, 401, 403, 404],
  "GET /list-accounts": [200, 401],
  "POST /send-verification-email": [200, 400, 403],
  "POST /request-password-reset": [200, 400, 403, 415],
  "POST /reset-password": [200, 400],
  "POST /change-email": [200, 400, 401, 403],
  "GET /token": [200, 401],
  "GET /jwks": [200],
  "GET /ok": [200],
  "GET /error": [302],
};

if (only === undefined) test("every route was seen to succeed and to refuse", () => {
  const missing = Object.entries(EXPECTED).flatMap(([route, statuses]) =>
    statuses.filter((status) => !seen.get(route)?.has(status)).map((status) => `${route}: ${status}`),
  );
  assert.deepEqual(missing, []);
});

if (only === undefined) test("every known difference is still one", () => {
  assert.deepEqual(KNOWN.filter((rule) => !used.has(rule)).map(({ why, at }) => `${at}: ${why}`), []);
});
