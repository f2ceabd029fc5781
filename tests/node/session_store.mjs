// What a session store is to do, whichever client it is of.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { binaries, CookieJar, pageFetch, PASSWORD, startAuthd, testsThatNeed } from "./harness.mjs";

const test = testsThatNeed([binaries]);
export const CREDENTIALS = { email: "ada@example.com", password: PASSWORD };
export const ADA = { name: "Ada Lovelace", ...CREDENTIALS };

/** How the vanilla client hands its session out: calls back with every value, answers how to stop. */
export const vanilla = (client, see) => client.useSession.subscribe(see);
/** A page with a session store, which counts its requests and can be cut off from the network. */
function openPage(t, authd, { create, open }) {
  const jar = new CookieJar();
  const fetchAsPage = pageFetch({ jar });
  const page = { jar, isCutOff: false, requests: [] };
  const customFetchImpl = async (input, init) => {
    page.requests.push(`${init?.method ?? "GET"} ${new URL(input).pathname.replace("/api", "")}`);
    if (page.isCutOff) throw new TypeError("fetch failed");
    return fetchAsPage(input, init);
  };
  page.client = create({ baseURL: `${authd.url}/api`, fetchOptions: { customFetchImpl } });
  const seen = [];
  const waiting = new Set();
  t.after(
    open(page.client, (value) => {
      seen.push({ ...value });
      for (const check of waiting) check(value);
    }),
  );
  /** The first settled value from now on of which this holds; a store that already has it need not be told again. */
  page.next = (what, holds) =>
    new Promise((resolve, reject) => {
      const overdue = () => reject(new Error(`${what}: never; the store had ${JSON.stringify(seen)}`));
      const deadline = setTimeout(overdue, 30_000);
      const check = (value) => {
        if (value.isPending || value.isRefetching || !holds(value)) return;
        clearTimeout(deadline);
        waiting.delete(check);
        resolve({ ...value });
      };
      waiting.add(check);
    });
  page.first = () => seen[0];
  page.latest = () => seen.at(-1);
  return page;
}

const isSignedIn = ({ data }) => data !== null;
const isSignedOut = ({ data }) => data === null;

/** What the client answered, if it is a success. */
export async function ok(promise) {
  const { data, error } = await promise;
  assert.equal(error, null, JSON.stringify(error));
  return data;
}

/**
 * The tests of a store.
 * @param {{create: Function, open: Function, noticesPassword?: boolean, refetchProlongs?: boolean, outlivesOutage?: boolean}} flavour
 * What older clients do not: fetch anew after a change of the password, prolong by `refetch()` where refresh is deferred, keep the
 * session while the server cannot be reached.
 */
export function testStore(name, flavour) {
  const { noticesPassword = true, refetchProlongs = true, outlivesOutage = true } = flavour;
  describe(`the session store: ${name}`, () => {
    test("follows sign-up, changes, sign-out and sign-in", async (t) => {
      const authd = await startAuthd(t);
      const page = openPage(t, authd, flavour);
      assert.deepEqual([page.first().data, page.first().isPending], [null, true]);

      let change = page.next("a session after sign-up", isSignedIn);
      await ok(page.client.signUp.email(ADA));
      const { data } = await change;
      assert.equal(data.user.email, ADA.email);
      assert.ok(data.session.expiresAt instanceof Date);

      change = page.next("the new name", ({ data }) => data?.user.name === "Ada L");
      await ok(page.client.updateUser({ name: "Ada L" }));
      await change;

      change = page.next("the new session after a change of the password", ({ data: now }) => now?.session.id !== data.session.id);
      await ok(page.client.changePassword({ currentPassword: PASSWORD, newPassword: `${PASSWORD}!`, revokeOtherSessions: true }));
      if (!noticesPassword) await page.latest().refetch();
      assert.equal((await change).data.user.email, ADA.email);

      change = page.next("no session after sign-out", isSignedOut);
      await ok(page.client.signOut());
      assert.equal((await change).error, null);

      change = page.next("a session after sign-in", isSignedIn);
      await ok(page.client.signIn.email({ ...CREDENTIALS, password: `${PASSWORD}!` }));
      assert.equal((await change).data.user.name, "Ada L");
    });

    test("keeps the session while authd cannot be reached, and loses it when it was revoked", async (t) => {
      const authd = await startAuthd(t);
      const page = openPage(t, authd, flavour);
      const signedIn = page.next("a session", isSignedIn);
      await ok(page.client.signUp.email(ADA));
      await signedIn;

      page.isCutOff = true;
      const cutOff = page.next("an error", ({ error }) => error !== null);
      await page.latest().refetch();
      assert.equal((await cutOff).data?.user.email, outlivesOutage ? ADA.email : undefined, "the page keeps its session");

      page.isCutOff = false;
      const back = page.next("no error", ({ error, data }) => error === null && data !== null);
      await page.latest().refetch();
      await back;

      await authd.ctl(["session", "revoke", "--user", ADA.email, "--yes"]);
      const gone = page.next("no session", isSignedOut);
      await page.latest().refetch();
      assert.equal((await gone).error, null);
      assert.deepEqual(page.jar.names(), [], "the browser was told to forget it");
    });

    test("prolongs the session by a POST where refresh is deferred", async (t) => {
      const authd = await startAuthd(t, { AUTHD_SESSION__DEFER_REFRESH: "true", AUTHD_SESSION__UPDATE_AGE: "0s" });
      const page = openPage(t, authd, flavour);
      const signedIn = page.next("a session", isSignedIn);
      await ok(page.client.signUp.email(ADA));
      const { data } = await signedIn;
      page.requests.length = 0;
      const again = page.next("the session again", isSignedIn);
      await page.latest().refetch();
      await again;
      const { data: after } = page.latest();
      const posts = refetchProlongs ? ["POST /get-session"] : [];
      assert.deepEqual(page.requests, ["GET /get-session", ...posts]);
      assert.equal(after.session.expiresAt > data.session.expiresAt, posts.length === 1);
    });
  });
}
