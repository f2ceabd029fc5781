// authd beside the real Better Auth server on this machine: requests a second of a session check and of a sign-in.
//
//   AUTHD_BIN=target/release/authd NODE_ENV=production node tests/node/bench.mjs [ROUNDS [SECONDS]]
//
// Each server is a process of its own and has the machine for itself in its turn; the turns alternate. The one who asks is a third
// process on the same processors, so what authd could do beyond it does not show. The real server keeps its data in memory (SQLite
// in WebAssembly), and its password hash is its default; authd's are on disk, and its hash is its default.

import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { startReference } from "./differential/reference.mjs";
import { PASSWORD, startAuthd } from "./harness.mjs";

const self = fileURLToPath(import.meta.url);

/** One connection that asks the same thing again and again; answers how long each answer took, in milliseconds. */
function ask({ port }, request, until) {
  const took = [];
  return new Promise((resolve, reject) => {
    let [began, received] = [0, ""];
    const socket = connect(port, "127.0.0.1");
    const next = () => {
      began = performance.now();
      received = "";
      if (began >= until) return socket.end(() => resolve(took));
      return socket.write(request);
    };
    socket.setNoDelay(true).setEncoding("latin1");
    socket.on("connect", next).on("error", reject);
    socket.on("data", (chunk) => {
      received += chunk;
      const head = received.indexOf("\r\n\r\n");
      if (head < 0) return;
      const length = /\r\ncontent-length: (\d+)/i.exec(received)?.[1];
      const isWhole = length === undefined ? received.endsWith("0\r\n\r\n") : received.length >= head + 4 + Number(length);
      if (!isWhole) return;
      if (!received.startsWith("HTTP/1.1 200")) return reject(new Error(received));
      took.push(performance.now() - began);
      next();
    });
  });
}

async function load(server, request, connections, seconds) {
  const began = performance.now();
  const until = began + seconds * 1000;
  const took = (await Promise.all(Array.from({ length: connections }, () => ask(server, request, until)))).flat();
  took.sort((a, b) => a - b);
  return { rate: (took.length * 1000) / (performance.now() - began), p99: took[Math.floor(took.length * 0.99)] };
}

const text = ({ url }, line, headers, body = "") =>
  [line, `host: ${new URL(url).host}`, ...headers, ...(body && [`content-length: ${Buffer.byteLength(body)}`]), "", body].join("\r\n");

/** What is asked, of a user of its own. */
async function requests(server) {
  const email = "ada@example.com";
  const signUp = await fetch(`${server.url}/api/auth/sign-up/email`, {
    method: "POST",
    headers: { "content-type": "application/json", origin: server.url },
    body: JSON.stringify({ email, password: PASSWORD, name: "Ada" }),
  });
  assert.equal(signUp.status, 200, await signUp.text());
  const cookie = signUp.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
  const login = JSON.stringify({ email, password: PASSWORD });
  const json = ["content-type: application/json", `origin: ${server.url}`];
  return {
    "get-session": text(server, "GET /api/auth/get-session HTTP/1.1", [`cookie: ${cookie}`]),
    "sign-in/email": text(server, "POST /api/auth/sign-in/email HTTP/1.1", json, login),
  };
}

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const shown = (values) => `${median(values).toFixed(0)} (${values[0].toFixed(0)}, ${values.at(-1).toFixed(0)})`;

async function main([rounds = "5", seconds = "3"]) {
  const ends = [];
  const t = { after: (end) => ends.unshift(end) };
  const child = fork(self, ["reference"]);
  t.after(() => child.kill());
  const url = await new Promise((resolve) => child.once("message", resolve));
  const real = { name: "Better Auth", url, port: Number(new URL(url).port) };
  const { url: ours, port } = await startAuthd(t, { AUTHD_THROTTLE__REQUESTS: "off" });
  const servers = [{ name: "authd", url: ours, port }, real];
  for (const server of servers) server.requests = await requests(server);
  console.log(`Requests a second, median of ${rounds} turns of ${seconds} s (least, most)\n`);
  console.log("| | connections | authd | p99 | Better Auth | p99 | authd to Better Auth |");
  console.log("|---|---|---|---|---|---|---|");
  for (const [what, connections] of [["get-session", 1], ["get-session", 32], ["sign-in/email", 1], ["sign-in/email", 8]]) {
    const [own, its, ratios, p99] = [[], [], [], [[], []]];
    for (let round = 0; round < Number(rounds); round += 1) {
      const turns = [];
      for (const server of servers) turns.push(await load(server, server.requests[what], connections, Number(seconds)));
      own.push(turns[0].rate);
      its.push(turns[1].rate);
      ratios.push(turns[0].rate / turns[1].rate);
      turns.forEach((turn, n) => p99[n].push(turn.p99));
    }
    const late = p99.map((values) => `${median(values).toFixed(1)} ms`);
    console.log(`| ${what} | ${connections} | ${shown(own)} | ${late[0]} | ${shown(its)} | ${late[1]} | ${median(ratios).toFixed(1)} |`);
  }
  for (const end of ends) await end();
}

if (process.argv[2] === "reference") {
  const { url } = await startReference({ after: () => {} });
  process.send(url);
} else {
  await main(process.argv.slice(2));
}
