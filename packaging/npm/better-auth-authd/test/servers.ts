// Servers of the tests, on ports of the system's choice, until the end of the test.

import { spawn } from "node:child_process";
import { createServer, request, type RequestListener, type Server } from "node:http";
import { createInterface } from "node:readline";
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
  const count = (what: string) => counts[what] ?? 0;
  return {
    url: `http://localhost:${port}`,
    refreshes: () => count("POST /api/refresh") + count("POST /api/auth/refresh"),
    keySets: () => count("GET /.well-known/jwks.json"),
  };
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


/** A server in a process of its own, which says where it listens. */
export async function startProgram(program: string, args: string[], env: Record<string, string>): Promise<string> {
  const child = spawn(program, args, { env: { PATH: process.env["PATH"]!, PORT: "0", ...env }, stdio: ["ignore", "pipe", "inherit"] });
  after(() => child.kill("SIGKILL"));
  return new Promise((resolve, reject) => {
    child.on("exit", (code) => reject(new Error(`${program} ended: ${code}`)));
    child.on("error", reject);
    createInterface(child.stdout).on("line", (line) => {
      const url = /listening on (http:\S+)/.exec(line)?.[1];
      if (url !== undefined) resolve(url);
    });
  });
}
