// What a user does at an application, in Chromium: real CORS, real cookies, real tabs.

import assert from "node:assert/strict";
import { PASSWORD, startAuthd } from "../node/harness.mjs";
import {
  ADA,
  askAgain,
  greets,
  knowsNobody,
  openBrowser,
  openTab,
  picture,
  says,
  send,
  servePage,
  sessionCookies,
  set,
  signIn,
  signUp,
  test,
} from "./page.mjs";

const NEW_PASSWORD = "quartz lantern mosaic 82";

test("sign up, reload, close the tab and open another: still signed in", async (t) => {
  const { authd, origin, openBrowser } = await set(t);
  const context = await openBrowser();
  const tab = await openTab(context, origin);
  await knowsNobody(tab);
  await picture(tab, "nobody");
  await signUp(tab);
  await picture(tab, "signed-up");
  await tab.reload();
  await greets(tab);
  await tab.close();
  await greets(await openTab(context, origin));

  const [cookie, ...others] = await sessionCookies(context, authd);
  assert.equal(others.length, 0);
  const { name, httpOnly, sameSite, path, domain, secure } = cookie;
  assert.deepEqual(
    { name, httpOnly, sameSite, path, domain, secure },
    { name: "better-auth.session_token", httpOnly: true, sameSite: "Lax", path: "/", domain: "localhost", secure: false },
  );
  const days = (cookie.expires - Date.now() / 1000) / 86_400;
  assert.ok(days > 6.9 && days <= 7, `${days}`);
});

test("no script of the page can read the session's cookie, nor one of another page the session", async (t) => {
  const trusted = await servePage(t, {});
  const foreign = await servePage(t, {});
  const authd = await startAuthd(t, { AUTHD_HTTP__TRUSTED_ORIGINS: trusted }, { isProduction: true });
  const context = await openBrowser(t);
  const ask = (tab, path, body) =>
    tab.evaluate(
      async ([url, body]) => {
        const init = body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
        try {
          const answer = await fetch(url, { credentials: "include", ...init });
          return { status: answer.status, body: await answer.json() };
        } catch (error) {
          return error.name;
        }
      },
      [`${authd.url}/api${path}`, body],
    );
  const good = await openTab(context, `${trusted}/`);
  assert.equal((await ask(good, "/sign-up/email", ADA)).status, 200);
  assert.equal((await ask(good, "/get-session")).body.user.name, "Ada");
  assert.equal(await good.evaluate(() => document.cookie), "");

  const evil = await openTab(context, `${foreign}/`);
  assert.equal(await ask(evil, "/get-session"), "TypeError", "the answer is not for it");
  assert.equal(await ask(evil, "/sign-out", {}), "TypeError", "the preflight is not granted");
  // What needs no preflight: a form. It brings the cookie along, as a page of the same site, and is refused.
  await evil.evaluate((url) => {
    const form = Object.assign(document.createElement("form"), { method: "POST", action: url, enctype: "text/plain" });
    document.body.append(form);
    form.submit();
  }, `${authd.url}/api/sign-out`);
  await evil.waitForURL(/sign-out/);
  assert.equal((await ask(good, "/get-session")).body.user.name, "Ada", "nothing of it ended the session");
});

test("sign out in one tab, and the other follows", async (t) => {
  const { origin, openBrowser } = await set(t);
  const context = await openBrowser();
  const [one, other] = [await openTab(context, origin), await openTab(context, origin)];
  await signUp(one);
  await other.reload();
  await greets(other);
  await send(one, "Rename", { name: "Ada L" });
  await greets(one, "Ada L");
  await greets(other, "Ada L");
  await send(one, "Sign out");
  await knowsNobody(one);
  await knowsNobody(other);
  await picture(other, "followed-sign-out");
});

test("a wrong password is said, and the right one signs in", async (t) => {
  const { authd, origin, openBrowser } = await set(t);
  await signUp(await openTab(await openBrowser(), origin));
  const context = await openBrowser();
  const tab = await openTab(context, origin);
  await signIn(tab, "wrong");
  await says(tab, "401 INVALID_EMAIL_OR_PASSWORD");
  await picture(tab, "wrong-password");
  assert.deepEqual(await sessionCookies(context, authd), []);
  await send(tab, "Sign in", { email: ADA.email, password: PASSWORD });
  await greets(tab);
});

test("a change of the password ends the session of the other browser", async (t) => {
  const { origin, openBrowser } = await set(t);
  const laptop = await openTab(await openBrowser(), origin);
  const phone = await openTab(await openBrowser(), origin);
  await signUp(laptop);
  await signIn(phone);
  await greets(phone);
  await send(laptop, "Change password", { currentPassword: "wrong", newPassword: NEW_PASSWORD });
  await says(laptop, "400 INVALID_PASSWORD");
  await send(laptop, "Change password", { currentPassword: PASSWORD, newPassword: NEW_PASSWORD });
  await laptop.getByRole("status").waitFor();
  await laptop.reload();
  await greets(laptop);
  await askAgain(phone);
  await knowsNobody(phone);
  await signIn(phone);
  await says(phone, "401 INVALID_EMAIL_OR_PASSWORD");
  await send(phone, "Sign in", { email: ADA.email, password: NEW_PASSWORD });
  await greets(phone);
});

