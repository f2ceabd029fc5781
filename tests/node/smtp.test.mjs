// authd hands its mail to a real SMTP server of other people's making: STARTTLS, TLS from the first byte, AUTH, and what it refuses.

import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SMTPServer } from "smtp-server";
import { binaries, isProgram, run, startAuthd, testsThatNeed } from "./harness.mjs";

const test = testsThatNeed([binaries, { what: "openssl", isThere: isProgram("openssl") }]);
const PASSWORD = "of the mail server";

/** A certificate of localhost that signs itself, and authd's password for the server. */
async function made(t) {
  const dir = await mkdtemp(join(tmpdir(), "authd-smtp-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const [key, cert, password] = ["key.pem", "cert.pem", "password"].map((name) => join(dir, name));
  const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"];
  const end = await run("openssl", [...args, ...names, "-keyout", key, "-out", cert]);
  assert.equal(end.code, 0, end.stderr);
  await writeFile(password, `${PASSWORD}\n`);
  await chmod(password, 0o600);
  return { key, cert, password };
}

/** The server, and the mails that it took: from, to, user, whether the connection was safe. */
async function startServer(t, files, options = {}) {
  const taken = [];
  const server = new SMTPServer({
    key: await readFile(files.key),
    cert: await readFile(files.cert),
    onAuth: ({ username, password }, session, done) =>
      password === PASSWORD ? done(null, { user: username }) : done(new Error("wrong password")),
    onData: (stream, { envelope, user, secure }, done) => {
      stream.resume();
      stream.on("end", () => {
        taken.push({ from: envelope.mailFrom.address, to: envelope.rcptTo.map(({ address }) => address), user, secure });
        done();
      });
    },
    ...options,
  });
  server.on("error", () => {});
  const at = await new Promise((resolve) => {
    const listening = server.listen(0, "127.0.0.1", () => resolve(listening));
  });
  t.after(() => new Promise((resolve) => server.close(resolve)));
  return { taken, port: at.address().port };
}

const settings = ({ port }, files, security, more = {}) => ({
  AUTHD_MAIL__HOST: "localhost",
  AUTHD_MAIL__PORT: String(port),
  AUTHD_MAIL__SECURITY: security,
  AUTHD_MAIL__CA_FILE: files.cert,
  AUTHD_MAIL__FROM: "Acme <no-reply@example.com>",
  AUTHD_MAIL__USERNAME: "authd",
  AUTHD_MAIL__PASSWORD_FILE: files.password,
  AUTHD_MAIL__TIMEOUT: "5s",
  ...more,
});

const TAKEN = [{ from: "no-reply@example.com", to: ["ada@example.com"], user: "authd", secure: true }];

for (const [security, options] of [["starttls", {}], ["tls", { secure: true }]]) {
  test(`a mail by ${security}, with a sign-in`, async (t) => {
    const files = await made(t);
    const server = await startServer(t, files, options);
    const authd = await startAuthd(t, settings(server, files, security), { isProduction: true });
    await authd.ctl(["mail", "test", "ada@example.com"]);
    assert.deepEqual(server.taken, TAKEN);
  });

  test(`no mail by ${security} to a server that nobody vouches for`, async (t) => {
    const [files, others] = [await made(t), await made(t)];
    const server = await startServer(t, files, options);
    const authd = await startAuthd(t, settings(server, files, security, { AUTHD_MAIL__CA_FILE: others.cert }), { isProduction: true });
    await assert.rejects(authd.ctl(["mail", "test", "ada@example.com"]), /certificate/i);
    assert.deepEqual(server.taken, []);
  });
}

test("no mail, and no password, where STARTTLS does not come about", async (t) => {
  const files = await made(t);
  const server = await startServer(t, files, { disabledCommands: ["STARTTLS"], allowInsecureAuth: true });
  const authd = await startAuthd(t, settings(server, files, "starttls"), { isProduction: true });
  await assert.rejects(authd.ctl(["mail", "test", "ada@example.com"]), /starttls/i);
  assert.deepEqual(server.taken, []);
});

test("a wrong password for the server is said, and loses no mail", async (t) => {
  const files = await made(t);
  await writeFile(files.password, "another\n");
  const server = await startServer(t, files);
  const authd = await startAuthd(t, settings(server, files, "starttls"), { isProduction: true });
  await assert.rejects(authd.ctl(["mail", "test", "ada@example.com"]), /535/);
  assert.deepEqual(server.taken, []);
});
