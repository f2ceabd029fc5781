// Every request of the client goes through here: what it shows, and what its answer means for the tokens.

import { AuthdSettingError, AuthdUnreachableError, isSafe } from "../errors.js";
import { hasTokens } from "../wire.js";
import type { Keeper } from "./keeper.js";
import type { Settings } from "./options.js";
import type { Platform } from "./platform.js";
import { tokensOf } from "./tokens.js";

export type Send = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

export interface Line {
  settings: Settings;
  keeper: Keeper;
  platform: Platform;
}

/** Sends, and says what may be wrong where nothing comes back. */
export async function reach({ settings, platform }: Pick<Line, "settings" | "platform">, send: Send, ...what: Parameters<Send>): Promise<Response> {
  try {
    return await send(...what);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // an abort, by whoever asked
    const { page } = platform;
    const isOther = page !== undefined && page !== settings.authd;
    const trust = isOther ? `, or does not trust this page: ${page} has to be in authd's http.trusted_origins` : "";
    throw new AuthdUnreachableError(`authd: baseURL: ${settings.authd} cannot be reached${trust}`, { cause: error });
  }
}

/** A request of Better Auth's client to `path` below the base URL. */
export async function toAuthd(line: Line, path: string, send: Send, url: string, init: RequestInit): Promise<Response> {
  const { settings, keeper } = line;
  // A page of another origin is none of ours, whoever asked for it.
  if (new URL(url).origin !== settings.authd) return send(url, init);
  const isToken = settings.mode === "token";
  const go: Send = (...what) => reach(line, send, ...what);
  // In token mode the cookies of a session that somebody else has here stay out of it.
  const plain: RequestInit = isToken ? { ...init, credentials: "omit" } : init;

  // The keeper's own: it knows what comes of them.
  if (path === "/refresh" || (path === "/logout" && String(init.body).includes("refresh_token"))) return go(url, plain);
  if (path === "/logout" || path === "/sign-out") {
    return keeper.signOut((refreshToken) => {
      if (!isToken) return go(url, plain);
      if (refreshToken === undefined) return Promise.resolve(Response.json({ success: true, ended: 0 }));
      const logout = url.replace(/\/sign-out(?=$|\?)/, "/logout");
      return go(logout, { ...plain, body: JSON.stringify({ refresh_token: refreshToken }) });
    });
  }
  if (isToken && /^\/sign-(in|up)\/email$/.test(path)) {
    throw new AuthdSettingError("mode", `in token mode ${path} leaves no session behind: use login() or signup()`);
  }
  const askedAt = line.platform.now();
  const { era } = keeper;
  const isPlainSignIn = path === "/login" || path === "/signup";
  if (isToken && isPlainSignIn && !isSafe(new URL(url))) {
    throw new AuthdSettingError("baseURL", `${settings.authd} is plain http: tokens could be read on the way`);
  }
  const answer = isToken && !isPlainSignIn ? await authorised(line, go, url, plain, path) : await go(url, plain);
  if (answer.ok && (init.method ?? "GET") !== "GET") await learn(line, path, answer, askedAt);
  else if (!isToken && (await saysNobody(path, answer))) await keeper.nobody(era);
  return answer;
}

/** Whoever posts something may have another session afterwards; an answer with tokens says which. */
async function learn({ keeper, settings }: Line, path: string, answer: Response, askedAt: number): Promise<void> {
  const body: unknown = await answer
    .clone()
    .json()
    .catch(() => null);
  const isSignIn = path === "/login" || path === "/signup";
  const isOurs = settings.mode === "cookie" || isSignIn || path === "/change-password";
  if (isOurs && hasTokens(body)) await keeper.take(tokensOf(body, askedAt), isSignIn);
  else if (settings.mode === "cookie") await keeper.forget();
}

/** Better Auth's way to say that nobody is signed in. */
const saysNobody = async (path: string, answer: Response) =>
  path === "/get-session" && answer.ok && (await answer.clone().text()) === "null";

/** With the access token, and once more with another one if authd says that this one is no good. */
async function authorised({ keeper }: Line, go: Send, url: string, init: RequestInit, path: string): Promise<Response> {
  const send = (token: string | null) => {
    const headers = new Headers(init.headers);
    if (token !== null) headers.set("authorization", `Bearer ${token}`);
    return go(url, { ...init, headers });
  };
  const token = await keeper.fresh();
  const answer = await send(token);
  const isRefused = answer.status === 401 || (await saysNobody(path, answer));
  if (token === null || !isRefused) return answer;
  const next = await keeper.replace(token);
  return next === null || next.accessToken === token ? answer : send(next.accessToken);
}

/** `fetch` for the application's own APIs: with the access token, and never to an origin that is not listed. */
export async function toApi({ settings, keeper }: Line, input: string | URL | Request, init?: RequestInit): Promise<Response> {
  // A redirect could lead anywhere: whoever wants to follow one says so.
  const asked = new Request(input, { redirect: "error", ...init });
  const { origin } = new URL(asked.url);
  if (!settings.origins.has(origin)) {
    throw new AuthdSettingError("apiOrigins", `${origin} is not in it, so it gets no access token`);
  }
  const send = (token: string | null) => {
    const request = asked.clone();
    if (token !== null) request.headers.set("authorization", `Bearer ${token}`);
    return fetch(request);
  };
  const token = await keeper.fresh();
  const answer = await send(token);
  if (answer.status !== 401 || token === null) return answer;
  const next = await keeper.replace(token);
  return next === null || next.accessToken === token ? answer : send(next.accessToken);
}