test("authd down and back: the page keeps its session", async (t) => {
  const { authd, origin, openBrowser } = await set(t);
  const tab = await openTab(await openBrowser(), origin);
  await signUp(tab);
  await authd.halt();
  await askAgain(tab);
  await says(tab, "The session cannot be asked for");
  await greets(tab);
  await picture(tab, "authd-down");
  await authd.start();
  await askAgain(tab);
  await tab.getByText("The session cannot be asked for").waitFor({ state: "detached" });
  await greets(tab);
  await tab.reload();
  await greets(tab);
});

test("a revocation by the operator is seen at the next focus", async (t) => {
  const { authd, origin, openBrowser } = await set(t);
  const context = await openBrowser();
  // The page's clock goes when it is told to: the client asks at a focus, but not within 5 s of the last time.
  await context.clock.install();
  const tab = await openTab(context, origin);
  await signUp(tab);
  await authd.ctl(["session", "revoke", "--user", ADA.email, "--yes"]);
  await greets(tab);
  await tab.clock.fastForward(6000);
  await tab.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await knowsNobody(tab);
  await picture(tab, "revoked");
  assert.deepEqual(await sessionCookies(context, authd), [], "the browser was told to forget it");
});

test("an expired session is noticed by a page that asks from time to time", async (t) => {
  const short = ["EXPIRES_IN", "UPDATE_AGE", "ABSOLUTE", "UNREMEMBERED"].map((name) => [`AUTHD_SESSION__${name}`, "4s"]);
  const { origin, openBrowser } = await set(t, Object.fromEntries(short), { refetchInterval: 1 });
  const tab = await openTab(await openBrowser(), origin);
  await signUp(tab);
  await knowsNobody(tab);
});

const MAILED = "example.com";

test("a forgotten password: the link of the mail leads to the page, which sets a new one", async (t) => {
  const { authd, origin, openBrowser } = await set(t);
  const at = await openTab(await openBrowser(), origin);
  await signUp(at);
  const context = await openBrowser();
  const tab = await openTab(context, origin);
  await knowsNobody(tab);
  await send(tab, "Forgot password", { email: ADA.email });
  await says(tab, "done");
  const { url } = await authd.mails.next(MAILED);
  await tab.goto(url);
  assert.ok(tab.url().startsWith(`${origin}/?token=`), tab.url());
  await send(tab, "Set password", { newPassword: NEW_PASSWORD });
  await says(tab, "done");
  await picture(tab, "password-set");
  // Whoever was signed in is not any more.
  await askAgain(at);
  await knowsNobody(at);
  await tab.goto(origin);
  await signIn(tab);
  await says(tab, "401 INVALID_EMAIL_OR_PASSWORD");
  await send(tab, "Sign in", { email: ADA.email, password: NEW_PASSWORD });
  await greets(tab);
  // The link has done its work.
  await tab.goto(url);
  assert.equal(tab.url(), `${origin}/?error=INVALID_TOKEN`);
});

test("a mailbox is proved by the link of the mail, on another device", async (t) => {
  const { authd, origin, openBrowser } = await set(t);
  const tab = await openTab(await openBrowser(), origin);
  await signUp(tab);
  await says(tab, "The address is not proved");
  await send(tab, "Prove address");
  await says(tab, "done");
  const { url } = await authd.mails.next(MAILED);
  const phone = await (await openBrowser()).newPage();
  await phone.goto(url);
  assert.equal(phone.url(), `${origin}/`);
  await knowsNobody(phone);
  await askAgain(tab);
  await says(tab, "The address is proved");
});

test("an address is changed: the old one agrees, the new one is proved", async (t) => {
  const env = { AUTHD_EMAIL__CHANGE_ENABLED: "true", AUTHD_EMAIL__CHANGE_CONFIRMATION: "true" };
  const { authd, origin, openBrowser } = await set(t, env);
  const tab = await openTab(await openBrowser(), origin);
  await signUp(tab);
  await send(tab, "Prove address");
  await tab.goto((await authd.mails.next(MAILED)).url);
  await says(tab, "The address is proved");
  await send(tab, "Change address", { newEmail: "ada@new.example" });
  await says(tab, "done");
  const agree = await authd.mails.next(MAILED);
  assert.equal(agree.to, ADA.email);
  await tab.goto(agree.url);
  await greets(tab);
  await says(tab, ADA.email);
  await tab.goto((await authd.mails.next("new.example")).url);
  await greets(tab);
  await says(tab, "ada@new.example");
  await send(tab, "Sign out");
  await knowsNobody(tab);
  await send(tab, "Sign in", { email: "ada@new.example", password: PASSWORD });
  await greets(tab);
});
