// The TypeScript of the README is what it says: it compiles against the package as it is built.

import { execFile } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { after } from "./authd.js";

const PACKAGE = join(import.meta.dirname, "..");

/** What the compiler says to these files, in a folder of this package. */
async function complaints(files: Record<string, string>): Promise<string> {
  const dir = join(PACKAGE, "node_modules/.readme");
  await mkdir(dir, { recursive: true });
  after(() => rm(dir, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
  const options = ["--ignoreConfig", "--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom", "--types", "node"];
  const compiler = join(PACKAGE, "node_modules/.bin/tsc");
  const run = promisify(execFile)(compiler, [...options, ...Object.keys(files)], { cwd: dir });
  return run.then(() => "", ({ stdout }: { stdout: string }) => stdout);
}

test("the README's examples compile", async () => {
  const text = await readFile(join(PACKAGE, "README.md"), "utf8");
  const [client, auth, orders, ...others] = [...text.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code!);
  expect(others).toEqual([]);
  const files = { "client.ts": client!, "auth.ts": auth!, "orders.ts": orders! };
  expect(await complaints(files)).toBe("");
  expect(await complaints({ ...files, "orders.ts": orders!.replace("authdAccessToken", "accessToken") })).toContain("accessToken");
});
