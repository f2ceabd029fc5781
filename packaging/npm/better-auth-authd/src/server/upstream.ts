// authd, as the Node server calls it: for one of its own users at a time.

import { APIError, getIP } from "better-auth/api";
import { hasTokens, type TokenAnswer, type UserOnlyAnswer } from "../wire.js";
import type { Context } from "./context.js";

/** A refusal of authd that is about how the two are set up: what it names is for the operator, not for the user. */
const SET_UP: Record<string, string> = {
  UNTRUSTED_PROXY: "authd does not trust this server's word about its clients: add its address to authd's http.trusted_proxies",
  INVALID_HOST: "authd does not go by the name in `url`: use the one in authd's http.public_url, or add it to http.hosts",
  INVALID_ORIGIN: "something between this server and authd adds an Origin header; authd's http.trusted_origins does not have it",
};

interface Answer {
  status: number;
  body: unknown;
}

export class Upstream {
  readonly #base: string;
  #isToldOfAddress = false;

  constructor(url: URL) {
    this.#base = `${url.origin}${url.pathname === "/" ? "/api/auth" : url.pathname.replace(/\/$/, "")}`;
  }

  /** What authd answers, whatever it is. Throws 503 if it does not, and 500 if the two are set up wrongly. */
  async #post(ctx: Context, path: string, body: object): Promise<Answer> {
    const headers = this.#about(ctx);
    headers.set("content-type", "application/json");
    // Not kept by frameworks that cache what `fetch` brings.
    const init: RequestInit = { method: "POST", headers, body: JSON.stringify(body), redirect: "error", cache: "no-store" };
    let answer: Answer | undefined;
    let failure: unknown;
    try {
      answer = await read(await fetch(this.#base + path, init));
    } catch (error) {
      failure = error;
      // Node's fetch does not show a 421 (INVALID_HOST) to a POST, but tries again and fails; a GET it shows.
      answer = await fetch(`${this.#base}/ok`, { redirect: "error" }).then(read, () => undefined);
    }
    const said = SET_UP[codeOf(answer?.body)];
    if (said !== undefined) {
      ctx.context.logger.error(`authd: url: ${this.#base}: ${said}`);
      throw new APIError("INTERNAL_SERVER_ERROR", { code: "AUTHD_SET_UP", message: `authd: ${said}` });
    }
    if (answer !== undefined && failure === undefined) return answer;
    ctx.context.logger.error(`authd: url: nothing answers at ${this.#base}`, failure);
    throw unavailable();
  }

  /** Tokens of a sign-in or a refresh; else null, or whatever authd says as an error. */
  async tokens(ctx: Context, path: string, body: object): Promise<TokenAnswer | null> {
    const answer = await this.#post(ctx, path, body);
    if (hasTokens(answer.body) && answer.body.refresh_token !== undefined) return answer.body;
    if (answer.status >= 200 && answer.status < 300) return null;
    throw refusal(answer);
  }

  /** An account, with tokens where authd signs a new one in at once. */
  async signUp(ctx: Context, body: object): Promise<{ status: "signed-in"; body: TokenAnswer } | { status: "made"; body: UserOnlyAnswer }> {
    const answer = await this.#post(ctx, "/signup", body);
    if (answer.status !== 201) throw refusal(answer);
    return hasTokens(answer.body) ? { status: "signed-in", body: answer.body } : { status: "made", body: answer.body as UserOnlyAnswer };
  }

  /** Ends the session: it is dead, on authd's disk, when this returns. */
  async signOut(ctx: Context, refreshToken: string): Promise<void> {
    const answer = await this.#post(ctx, "/logout", { refresh_token: refreshToken });
    if (answer.status !== 200) throw refusal(answer);
  }

  /** Of whom this server speaks: the client's address and user agent, so that throttles and listings are about them. */
  #about(ctx: Context): Headers {
    const headers = new Headers({ accept: "application/json" });
    const { options, logger } = ctx.context;
    const asked = ctx.headers;
    const userAgent = asked?.get("user-agent");
    if (userAgent) headers.set("user-agent", userAgent);
    // Better Auth's own reading of the proxies in front of this server. Where they say nothing, it may guess: we do not.
    const from = options.advanced?.ipAddress?.ipAddressHeaders ?? ["x-forwarded-for"];
    const address = asked && from.some((name) => asked.has(name)) ? getIP(asked, options) : null;
    if (address !== null) headers.set("x-forwarded-for", address);
    else if (!this.#isToldOfAddress) {
      this.#isToldOfAddress = true;
      logger.warn(
        `authd: nothing says from where users come (${from.join(", ")}), so all of them are one client to authd's throttles: see Better Auth's advanced.ipAddress`,
      );
    }
    return headers;
  }
}

const read = async (response: Response): Promise<Answer> => ({ status: response.status, body: await response.json().catch(() => null) });

const codeOf = (body: unknown): string => String((body as { code?: unknown } | null)?.code ?? "");

const unavailable = () => new APIError("SERVICE_UNAVAILABLE", { code: "AUTHD_UNREACHABLE", message: "authd cannot be reached: see the setting url of the authd plugin" });

/** authd's own words, with its status. */
function refusal({ status, body }: Answer): APIError {
  if (status >= 500) return unavailable();
  const { code, message } = (body ?? {}) as { code?: string; message?: string };
  return new APIError(status as never, { code: code ?? "UNKNOWN", message: message ?? "authd refused" });
}
