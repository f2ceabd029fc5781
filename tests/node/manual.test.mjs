// The code of the manual and the README, as it stands there: compiled, and run against authd. Only where authd is differs.
//
// A block belongs to this file by its mark, `<!-- run by tests/node/manual.test.mjs: NAME -->`; the pages are README.md,
// start-frontend.md, better-auth.md and verifying-jwts.md.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe } from "node:test";
import { pathToFileURL } from "node:url";
import { appFetch, binaries, call, CookieJar, isProgram, PAGE, pageFetch, PASSWORD, repository, run, signIn, signUp, startAuthd, testsThatNeed } from "./harness.mjs";

const EMAIL = "ada@example.com";
const HERE = import.meta.dirname;
const PYTHON = process.env.PYTHON || join(repository, "tests/python/.venv/bin/python");
const TARGET = process.env.CARGO_TARGET_DIR || join(repository, "target");
const test = testsThatNeed([binaries]);

/** The blocks of a page that are run here, by name. */
function samples(page) {
  const text = readFileSync(join(repository, page), "utf8");
  const marked = text.matchAll(/<!-- run by tests\/node\/manual\.test\.mjs: (\S+) -->\n```\w+\n(.*?)\n```/gs);
  return Object.fromEntries([...marked].map(([, name, code]) => [name, `${code}\n`]));
}

const START = samples("packaging/manual/src/start-frontend.md");
const OPTIONS = samples("packaging/manual/src/better-auth.md");
const README = samples("README.md");
const VERIFY = samples("packaging/manual/src/verifying-jwts.md");

