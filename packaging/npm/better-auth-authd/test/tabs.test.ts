// Fifty tabs that share one stored token, racing for refreshes round after round, over a network that loses every tenth
// answer, on a laptop that sleeps now and then: nobody is signed out, and authd takes nobody for a thief.

import { AuthdUnreachableError } from "better-auth-authd/client";
import { expect } from "vitest";
import { ADA, type Authd, CREDENTIALS, events, startAuthd, test } from "./authd.js";
import { Device, noLocks, turn } from "./device.js";

const TABS = 50;
const ROUNDS = 200;
const LIFE = 15 * 60_000;
const NIGHT = 8 * 60 * 60_000;

/** The same numbers in every run: mulberry32. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Plays the rounds. Answers how many tabs found themselves signed out, and how many tokens a round had at most. */
async function play(device: Device) {
  const draw = random(7);
  let lost = 0;
  device.loses = (path) => {
    const isLost = path === "/refresh" && draw() < 0.1;
    if (isLost) lost += 1;
    return isLost;
  };
  const ends: string[] = [];
  const tabs = Array.from({ length: TABS }, () =>
    device.open({ mode: "token", storage: "localStorage", onSessionEnded: (code) => ends.push(code) }),
  );
  expect((await tabs[0]!.login(CREDENTIALS)).error).toBe(null);
  let signedOut = 0;
  let tokensOfARound = 0;
  /** A user whose click failed clicks again. */
  const ask = async (tab: (typeof tabs)[number]): Promise<string | null> => {
    await turn();
    try {
      return await tab.accessToken();
    } catch (error) {
      if (!(error instanceof AuthdUnreachableError)) throw error;
      return ask(tab);
    }
  };
  for (let round = 1; round <= ROUNDS; round += 1) {
    if (round % 20 === 0) await device.sleep(NIGHT);
    else await device.advance(LIFE);
    const tokens = await Promise.all(tabs.map(ask));
    signedOut += tokens.filter((token) => token === null).length;
    tokensOfARound = Math.max(tokensOfARound, new Set(tokens).size);
  }
  return { signedOut, ends, tokensOfARound, lost, requests: device.requests("/refresh") };
}

async function start(env: Record<string, string>): Promise<Authd> {
  const authd = await startAuthd(env);
  await authd.ctl(["user", "create", "--email", ADA.email, "--name", ADA.name, "--password-stdin"], ADA.password);
  return authd;
}

test("rf_03 tabs that take turns: one refresh a round, and no window for repeats is needed", { timeout: 120_000 }, async () => {
  const authd = await start({ AUTHD_SESSION__REUSE_WINDOW: "0s" });
  const device = new Device(authd, null);
  const played = await play(device);
  const found = await events(authd);
  console.log(`turns: ${played.requests} refreshes in ${ROUNDS} rounds of ${TABS} tabs, ${played.lost} answers lost`);
  expect(played).toMatchObject({ signedOut: 0, ends: [], tokensOfARound: 1 });
  expect(played.lost).toBeGreaterThan(5);
  expect(played.requests).toBe(ROUNDS + played.lost);
  expect([found["token.refresh_reused"], found["session.revoked"]]).toEqual([undefined, undefined]);

  // That the alarm is not out of order: a token of long ago.
  const device2 = new Device(authd, null);
  const thief = device2.open({ mode: "token", storage: "localStorage" });
  await thief.login(CREDENTIALS);
  const copy = device2.stored()[0]!;
  await thief.refresh();
  await thief.refresh();
  device2.restore(copy);
  expect(await thief.refresh()).toBe(false);
  expect((await events(authd))["token.refresh_reused"]).toBe(1);
});

test("rf_04 tabs that cannot wait for each other: authd's window covers them", { timeout: 180_000 }, async () => {
  const authd = await start({});
  const device = new Device(authd, null, noLocks);
  const played = await play(device);
  const found = await events(authd);
  console.log(`races: ${played.requests} refreshes in ${ROUNDS} rounds of ${TABS} tabs, ${played.lost} answers lost`);
  expect(played).toMatchObject({ signedOut: 0, ends: [] });
  expect(played.lost).toBeGreaterThan(100);
  expect(played.requests, "they do race").toBeGreaterThan(5 * ROUNDS);
  expect([found["token.refresh_reused"], found["session.revoked"]]).toEqual([undefined, undefined]);
});
