// The tokens as they are kept: a text, so that any storage can hold them.

import type { TokenAnswer } from "../wire.js";
import type { TokenStorage } from "./options.js";
import type { Platform } from "./platform.js";

export interface Tokens {
  accessToken: string;
  /** In token mode. */
  refreshToken?: string;
  /** When they were asked for, and when they are to be replaced, by this device's own clock, whatever the time is at authd. */
  askedAt: number;
  dueAt: number;
  expiresAt: number;
}

/** A token is replaced when a fifth of its life is left, or a minute. */
const MARGIN = { ofLife: 0.2, atMostMs: 60_000 };

export function tokensOf(answer: TokenAnswer, askedAt: number): Tokens {
  const life = answer.expires_in * 1000;
  const expiresAt = askedAt + life;
  const dueAt = expiresAt - Math.min(life * MARGIN.ofLife, MARGIN.atMostMs);
  const refresh = answer.refresh_token === undefined ? {} : { refreshToken: answer.refresh_token };
  return { accessToken: answer.access_token, ...refresh, askedAt, dueAt, expiresAt };
}

/** Whether they are to be replaced. A clock that was set back tells nothing of their age. */
export const isDue = (tokens: Tokens, now: number): boolean => now >= tokens.dueAt || now < tokens.askedAt;

export const write = (tokens: Tokens): string => JSON.stringify(tokens);

/** Null for anything that is not ours. */
export function read(text: string | null): Tokens | null {
  if (text === null) return null;
  try {
    const found = JSON.parse(text) as Partial<Tokens> | null;
    return typeof found?.accessToken === "string" && typeof found.dueAt === "number" ? (found as Tokens) : null;
  } catch {
    return null;
  }
}

export function memory(): TokenStorage {
  let held: string | null = null;
  return {
    get: () => held,
    set: (value) => void (held = value),
    remove: () => void (held = null),
  };
}

export function localStorageOf(platform: Platform, key: string): TokenStorage {
  const storage = platform.localStorage();
  if (storage === undefined) return memory(); // rendered on a server
  return {
    get: () => storage.getItem(key),
    set: (value) => storage.setItem(key, value),
    remove: () => storage.removeItem(key),
  };
}