/** A folder in which packages are found, for as long as the test lasts. */
async function folder(t, files) {
  await mkdir(join(HERE, "node_modules/.manual"), { recursive: true });
  const dir = mkdtempSync(join(HERE, "node_modules/.manual/page-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  for (const [name, text] of Object.entries({ "package.json": '{ "type": "module" }', ...files })) {
    await mkdir(join(dir, name, ".."), { recursive: true });
    await writeFile(join(dir, name), text);
  }
  return dir;
}

const TSC = join(HERE, "node_modules/.bin/tsc");
const STRICT = ["--ignoreConfig", "--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--skipLibCheck"];
const MODERN = ["--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "--lib", "es2022,dom,dom.iterable"];

/** What TypeScript has against these files; it writes JavaScript beside them all the same. */
async function compile(dir, names) {
  const options = [...STRICT, ...MODERN, "--jsx", "react-jsx", "--types", "node"];
  const { code, stdout } = await run(TSC, [...options, ...names.map((name) => join(dir, name))]);
  // Bundlers find files without their endings, Node does not.
  for (const name of names) {
    const script = join(dir, name.replace(/\.tsx?$/, ".js"));
    if (existsSync(script)) await writeFile(script, readFileSync(script, "utf8").replace(/from "(\.\/[\w-]+)"/g, 'from "$1.js"'));
  }
  return code === 0 ? "" : stdout;
}

const at = (authd, code) => code.replaceAll("http://localhost:8000", authd.url);
const load = (dir, name) => import(pathToFileURL(join(dir, name)));

/** In place of the global one, until the end of the test. */
function replaceFetch(t, fetch) {
  const before = globalThis.fetch;
  globalThis.fetch = fetch;
  t.after(() => (globalThis.fetch = before));
}

describe("components of the manual", () => {
  const makers = {
    react: { "Account.tsx": (code) => code },
    vue: {
      "Account.vue.js": async (code) => {
        const { compileScript, parse } = await import("vue/compiler-sfc");
        const { descriptor, errors } = parse(code);
        assert.deepEqual(errors, []);
        return compileScript(descriptor, { id: "account", inlineTemplate: true }).content;
      },
    },
    svelte: {
      "Account.svelte.js": async (code) => {
        const { compile } = await import("svelte/compiler");
        const { js, warnings } = compile(code, { generate: "client", name: "Account" });
        assert.deepEqual(warnings, []);
        return js.code;
      },
    },
  };
  for (const [framework, maker] of Object.entries(makers)) {
    test(`${framework}: sign up, out, in with a wrong password, and in`, async (t) => {
      const authd = await startAuthd(t);
      const [[name, make]] = Object.entries(maker);
      const code = await make(START[name.replace(/\.js$/, "")]);
      const client = at(authd, START["auth-client.ts"]).replace("better-auth/react", `better-auth/${framework}`);
      const dir = await folder(t, { "auth-client.ts": client, [name]: code.replace('"./auth-client"', name.endsWith(".js") ? '"./auth-client.js"' : '"./auth-client"') });
      const typed = ["auth-client.ts", name].filter((file) => !file.endsWith(".js"));
      assert.equal(await compile(dir, typed), "");
      // As a bundler resolves: Svelte has another half for servers.
      const args = ["--conditions=browser", join(HERE, "manual_page.mjs"), framework, dir];
      const page = await run(process.execPath, args, { env: { NODE_ENV: "production" } });
      assert.equal(page.code, 0, page.stderr);
    });
  }

  test("what does not compile is seen", async (t) => {
    const wrong = START["Account.tsx"].replace("data.user.name", "data.user.nickname");
    const dir = await folder(t, { "auth-client.ts": START["auth-client.ts"], "Account.tsx": wrong });
    assert.match(await compile(dir, ["auth-client.ts", "Account.tsx"]), /nickname/);
  });
});

describe("clients of the manual", () => {
  test("plain fetch", async (t) => {
    const authd = await startAuthd(t);
    replaceFetch(t, pageFetch());
    const dir = await folder(t, { "auth.js": at(authd, START["auth.js"]) });
    const auth = await load(dir, "auth.js");
    await assert.rejects(auth.whoAmI(), { status: 401, code: "UNAUTHORIZED" });
    await auth.signUp(EMAIL, PASSWORD, "Ada");
    assert.equal((await auth.whoAmI()).user.name, "Ada");
    const token = await auth.accessToken();
    assert.equal((await call("GET", `${authd.url}/api/me`, { token })).body.user.email, EMAIL);
    await auth.signOut();
    await assert.rejects(auth.whoAmI(), { status: 401 });
    await assert.rejects(auth.signIn(EMAIL, "wrong horse battery"), { status: 401, code: "INVALID_EMAIL_OR_PASSWORD" });
    await auth.signIn(EMAIL, PASSWORD);
    assert.equal((await auth.whoAmI()).user.email, EMAIL);
  });

  test("an app without cookies keeps a token", async (t) => {
    const authd = await startAuthd(t, { AUTHD_BEARER__ENABLED: "true" });
    replaceFetch(t, appFetch);
    // In place of the module of the phone: its functions, over a map.
    const store = `const kept = new Map();
      export const getItem = (key: string): string | null => kept.get(key) ?? null;
      export const setItem = (key: string, value: string): void => void kept.set(key, value);
      export const deleteItemAsync = async (key: string): Promise<void> => void kept.delete(key);`;
    const files = { "client.ts": at(authd, START["app-client.ts"]).replace('"expo-secure-store"', '"./secure-store"'), "secure-store.ts": store };
    const dir = await folder(t, files);
    assert.equal(await compile(dir, Object.keys(files)), "");
    const { authClient, signOut } = await load(dir, "client.js");
    const { getItem } = await load(dir, "secure-store.js");
    assert.equal((await authClient.signUp.email({ name: "Ada", email: EMAIL, password: PASSWORD })).error, null);
    assert.notEqual(getItem("session-token"), null);
    assert.equal((await authClient.getSession()).data.user.email, EMAIL);
    await signOut();
    assert.equal(getItem("session-token"), null);
    assert.equal((await authClient.getSession()).data, null);
  });

  test("a server of Next.js asks who is signed in", async (t) => {
    const authd = await startAuthd(t);
    const jar = new CookieJar();
    // In place of Next.js: the headers of the request that is answered.
    const next = 'export const cookies = { now: "" };\nexport const headers = async () => new Headers({ cookie: cookies.now });';
    const files = { "session.ts": at(authd, START["session.ts"]).replace('"next/headers"', '"./next-headers"'), "next-headers.ts": next };
    const dir = await folder(t, files);
    assert.equal(await compile(dir, Object.keys(files)), "");
    const { currentSession } = await load(dir, "session.js");
    assert.equal(await currentSession(), null);
    const page = pageFetch({ origin: PAGE, jar });
    const body = JSON.stringify({ email: EMAIL, password: PASSWORD });
    await page(`${authd.url}/api/signup`, { method: "POST", headers: { "content-type": "application/json" }, body });
    (await load(dir, "next-headers.js")).cookies.now = jar.header();
    assert.equal((await currentSession()).user.email, EMAIL);
  });

  test("the README's client", async (t) => {
    const authd = await startAuthd(t);
    replaceFetch(t, pageFetch());
    const dir = await folder(t, { "client.ts": `${at(authd, README["client.ts"])}\nexport { session };\n` });
    assert.equal(await compile(dir, ["client.ts"]), "");
    const { authClient, session } = await load(dir, "client.js");
    assert.equal(session.user.email, EMAIL);
    assert.equal((await authClient.getSession()).data, null, "signed out");
  });

  test("the client with a token, and the cookie cache on a server", async (t) => {
    const authd = await startAuthd(t, { AUTHD_BEARER__ENABLED: "true", AUTHD_COOKIES__CACHE: "compact" });
    replaceFetch(t, appFetch);
    const jar = new CookieJar();
    const kept = 'const kept = new Map<string, string>();\nexport const storage = { get: (key: string) => kept.get(key), set: (key: string, value: string) => void kept.set(key, value) };';
    const files = {
      "client.ts": at(authd, OPTIONS["token-client.ts"]).replace("https://auth.example.com", authd.url),
      "storage.ts": kept,
      "cached.ts": OPTIONS["cached.ts"],
    };
    const dir = await folder(t, files);
    assert.equal(await compile(dir, Object.keys(files)), "");
    const { authClient } = await load(dir, "client.js");
    assert.equal((await authClient.signUp.email({ name: "Ada", email: EMAIL, password: PASSWORD })).error, null);
    assert.equal((await authClient.getSession()).data.user.email, EMAIL);

    await pageFetch({ jar })(`${authd.url}/api/login`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ email: EMAIL, password: PASSWORD }) });
    await pageFetch({ jar })(`${authd.url}/api/auth/get-session`);
    process.env.COOKIE_CACHE_SECRET = (await authd.ctl(["keys", "cookie-cache", "-o", "json"])).secret;
    t.after(() => delete process.env.COOKIE_CACHE_SECRET);
    const { cachedSession } = await load(dir, "cached.js");
    const request = (cookie) => new Request("https://app.example.com/", { headers: { cookie } });
    // In production the package looks for the names that cookies have behind https; this authd is without.
    const secure = process.env.NODE_ENV === "production" ? "__Secure-" : "";
    const shown = jar.header().replaceAll("better-auth.", `${secure}better-auth.`);
    assert.equal((await cachedSession(request(shown))).user.email, EMAIL);
    assert.equal(await cachedSession(request("a=b")), null);
  });
});

