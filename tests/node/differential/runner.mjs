// Runs scenarios against both servers side by side, and judges what differs.

import { createAuthClient } from "better-auth/client";
import { startAuthd } from "../harness.mjs";
import { Mails } from "../mails.mjs";
import { startPostbox } from "../postbox.mjs";
import { differences, Labels } from "./compare.mjs";
import { KNOWN } from "./known.mjs";
import { startReference, TRUSTED } from "./reference.mjs";
import { Side } from "./side.mjs";

/** Settings under which authd is compared: what the scenarios would run into and the real server has off. */
const AUTHD = {
  AUTHD_THROTTLE__FAILURES: "false",
  AUTHD_THROTTLE__REQUESTS: "off",
  AUTHD_HTTP__TRUSTED_PROXIES: "127.0.0.1",
  AUTHD_HTTP__TRUSTED_ORIGINS: TRUSTED.join(","),
};

/** authd's settings to hand its mail over to this server. As many as the scenarios want. */
const mailBy = ({ port }) => ({
  AUTHD_MAIL__HOST: "127.0.0.1",
  AUTHD_MAIL__PORT: String(port),
  AUTHD_MAIL__SECURITY: "none",
  AUTHD_MAIL__FROM: "no-reply@authd.example",
  AUTHD_MAIL__PER_ADDRESS: "1000",
  AUTHD_MAIL__PER_CLIENT: "100000",
});

/**
 * Both servers, with options that mean the same. With `withMail`, authd's mails go to a real SMTP server, and the options of
 * the real server are a function of what takes its mails: `send(to, url)`.
 */
export async function startBoth(t, { authd = {}, reference = {}, publicUrl, clientOptions, withMail = false } = {}) {
  if (withMail) {
    const postbox = await startPostbox(t);
    const mails = new Mails();
    const options = reference((to, url) => mails.put(to, { url }));
    const { ours, theirs } = await startBoth(t, { authd: { ...mailBy(postbox), ...authd }, reference: options, publicUrl, clientOptions });
    return { ours: { ...ours, mails: postbox.mails }, theirs: { ...theirs, mails } };
  }
  const called = publicUrl === undefined ? {} : { AUTHD_HTTP__PUBLIC_URL: publicUrl };
  const [ours, theirs] = await Promise.all([
    startAuthd(t, { ...AUTHD, ...called, ...authd }, { isProduction: true }),
    startReference(t, { baseURL: publicUrl, ...reference }),
  ]);
  const promote = (email, role) => ours.ctl(["user", "role", email, role, "--yes"]);
  return {
    ours: { url: ours.url, publicUrl, promote, clientOptions },
    theirs: { url: theirs.url, publicUrl, promote: theirs.promote, clientOptions },
  };
}

let scenarios = 0;

/**
 * Runs one scenario. Answers what differs and no rule knows, in words, and which statuses each route gave.
 * @param {{ours: {url: string}, theirs: {url: string}}} both
 */
export async function compare(both, { name, steps }, { createClient = createAuthClient, used = new Set(), seen = new Map() } = {}) {
  scenarios += 1;
  const domain = `s${scenarios}.example.com`;
  const sides = ["theirs", "ours"].map((which) => {
    const side = new Side({ ...both[which], createClient, domain });
    return { side, labels: new Labels(side) };
  });
  const found = [];
  for (const [index, step] of steps.entries()) {
    const [theirs, ours] = await Promise.all(
      sides.map(async ({ side, labels }) => labels.step(await side.perform(step))),
    );
    for (const { method, path, status } of theirs.exchanges) {
      const route = `${method} ${path.replace(/^\/api\/auth/, "")}`;
      (seen.get(route) ?? seen.set(route, new Set()).get(route)).add(status);
    }
    const where = { scenario: name, step: step[0] };
    for (const difference of differences(theirs, ours)) {
      const rule = KNOWN.find((rule) => isKnown(rule, { ...where, ...difference }));
      if (rule) used.add(rule);
      else found.push({ ...where, index, ...difference });
    }
  }
  return found;
}

function isKnown({ scenario, step, at, theirs, ours }, difference) {
  const fits = (rule, value) => rule === undefined || (rule instanceof RegExp ? rule.test(value) : rule === value);
  const holds = (rule, value) => (typeof rule === "function" ? rule(value) : rule instanceof RegExp ? rule.test(String(value)) : rule === undefined || Object.is(rule, value));
  return (
    fits(scenario, difference.scenario) &&
    fits(step, difference.step) &&
    fits(at, difference.at) &&
    holds(theirs, difference.theirs) &&
    holds(ours, difference.ours)
  );
}

/** For the reader of a failed test. */
export function inWords(found) {
  const show = (value) => (value === undefined ? "nothing" : JSON.stringify(value));
  return found
    .map(({ index, step, at, theirs, ours }) => `step ${index} (${step}) ${at}:\n    theirs ${show(theirs)}\n    ours   ${show(ours)}`)
    .join("\n");
}
