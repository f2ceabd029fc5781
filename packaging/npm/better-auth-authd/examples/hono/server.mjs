// AUTHD_ISSUER=http://localhost:8000 node server.mjs

import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { signedIn } from "./auth.mjs";

const { AUTHD_ISSUER: issuer, AUTHD_JWKS_URL: jwksUrl, JWKS_COOLDOWN: cooldown, PORT: port = "3001" } = process.env;
const app = new Hono();
app.use("/whoami", signedIn({ issuer, jwksUrl, cooldown: cooldown === undefined ? undefined : Number(cooldown) }));
app.get("/whoami", (c) => c.json({ sub: c.get("user").sub }));

serve({ fetch: app.fetch, port: Number(port), hostname: "127.0.0.1" }, ({ port }) => console.log(`listening on http://127.0.0.1:${port}`));
