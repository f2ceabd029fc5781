// authd and authctl for the tests of this package: the harness of tests/node, and Vitest's way to clean up and to skip.

import { onTestFinished, test as vitest } from "vitest";
import * as harness from "../../../../tests/node/harness.mjs";

export const { CookieJar, PAGE, PASSWORD, call, isProgram, pageFetch, repository, run } = harness;

export interface Authd {
  url: string;
  port: number;
  ctl(args: string[], stdin?: string): Promise<any>;
  start(): Promise<void>;
  halt(): Promise<void>;
}

export const ADA = { email: "ada@example.com", password: PASSWORD, name: "Ada" };
export const CREDENTIALS = { email: ADA.email, password: PASSWORD };

/** Tests that need something that may not be there: skipped without it, which is said. */
export function testsThatNeed(things: { what: string; isThere: boolean }[]) {
  const missing = [harness.binaries, ...things].find(({ isThere }) => !isThere)?.what;
  if (missing !== undefined) console.log(`skipped: needs ${missing}`);
  return vitest.skipIf(missing !== undefined);
}

export const test = testsThatNeed([]);

/** Cleans up at the end of a test, last first. */
export const after = (end: () => unknown): void => onTestFinished(async () => void (await end()));

/** A real authd in a process of its own, until the end of the test. */
export const startAuthd = (env: Record<string, string> = {}, options: { isProduction?: boolean } = {}): Promise<Authd> =>
  harness.startAuthd({ after } as never, env, options);

/** How many events of each kind are in the audit trail. */
export async function events(authd: Authd): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { event } of await authd.ctl(["audit", "list", "--all", "-o", "json"])) counts[event] = (counts[event] ?? 0) + 1;
  return counts;
}

/** Waits until it is so; says what it was if it never is. */
export async function until<T>(what: () => T | Promise<T>, isSo: (value: T) => boolean, deadlineMs = 15_000): Promise<T> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    const value = await what();
    if (isSo(value)) return value;
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
