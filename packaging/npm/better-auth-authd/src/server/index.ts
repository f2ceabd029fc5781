// The server plugin: Better Auth without a database, with accounts and sessions in authd.

import type { BetterAuthPlugin } from "better-auth";
import { APIError, createAuthEndpoint, createAuthMiddleware, formCsrfMiddleware, isAPIError } from "better-auth/api";
import { AuthdSettingError, isSafe, settingUrl } from "../errors.js";
import type { TokenAnswer, User } from "../wire.js";
import { body, type Context } from "./context.js";
import { clearSession, type Held, isInCookies, readTokens, setSession, showsSession, withNewCookies } from "./session.js";
import { Upstream } from "./upstream.js";

export { AuthdSettingError } from "../errors.js";

export interface AuthdOptions {
  /** Where authd is: `process.env.AUTHD_URL`, such as `http://localhost:8000`. */
  url: string | undefined;
}

interface SignIn {
  email: string;
  password: string;
  rememberMe?: boolean;
  callbackURL?: string;
}

/** Better Auth's routes that need a database. Users and sessions are authd's: its own door has these routes. */
const NOT_HERE = [
  "/change-password", "/set-password", "/verify-password", "/change-email", "/verify-email", "/send-verification-email",
  "/request-password-reset", "/reset-password", "/update-user", "/update-session", "/delete-user", "/delete-user/callback",
  "/list-sessions", "/revoke-session", "/revoke-sessions", "/revoke-other-sessions", "/list-accounts", "/link-social",
  "/unlink-account", "/refresh-token", "/get-access-token", "/account-info", "/sign-in/social",
];

export function authd(options: AuthdOptions) {
  const url = settingUrl("url", options.url, "http://localhost:8000");
  const upstream = new Upstream(url);
  const refreshes = new Map<string, Promise<TokenAnswer | null>>();

  /** New tokens for these, once however many requests of a page need them; null if the session is over. */
  const refresh = (ctx: Context, { refreshToken }: Held): Promise<TokenAnswer | null> => {
    const under = refreshes.get(refreshToken);
    if (under !== undefined) return under;
    const asked = upstream
      .tokens(ctx, "/refresh", { refresh_token: refreshToken })
      .catch((error: unknown) => {
        if (isAPIError(error) && error.statusCode === 401) return null;
        throw error;
      })
      .finally(() => refreshes.delete(refreshToken));
    refreshes.set(refreshToken, asked);
    return asked;
  };

  /** The cookies of a sign-in. The session that the browser showed until now is ended: it has nobody any more. */
  const open = async (ctx: Context, answer: TokenAnswer, rememberMe: boolean | undefined, askedAt: number) => {
    const before = await readTokens(ctx);
    const made = await setSession(ctx, answer, { isRemembered: rememberMe !== false, askedAt });
    if (before !== null) await upstream.signOut(ctx, before.refreshToken).catch(() => {});
    return made;
  };

  /** Before whatever asks for the session: a session that authd has not heard of for the life of a token is asked after. */
  const check = createAuthMiddleware(async (ctx) => {
    const held = await readTokens(ctx);
    if (held === null) {
      if (!showsSession(ctx)) return;
      // A session that nobody can ask after is none.
      clearSession(ctx);
      return { context: withNewCookies(ctx) };
    }
    const askedAt = Date.now();
    // Whoever does not want what is in the cookies wants what authd knows now.
    const isForced = Boolean((ctx.query as { disableCookieCache?: unknown } | undefined)?.disableCookieCache);
    const isDue = isForced || askedAt >= held.dueAt || !(await isInCookies(ctx, held));
    if (!isDue) return;
    try {
      const answer = await refresh(ctx, held);
      if (answer === null) clearSession(ctx);
      else await setSession(ctx, answer, { ...held, askedAt });
      const { headers } = withNewCookies(ctx);
      return { context: isForced ? { headers, query: { disableCookieCache: false } } : { headers } };
    } catch (error) {
      if (isForced || askedAt >= held.expiresAt) throw error;
      return;
    }
  });

  return {
    id: "authd",
    init({ options: { database, emailAndPassword } }) {
      if (database) throw new AuthdSettingError("database", "has to be left out: users and sessions are authd's");
      if (emailAndPassword?.enabled) throw new AuthdSettingError("emailAndPassword.enabled", "has to be false: passwords are authd's");
      if (process.env["NODE_ENV"] === "production" && !isSafe(url) && !isPrivate(url)) {
        throw new AuthdSettingError("url", `${url.origin} is plain http: passwords could be read on the way`);
      }
      return { options: { disabledPaths: NOT_HERE } };
    },
    hooks: { before: [{ matcher: ({ path, headers }) => headers?.has("cookie") === true && !isOwn(path), handler: check }] },
    endpoints: {
      signInEmail: createAuthEndpoint(
        "/sign-in/email",
        { method: "POST", operationId: "signInEmail", use: [formCsrfMiddleware], body: body<SignIn>() },
        async (ctx) => {
          const { email, password, rememberMe, callbackURL } = ctx.body ?? {};
          const askedAt = Date.now();
          const answer = await upstream.tokens(ctx, "/login", { email, password, rememberMe, mode: "token" });
          if (answer === null) throw new APIError("BAD_GATEWAY", { code: "AUTHD_SET_UP", message: "authd answered without tokens" });
          const { session, user } = await open(ctx, answer, rememberMe, askedAt);
          return ctx.json({ redirect: Boolean(callbackURL), token: session.token, url: callbackURL, user });
        },
      ),
      signUpEmail: createAuthEndpoint(
        "/sign-up/email",
        { method: "POST", operationId: "signUpWithEmailAndPassword", use: [formCsrfMiddleware], body: body<SignIn & { name: string }>() },
        async (ctx) => {
          const { email, password, name, rememberMe } = ctx.body ?? {};
          const askedAt = Date.now();
          const wanted = { email, password, name, rememberMe, mode: "token" };
          const { status, body: made } = await upstream.signUp(ctx, wanted);
          if (status === "signed-in") {
            const { session, user } = await open(ctx, made, rememberMe, askedAt);
            return ctx.json({ token: session.token as string | null, user: user as User });
          }
          return ctx.json({ token: null as string | null, user: made.user });
        },
      ),
      signOut: createAuthEndpoint("/sign-out", { method: "POST", operationId: "signOut", requireHeaders: true }, async (ctx) => {
        const held = await readTokens(ctx);
        clearSession(ctx);
        // If authd cannot be reached this browser is signed out all the same, and told that the session may be alive.
        if (held !== null) await upstream.signOut(ctx, held.refreshToken);
        return ctx.json({ success: true });
      }),
      /** `auth.api.authdAccessToken({ headers })`: an access token of authd for calls to other backends. Not reachable from outside. */
      authdAccessToken: createAuthEndpoint.serverOnly({ method: "GET", requireHeaders: true }, async (ctx) => {
        const held = await readTokens(ctx);
        if (held === null) throw new APIError("UNAUTHORIZED", { code: "UNAUTHORIZED", message: "Unauthorized" });
        return { accessToken: held.accessToken, expiresAt: new Date(held.expiresAt) };
      }),
    },
  } satisfies BetterAuthPlugin;
}

/** Routes that make or end the session themselves. */
const isOwn = (path: string | undefined): boolean => path !== undefined && /^\/sign-(in\/email|up\/email|out)$/.test(path);

/** A name or address that only means something behind the router. */
const isPrivate = ({ hostname }: URL): boolean => !hostname.includes(".") || /^(10|192\.168|172\.(1[6-9]|2\d|3[01]))\./.test(hostname);
