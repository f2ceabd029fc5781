// A small server in the manner of Next.js: pages that read the session and set no cookie, and route handlers that may.
// AUTHD_URL=http://localhost:8000 BETTER_AUTH_SECRET=… BETTER_AUTH_URL=http://localhost:3000 API_URL=… node server.mjs

import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { fromNodeHeaders, toNodeHandler } from "better-auth/node";
import { createAuth } from "./auth.mjs";

/** @param {ReturnType<typeof createAuth>} auth */
export function createApp(auth, apiUrl) {
  const betterAuth = toNodeHandler(auth);
  const routes = {
    /** A server component: it has the request's headers, and no way to set a cookie. */
    "/": async (headers) => {
      const session = await auth.api.getSession({ headers });
      return { body: session ? `<h1>Hello, ${escape(session.user.name)}</h1>` : "<h1>Nobody is signed in</h1>" };
    },
    /** A route handler: it calls another backend with the user's access token, and passes new cookies on. */
    "/whoami": async (headers) => {
      const { headers: made, response } = await auth.api.authdAccessToken({ headers, returnHeaders: true });
      const answer = await fetch(`${apiUrl}/whoami`, { headers: { authorization: `Bearer ${response.accessToken}` } });
      return { body: await answer.text(), status: answer.status, cookies: made?.getSetCookie() };
    },
  };

  return createServer(async (asked, answered) => {
    const { pathname } = new URL(asked.url, "http://localhost");
    if (pathname.startsWith("/api/auth/")) return betterAuth(asked, answered);
    const route = routes[pathname];
    if (!route) return answered.writeHead(404).end();
    try {
      const { body, status = 200, cookies = [] } = await route(fromNodeHeaders(asked.headers));
      answered.writeHead(status, { "content-type": "text/html; charset=utf-8", "set-cookie": cookies }).end(body);
    } catch (error) {
      answered.writeHead(error.statusCode ?? 500).end(error.body?.code ?? "");
    }
  });
}

const escape = (text) => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = createApp(createAuth(), process.env.API_URL);
  server.listen(process.env.PORT ?? 3000, "127.0.0.1", () => console.log(`listening on http://localhost:${server.address().port}`));
}
