// What Better Auth hands to endpoints and hooks, as far as it is used here.

import type { setSessionCookie } from "better-auth/cookies";

export type Context = Parameters<typeof setSessionCookie>[0];
export type SessionAndUser = Parameters<typeof setSessionCookie>[1];

/** A body that authd looks at: here it has a type and nothing else. */
export const body = <T>() => ({
  "~standard": { version: 1 as const, vendor: "authd", validate: (value: unknown) => ({ value: value as T }), types: undefined as { input: T; output: T } | undefined },
});
