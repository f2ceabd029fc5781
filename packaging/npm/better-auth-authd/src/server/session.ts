// The session of a browser, in cookies alone: Better Auth's own two, and beside them authd's tokens, encrypted.

import { applySetCookies, createSessionStore, decodeCookieCache, deleteSessionCookie, expireCookie, getChunkedCookie, setSessionCookie } from "better-auth/cookies";
import { symmetricDecodeJWT, symmetricEncodeJWT } from "better-auth/crypto";
import type { TokenAnswer } from "../wire.js";
import type { Context, SessionAndUser } from "./context.js";

/** What the cookie holds. Times are milliseconds by this server's clock. */
export interface Held {
  sid: string;
  accessToken: string;
  refreshToken: string;
  signedInAt: number;
  dueAt: number;
  expiresAt: number;
  isRemembered: boolean;
}

const COOKIE = "authd_tokens";
/** Keeps the key apart from those of Better Auth's cookies, which are made of the same secret. */
const SALT = "better-auth-authd";
/** As the client does: a fifth of the life of a token, or a minute. */
const MARGIN = { ofLife: 0.2, atMostMs: 60_000 };

const cookieOf = (ctx: Context, maxAge?: number) => ctx.context.createAuthCookie(COOKIE, maxAge === undefined ? {} : { maxAge });

/** authd's tokens, if there is such a cookie and it is ours. */
export async function readTokens(ctx: Context): Promise<Held | null> {
  const value = getChunkedCookie(ctx, cookieOf(ctx).name);
  if (!value) return null;
  const held = await symmetricDecodeJWT<Held>(value, ctx.context.secretConfig, SALT);
  return typeof held?.refreshToken === "string" ? held : null;
}

/** Sets all cookies of a session. `before` is what a refresh replaces. */
export async function setSession(ctx: Context, answer: TokenAnswer, how: { isRemembered: boolean; signedInAt?: number; askedAt: number }): Promise<SessionAndUser> {
  const { isRemembered, askedAt, signedInAt = askedAt } = how;
  const sid = sidOf(answer.access_token);
  const life = answer.expires_in * 1000;
  const left = answer.refresh_expires_in ?? answer.expires_in;
  const expiresAt = askedAt + life;
  const held: Held = {
    sid,
    accessToken: answer.access_token,
    refreshToken: answer.refresh_token ?? "",
    signedInAt,
    dueAt: expiresAt - Math.min(life * MARGIN.ofLife, MARGIN.atMostMs),
    expiresAt,
    isRemembered,
  };
  const made = { session: sessionOf(ctx, answer, held, left), user: userOf(answer) };
  await setSessionCookie(ctx, made, !isRemembered);
  const cookie = cookieOf(ctx, isRemembered ? left : undefined);
  // An access token with many claims of its own is more than one cookie holds.
  const store = createSessionStore(cookie.name, cookie.attributes, ctx);
  store.setCookies(store.chunk(await symmetricEncodeJWT({ ...held }, ctx.context.secretConfig, SALT, left), cookie.attributes));
  return made;
}

/** Deletes all cookies of the session. */
export function clearSession(ctx: Context): void {
  deleteSessionCookie(ctx);
  const { name, attributes } = cookieOf(ctx);
  expireCookie(ctx, { name, attributes });
  const store = createSessionStore(name, attributes, ctx);
  store.setCookies(store.clean());
}

/** The request as it would be, had the browser the cookies of the answer already. */
export function withNewCookies(ctx: Context): { headers: Headers } {
  const headers = new Headers({ cookie: ctx.headers?.get("cookie") ?? "" });
  applySetCookies(headers, ctx.responseHeaders.getSetCookie());
  return { headers };
}

/** Whether Better Auth will find the session of these tokens in its own cookies. */
export async function isInCookies(ctx: Context, { sid }: Held): Promise<boolean> {
  const value = getChunkedCookie(ctx, ctx.context.authCookies.sessionData.name);
  const cached = value ? await decodeCookieCache(ctx, value) : null;
  return cached !== null && cached.expiresAt > Date.now() && cached.session.session.token === sid;
}

/** Whether the browser shows a session of Better Auth at all. */
export const showsSession = (ctx: Context): boolean => Boolean(ctx.getCookie(ctx.context.authCookies.sessionToken.name));

function sessionOf(ctx: Context, { user }: TokenAnswer, { sid, signedInAt }: Held, left: number): SessionAndUser["session"] {
  return {
    // authd's public handle of the session, which is worth nothing as a credential.
    id: sid,
    token: sid,
    userId: user.id,
    createdAt: new Date(signedInAt),
    updatedAt: new Date(),
    expiresAt: new Date(Date.now() + left * 1000),
    ipAddress: "",
    userAgent: ctx.headers?.get("user-agent") ?? "",
  };
}

const userOf = ({ user }: TokenAnswer): SessionAndUser["user"] => ({
  ...user,
  createdAt: new Date(user.createdAt),
  updatedAt: new Date(user.updatedAt),
});

/** The session that an access token is of. It came from authd itself, so nothing is to be verified. */
function sidOf(accessToken: string): string {
  const claims = JSON.parse(Buffer.from(accessToken.split(".")[1] ?? "", "base64url").toString()) as { sid?: unknown };
  if (typeof claims.sid !== "string") throw new Error("authd: an access token without `sid`");
  return claims.sid;
}
