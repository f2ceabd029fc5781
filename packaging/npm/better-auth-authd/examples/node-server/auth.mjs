// Better Auth on a Node server, with accounts and sessions in authd. No database.

import { betterAuth } from "better-auth";
import { authd } from "better-auth-authd/server";

/** @param {{ url?: string, secret?: string, baseURL?: string, trustedOrigins?: string[] }} [options] */
export const createAuth = ({ url = process.env.AUTHD_URL, ...options } = {}) =>
  betterAuth({
    emailAndPassword: { enabled: false },
    session: { cookieCache: { enabled: true, strategy: "jwe", refreshCache: true } },
    plugins: [authd({ url })],
    // baseURL and secret: BETTER_AUTH_URL and BETTER_AUTH_SECRET
    ...options,
  });
