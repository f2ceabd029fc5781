// The client plugin: authd's tokens for Better Auth's client.

import type { BetterAuthClientPlugin } from "better-auth/client";
import type { LogoutAnswer, MeAnswer, TokenAnswer, User, UserOnlyAnswer } from "../wire.js";
import { Keeper } from "./keeper.js";
import { type AuthdClientOptions, type Settings, settingsOf } from "./options.js";
import { type Platform, surroundings } from "./platform.js";
import { localStorageOf, memory } from "./tokens.js";
import { type Line, type Send, toApi, toAuthd } from "./transport.js";

export { AuthdRefusedError, AuthdSettingError, AuthdUnreachableError } from "../errors.js";
export type { AuthdClientOptions, TokenStorage } from "./options.js";
export type { Channel, Locks, Message, Platform } from "./platform.js";
export type { LogoutAnswer, MeAnswer, SessionInfo, User } from "../wire.js";

/** An answer as Better Auth's client gives it. */
export type Answer<T> = { data: T; error: null } | { data: null; error: { status: number; statusText: string; code?: string; message?: string } };

export interface Credentials {
  email: string;
  password: string;
  rememberMe?: boolean;
}

type GetActions = NonNullable<BetterAuthClientPlugin["getActions"]>;

/** A client plugin with no more than it has, so that Better Auth infers nothing else from it. */
export interface AuthdClientPlugin {
  id: "authd";
  getActions: (...given: Parameters<GetActions>) => AuthdActions;
  fetchPlugins: NonNullable<BetterAuthClientPlugin["fetchPlugins"]>;
}

/** The methods that the plugin adds to the client. */
export interface AuthdActions {
  /** Signs in. `newPassword` takes the place of a password that an operator set for one sign-in. */
  login(body: Credentials & { newPassword?: string }): Promise<Answer<{ user: User }>>;
  /** Makes an account, and signs it in where authd does that at once. */
  signup(body: Credentials & { name?: string }): Promise<Answer<{ user: User }>>;
  /** Ends the session, and forgets the tokens in every tab, even if authd does not answer. */
  logout(): Promise<Answer<LogoutAnswer>>;
  /** The user and the session, as authd knows them now. */
  me(): Promise<Answer<MeAnswer>>;
  /** Replaces the access token now: whether somebody is signed in still. Rejects if authd cannot say. */
  refresh(): Promise<boolean>;
  /** An access token that is good for a while, for what is no `fetch`; null if nobody is signed in. */
  accessToken(): Promise<string | null>;
  /** `fetch` with the access token, to authd, the page's own origin and `apiOrigins`; to any other it is an error. */
  $api(input: string | URL | Request, init?: RequestInit): Promise<Response>;
}

export function authdClient(options: AuthdClientOptions = {}): AuthdClientPlugin {
  let line: Line | undefined;
  const getActions: AuthdClientPlugin["getActions"] = ($fetch, $store, clientOptions) => {
    const platform: Platform = { ...surroundings(), ...options.platform };
    const settings = settingsOf(options, clientOptions?.baseURL, platform.page);
    const onChange = () => $store.notify("$sessionSignal");
    const post = async <T>(path: string, body: object) => (await $fetch(path, { method: "POST", body })) as Answer<T>;
    const keeper = new Keeper({
      name: `authd:${settings.authd}`,
      mode: settings.mode,
      storage: storageOf(settings, platform),
      isShared: settings.mode === "cookie" || settings.storage !== "memory",
      platform,
      async refresh(refreshToken) {
        const { data, error } = await post("/refresh", refreshToken === undefined ? {} : { refresh_token: refreshToken });
        return error === null ? { status: 200, body: data } : { status: error.status, body: error };
      },
      abandon: (refreshToken) => post("/logout", { refresh_token: refreshToken }),
      onChange,
      onEnded: (code) => options.onSessionEnded?.(code),
    });
    line = { settings, keeper, platform };
    return actions(line, post, $fetch, onChange);
  };

  return {
    id: "authd",
    getActions,
    fetchPlugins: [
      {
        id: "authd",
        name: "authd",
        init: (path, request = {}) => {
          const send = (request.customFetchImpl ?? fetch) as Send;
          const customFetchImpl = (url: string | URL | Request, init: RequestInit = {}) =>
            line === undefined ? send(url, init) : toAuthd(line, path, send, String(url), init);
          return { url: path, options: { ...request, customFetchImpl } };
        },
      },
    ],
  };
}

function storageOf({ authd, mode, storage }: Settings, platform: Platform) {
  if (mode === "cookie" || storage === "memory") return memory();
  return storage === "localStorage" ? localStorageOf(platform, `authd.tokens:${authd}`) : storage;
}

type Post = <T>(path: string, body: object) => Promise<Answer<T>>;

function actions(line: Line, post: Post, $fetch: Parameters<GetActions>[0], onChange: () => void): AuthdActions {
  const { keeper, settings } = line;
  const signIn = async (path: string, body: object): Promise<Answer<{ user: User }>> => {
    const answer = await post<TokenAnswer | UserOnlyAnswer>(path, { ...body, mode: settings.mode });
    if (answer.error !== null) return answer;
    onChange();
    return { data: { user: answer.data.user }, error: null };
  };
  return {
    login: (body) => signIn("/login", body),
    signup: (body) => signIn("/signup", body),
    async logout() {
      try {
        return await post<LogoutAnswer>("/logout", {});
      } finally {
        onChange();
      }
    },
    me: async () => (await $fetch("/me", { method: "GET" })) as Answer<MeAnswer>,
    refresh: async () => (await keeper.replace((await keeper.held())?.accessToken)) !== null,
    accessToken: () => keeper.fresh(),
    $api: (input, init) => toApi(line, input, init),
  };
}