describe("programs that verify JWTs", () => {
  testsThatNeed([binaries, { what: "tests/python/.venv", isThere: isProgram(PYTHON) }])("the README's claims.py", async (t) => {
    const authd = await startAuthd(t);
    await signUp(authd, EMAIL);
    const dir = await folder(t, { "claims.py": `token = input()\n${at(authd, README["claims.py"])}\nprint(claims["role"])\n` });
    const verify = (token) => run(PYTHON, [join(dir, "claims.py")], { stdin: token });
    const token = await signIn(authd, EMAIL);
    const good = await verify(token);
    assert.deepEqual([good.code, good.stdout], [0, "user\n"], good.stderr);
    assert.equal((await verify(`${token.slice(0, -4)}AAAA`)).code, 1);
  });

  /** How each is run: the command, given its folder. */
  const programs = {
    "verify.ts": {
      need: { what: "Node", isThere: true },
      make: async (t, code) => {
        const dir = await folder(t, { "verify.ts": code });
        assert.equal(await compile(dir, ["verify.ts"]), "");
        return [process.execPath, [join(dir, "verify.js")]];
      },
    },
    "verify.py": {
      need: { what: "tests/python/.venv", isThere: isProgram(PYTHON) },
      make: async (t, code) => [PYTHON, [join(await folder(t, { "verify.py": code }), "verify.py")]],
    },
    "verify.go": {
      need: { what: "Go (on Debian: golang-go)", isThere: isProgram("go") },
      make: async (t, code) => {
        const dir = await folder(t, { "verify.go": code });
        const env = { HOME: process.env.HOME, GOFLAGS: "-mod=mod", GOTOOLCHAIN: "local" };
        for (const args of [["vet", join(dir, "verify.go")], ["build", "-o", join(dir, "verify"), join(dir, "verify.go")]]) {
          const made = await run("go", args, { env });
          assert.equal(made.code, 0, made.stderr);
        }
        return [join(dir, "verify"), []];
      },
    },
    "verify.rs": {
      need: { what: "cargo", isThere: isProgram("cargo") },
      make: async (t, code) => {
        const manifest = VERIFY["Cargo.toml"];
        // The versions of the example beside it, which is built of the same.
        const lock = readFileSync(join(repository, "packaging/npm/better-auth-authd/examples/axum/Cargo.lock"), "utf8");
        const dir = await folder(t, { "Cargo.toml": `${manifest}\n[workspace]\n`, "Cargo.lock": lock, "src/main.rs": code });
        const profile = ['profile.dev.debug="line-tables-only"', "profile.dev.overflow-checks=true", 'profile.dev.package."*".debug=false', "profile.dev.package.aws-lc-sys.opt-level=3"];
        const args = ["build", "--quiet", "--manifest-path", join(dir, "Cargo.toml"), "--target-dir", TARGET, ...profile.flatMap((line) => ["--config", line])];
        const made = await run("cargo", args, { env: { HOME: process.env.HOME, CARGO_HOME: process.env.CARGO_HOME ?? "", RUSTUP_HOME: process.env.RUSTUP_HOME ?? "" } });
        assert.equal(made.code, 0, made.stderr);
        return [join(TARGET, "debug/verify"), []];
      },
    },
  };

  for (const [name, { need, make }] of Object.entries(programs)) {
    testsThatNeed([binaries, need])(`${name} takes what it should and nothing else`, async (t) => {
      const authd = await startAuthd(t);
      await signUp(authd, EMAIL);
      const [program, args] = await make(t, VERIFY[name]);
      const verify = (stdin, url = authd.url) => run(program, args, { env: { HOME: process.env.HOME, AUTHD_URL: url }, stdin });

      const token = await signIn(authd, EMAIL);
      const { body } = await call("GET", `${authd.url}/api/me`, { token });
      const good = await verify(`${token}\n`);
      assert.deepEqual([good.code, good.stdout], [0, `${body.user.id}\n`], good.stderr);

      const [header, claims, signature] = token.split(".");
      const written = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");
      const read = (part) => JSON.parse(Buffer.from(part, "base64url"));
      const other = await call("POST", `${authd.url}/api/login`, { body: { email: EMAIL, password: PASSWORD } });
      const bad = {
        "altered claims": `${header}.${written({ ...read(claims), role: "admin" })}.${signature}`,
        "a signature that is none": `${header}.${claims}.${signature.slice(0, -4)}AAAA`,
        "no algorithm": `${written({ ...read(header), alg: "none" })}.${claims}.`,
        "another kind of token": other.headers.get("set-auth-jwt"),
        "a key that there is not": `${written({ ...read(header), kid: "x" })}.${claims}.${signature}`,
        "no token": "nonsense",
        nothing: "",
      };
      for (const [what, shown] of Object.entries(bad)) {
        const end = await verify(shown);
        assert.deepEqual([end.code, end.stdout], [1, ""], `${what}: ${end.stderr}`);
      }
      // The same authd under another name: neither the issuer nor the audience of this token.
      const elsewhere = await verify(token, authd.url.replace("localhost", "127.0.0.1"));
      assert.deepEqual([elsewhere.code, elsewhere.stdout], [1, ""], elsewhere.stderr);
    });
  }
});
