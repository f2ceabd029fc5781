// Servers of the tests, on ports of the system's choice, until the end of the test.

import { createServer, request, type RequestListener, type Server } from "node:http";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { after, type Authd } from "./authd.js";

/** Listens, and answers the port. */
export async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as { port: number }).port;
}

export const serve = (listener: RequestListener): Promise<number> => listen(createServer(listener));

/** Passes everything on to authd, and counts. */
export async function startProxy(authd: Authd) {
  const counts: Record<string, number> = {};
  const port = await serve((asked, answered) => {
    const what = `${asked.method} ${asked.url}`;
    counts[what] = (counts[what] ?? 0) + 1;
    const { method, url: path, headers } = asked;
    const onward = request({ hostname: "127.0.0.1", port: authd.port, method, path, headers }, (answer) => {
      answered.writeHead(answer.statusCode!, answer.rawHeaders);
      answer.pipe(answered);
    });
    onward.on("error", () => answered.destroy());
    asked.pipe(onward);
  });
  return { url: `http://localhost:${port}`, refreshes: () => (counts["POST /api/refresh"] ?? 0) + (counts["POST /api/auth/refresh"] ?? 0) };
}

/** An API that verifies access tokens, and answers with the user's id. */
export async function startApi(authd: Authd): Promise<string> {
  const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", authd.url));
  const port = await serve(async (asked, answered) => {
    const headers = { "access-control-allow-origin": asked.headers.origin ?? "", "access-control-allow-headers": "authorization" };
    if (asked.method === "OPTIONS") return void answered.writeHead(204, headers).end();
    const token = asked.headers.authorization?.replace("Bearer ", "") ?? "";
    const options = { issuer: authd.url, audience: authd.url, typ: "at+jwt", algorithms: ["EdDSA"] };
    const verified = await jwtVerify(token, keys, options).catch(() => null);
    answered.writeHead(verified === null ? 401 : 200, headers).end(verified?.payload.sub ?? "who are you?");
  });
  return `http://localhost:${port}`;
}

