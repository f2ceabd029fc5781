// A deployment of Better Auth is taken over by authd while its users are signed in: the browser goes on as if nothing had been.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startReference } from "../node/differential/reference.mjs";
import { startAuthd } from "../node/harness.mjs";
import { ADA, greets, knowsNobody, openBrowser, openTab, picture, says, send, servePage, signIn, signUp, test } from "./page.mjs";

/** An application with a Better Auth server, and the move of all of it to authd: the database, the secret. */
async function deployment(t) {
  const secret = randomBytes(32).toString("base64");
  // The page and its API are of one origin, as behind a reverse proxy.
  const proxied = {};
  const origin = await servePage(t, {}, proxied);
  const before = await startReference(t, { secret, baseURL: origin });
  proxied.upstream = before.url;
  const takeOver = async () => {
    const dir = await mkdtemp(join(tmpdir(), "authd-takeover-"));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const [database, secretFile] = [join(dir, "better-auth.db"), join(dir, "secret")];
    await writeFile(database, before.database());
    await writeFile(secretFile, secret, { mode: 0o600 });
    const authd = await startAuthd(t, {
      AUTHD_SESSION__LEGACY_SECRET_FILE: secretFile,
      AUTHD_SESSION__LEGACY_SECRET_UNTIL: new Date(Date.now() + 30 * 24 * 60 * 60 * 1000).toISOString(),
    });
    await authd.ctl(["import", "better-auth", database, "--yes"]);
    proxied.upstream = authd.url;
    return authd;
  };
  return { origin, takeOver };
}

/** Every heading that the page shows from now on, also those that are gone before anybody looks. */
async function headings(tab) {
  const seen = [];
  await tab.exposeFunction("sees", (text) => seen.push(text));
  await tab.addInitScript(() => {
    const look = () => {
      const heading = document.querySelector("h1");
      if (heading) globalThis.sees(heading.textContent);
    };
    new MutationObserver(look).observe(document, { childList: true, subtree: true, characterData: true });
  });
  return seen;
}

test("who was signed in at Better Auth never sees a login page when authd takes over", async (t) => {
  const { origin, takeOver } = await deployment(t);
  const context = await openBrowser(t);
  const tab = await openTab(context, origin);
  await signUp(tab);

  const authd = await takeOver();

  const seen = await headings(tab);
  await tab.reload();
  await greets(tab);
  await says(tab, ADA.email);
  await picture(tab, "taken-over");
  await tab.reload();
  await greets(tab);
  assert.deepEqual([...new Set(seen)], ["Hello, Ada"], "no login page, not even for a moment");

  // What only authd can have answered, and that it is her session that changed it.
  await send(tab, "Rename", { name: "Ada of authd" });
  await greets(tab, "Ada of authd");
  const shown = await authd.ctl(["user", "show", ADA.email, "-o", "json"]);
  assert.equal(shown.name, "Ada of authd");

  await send(tab, "Sign out");
  await knowsNobody(tab);
  await signIn(tab);
  await greets(tab, "Ada of authd");
});

test("who was signed out at Better Auth is signed out at authd, whatever cookie the browser has", async (t) => {
  const { origin, takeOver } = await deployment(t);
  const [there, away] = [await openBrowser(t), await openBrowser(t)];
  const [stays, leaves] = [await openTab(there, origin), await openTab(away, origin)];
  await signUp(stays);
  await signIn(leaves);
  await greets(leaves);
  const cookies = await away.cookies(origin);
  await send(leaves, "Sign out");
  await knowsNobody(leaves);

  await takeOver();
  await away.addCookies(cookies);
  await leaves.reload();
  await knowsNobody(leaves);
  await stays.reload();
  await greets(stays);
});
