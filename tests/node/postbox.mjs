// A real SMTP server on this machine, and the mails that it was given, by address.

import { SMTPServer } from "smtp-server";
import { Mails } from "./mails.mjs";

/** The text of a mail: its plain part, decoded. */
function textOf(message) {
  const boundary = /boundary="?([^";\r\n]+)"?/.exec(message)?.[1];
  const parts = boundary === undefined ? [message] : message.split(`--${boundary}`);
  const plain = parts.find((part) => /content-type: text\/plain/i.test(part)) ?? "";
  const at = plain.indexOf("\r\n\r\n");
  const [head, body] = [plain.slice(0, at), plain.slice(at + 4)];
  if (/base64/i.test(head)) return Buffer.from(body, "base64").toString();
  if (!/quoted-printable/i.test(head)) return body;
  const bytes = body.replace(/=\r\n/g, "").replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1").toString();
}

/**
 * Starts it on a port of the system's choice.
 * @param {import("node:test").TestContext} t
 */
export async function startPostbox(t) {
  const mails = new Mails();
  const server = new SMTPServer({
    disabledCommands: ["AUTH", "STARTTLS"],
    onData(stream, session, done) {
      const chunks = [];
      stream.on("data", (chunk) => chunks.push(chunk));
      stream.on("end", () => {
        const text = textOf(Buffer.concat(chunks).toString());
        const url = /https?:\/\/\S+/.exec(text)?.[0];
        // Notices have no link; the real server leaves them to the application.
        if (url !== undefined) for (const { address } of session.envelope.rcptTo) mails.put(address, { url });
        done();
      });
    },
  });
  const listening = await new Promise((resolve) => {
    const at = server.listen(0, "127.0.0.1", () => resolve(at));
  });
  t.after(() => new Promise((resolve) => server.close(resolve)));
  return { mails, port: listening.address().port };
}
