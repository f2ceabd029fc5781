// Verifies authd's access tokens: a middleware for Hono. With Express it is the same but for the first and the last line.

import { createRemoteJWKSet, errors, jwtVerify } from "jose";

/**
 * @param {object} authd
 * @param {string} authd.issuer authd's http.public_url
 * @param {string} [authd.audience] one of authd's token.audience, if that is set
 * @param {string} [authd.jwksUrl] where the key set is, if not at the issuer
 * @param {number} [authd.cooldown] seconds from one request for the key set to the next, whatever `kid`s strangers make up
 */
export function signedIn({ issuer, audience = issuer, jwksUrl = `${issuer}/.well-known/jwks.json`, cooldown = 30 }) {
  // Asked for once in five minutes, and when a token names a key that is not in it.
  const keys = createRemoteJWKSet(new URL(jwksUrl), { cacheMaxAge: 300_000, cooldownDuration: cooldown * 1000 });
  const expected = { issuer, audience, algorithms: ["EdDSA"], typ: "at+jwt", requiredClaims: ["sub", "sid", "exp"] };

  return async (c, next) => {
    const [scheme, token] = (c.req.header("authorization") ?? "").split(" ");
    if (scheme.toLowerCase() !== "bearer" || !token) return c.json({ code: "UNAUTHORIZED" }, 401, { "www-authenticate": "Bearer" });
    try {
      c.set("user", (await jwtVerify(token, keys, expected)).payload);
    } catch (error) {
      const isToken = error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout);
      if (!isToken) return c.json({ code: "KEYS_UNAVAILABLE" }, 503);
      return c.json({ code: "INVALID_TOKEN" }, 401, { "www-authenticate": 'Bearer error="invalid_token"' });
    }
    await next();
  };
}
