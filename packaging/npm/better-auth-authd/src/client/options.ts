import { AuthdSettingError, isSafe, settingUrl } from "../errors.js";
import type { Platform } from "./platform.js";

/** Where token mode keeps its tokens, as one text. */
export interface TokenStorage {
  get(): string | null | Promise<string | null>;
  set(value: string): void | Promise<void>;
  remove(): void | Promise<void>;
}

export interface AuthdClientOptions {
  /**
   * `cookie`: the session is an httpOnly cookie, and only the short-lived access token is in the page's memory.
   * `token`: a refresh token takes the place of the cookie.
   * `auto` (the default): `cookie` in a page of authd's own site, else `token`. Pages under a shared suffix such as
   * `github.io` or `co.uk` are not told apart from those of one site: say `token` there.
   */
  mode?: "auto" | "cookie" | "token";
  /** The origins beside authd's own and the page's that may see the access token: your APIs. */
  apiOrigins?: readonly string[];
  /**
   * Token mode only. `memory` (the default) is gone with the page. `localStorage` survives a reload and is shared by all tabs,
   * **and every script that ever runs in the page can take the refresh token out of it**, and use it elsewhere. In an app, pass
   * the secure storage of the device.
   */
  storage?: "memory" | "localStorage" | TokenStorage;
  /** The session is over and nobody here signed out: it was revoked, it expired, or a copy of its token was used. */
  onSessionEnded?: (code: string) => void;
  /** What the plugin needs of its surroundings. For tests. */
  platform?: Partial<Platform>;
}

/** The options, looked at as a whole. */
export interface Settings {
  /** The origin of authd. */
  authd: string;
  mode: "cookie" | "token";
  /** Origins that may see the access token. */
  origins: ReadonlySet<string>;
  storage: "memory" | "localStorage" | TokenStorage;
}

export function settingsOf(options: AuthdClientOptions, baseURL: string | undefined, page: string | undefined): Settings {
  const base = settingUrl("baseURL", baseURL ?? page, "http://localhost:8000/api");
  const mode = options.mode === undefined || options.mode === "auto" ? modeFor(base, page) : options.mode;
  const storage = options.storage ?? "memory";
  if (mode === "cookie" && storage !== "memory") {
    throw new AuthdSettingError("storage", 'cookie mode keeps nothing but the access token, in memory; leave it out, or say mode: "token"');
  }
  const origins = new Set([base.origin, ...(options.apiOrigins ?? []).map(apiOrigin)]);
  if (page !== undefined) origins.add(page);
  return { authd: base.origin, mode, origins, storage };
}

function apiOrigin(entry: string): string {
  const url = settingUrl("apiOrigins", entry, "https://api.example.com");
  if (url.origin !== entry) throw new AuthdSettingError("apiOrigins", `"${entry}" is no origin; "${url.origin}" would be one`);
  if (!isSafe(url)) throw new AuthdSettingError("apiOrigins", `${entry} is plain http: tokens could be read on the way`);
  return entry;
}

/** Cookies of authd travel from pages of its site: the same scheme, and a common parent domain of two labels or more. */
function modeFor(base: URL, page: string | undefined): "cookie" | "token" {
  if (page === undefined || !URL.canParse(page)) return "token";
  const { protocol, hostname } = new URL(page);
  return protocol === base.protocol && siteOf(hostname) === siteOf(base.hostname) ? "cookie" : "token";
}

const siteOf = (host: string): string => (/^[\d.]+$|^\[/.test(host) ? host : host.split(".").slice(-2).join("."));
