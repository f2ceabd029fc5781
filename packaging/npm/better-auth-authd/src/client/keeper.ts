// Keeps the tokens of one client, and replaces them: once for all tabs, and without losing a session to a lost answer.

import { AuthdRefusedError, AuthdUnreachableError } from "../errors.js";
import { hasTokens } from "../wire.js";
import type { TokenStorage } from "./options.js";
import type { Channel, Message, Platform } from "./platform.js";
import { isDue, read, type Tokens, tokensOf, write } from "./tokens.js";

/** What authd says to a refresh. An answer that does not come is an `AuthdUnreachableError`. */
export interface RefreshAnswer {
  status: number;
  body: unknown;
}

export interface Keeping {
  name: string;
  mode: "cookie" | "token";
  storage: TokenStorage;
  /** Whether all tabs have the same session: by its cookie, or by a storage that they share. */
  isShared: boolean;
  platform: Platform;
  /** `POST /refresh`, with this token or with the cookie. */
  refresh(refreshToken: string | undefined): Promise<RefreshAnswer>;
  /** `POST /logout` for a session that nobody needs any more. */
  abandon(refreshToken: string): Promise<unknown>;
  /** The session may be another one now, or none. */
  onChange(): void;
  /** It is over, and nobody here ended it. */
  onEnded(code: string): void;
}

/** Pauses before the second and the third try of a refresh whose answer did not come. */
const PAUSES = [250, 1000];

export class Keeper {
  readonly #keeping: Keeping;
  readonly #channel: Channel;
  readonly #setAlarm: (ms: number) => void;
  /** The refresh under way in this tab, and what ends its waiting for another tab's. */
  #flight: Promise<Tokens | null> | undefined;
  #waiting: AbortController | undefined;
  /** Counts sign-ins and sign-outs: what was asked for before one of them is not taken after it. */
  #era = 0;
  /** What another tab stored, as long as this one still reads what was there before: storages of browsers take a moment. */
  #ahead: { of: string | null; text: string | null } | undefined;
  /** In cookie mode: authd said that nobody is signed in, and nothing has changed since. */
  #isNobody = false;

  constructor(keeping: Keeping) {
    this.#keeping = keeping;
    this.#channel = keeping.platform.channel(keeping.name);
    this.#channel.listen((message) => void this.#hear(message));
    const wake = () => void this.#replaceIfDue();
    this.#setAlarm = keeping.platform.alarm(wake);
    keeping.platform.onWake(wake);
  }

  get era(): number {
    return this.#era;
  }

  async held(): Promise<Tokens | null> {
    return read(await this.#text());
  }

  async #text(): Promise<string | null> {
    const text = await this.#keeping.storage.get();
    if (this.#ahead !== undefined && this.#ahead.of !== text) this.#ahead = undefined;
    return this.#ahead === undefined ? text : this.#ahead.text;
  }

  /** Another tab stored this in the place of that. Where something else is read it came too late. */
  async #goAhead(of: string | null, text: string | null): Promise<void> {
    await this.#text(); // forgets what the storage shows by now
    this.#ahead = { of: this.#ahead?.text === of ? this.#ahead.of : of, text };
  }

  /** An access token that is good for a while; null if nobody is signed in. */
  async fresh(): Promise<string | null> {
    const held = await this.held();
    const now = this.#keeping.platform.now();
    if (held !== null && !isDue(held, now)) return held.accessToken;
    if (held === null && (this.#keeping.mode === "token" || this.#isNobody)) return null;
    try {
      return (await this.replace(held?.accessToken))?.accessToken ?? null;
    } catch (error) {
      // It is due, but good still: an outage of authd is none of the application's APIs.
      if (held !== null && now >= held.askedAt && now < held.expiresAt) return held.accessToken;
      throw error;
    }
  }

  /**
   * Tokens in the place of those with this access token; null if the session is over.
   * Whoever asks at the same time, in whatever tab, gets the same.
   */
  replace(refused: string | undefined): Promise<Tokens | null> {
    this.#flight ??= this.#replaceAlone(refused).finally(() => (this.#flight = undefined));
    return this.#flight;
  }

  /** Tokens of another session, or of the same one: after a sign-in the session of before is ended, so that none is left behind. */
  async take(tokens: Tokens, isSignIn: boolean): Promise<void> {
    const before = (await this.held())?.refreshToken;
    this.#era += 1;
    await this.#save(tokens, this.#keeping.mode === "token");
    this.#channel.tell({ type: "changed" });
    if (isSignIn && before !== undefined) await this.#keeping.abandon(before).catch(() => {});
  }

  /** The session of the cookie may be another one now: the access token of the one before is forgotten. */
  async forget(): Promise<void> {
    await this.#drop();
    this.#channel.tell({ type: "changed" });
  }

  /** Signs out by `send`, with the tokens of the last moment. Everything is forgotten here, whatever authd answers. */
  async signOut<T>(send: (refreshToken: string | undefined) => Promise<T>): Promise<T> {
    const never = new AbortController().signal;
    let of: string | null = null;
    try {
      return await this.#keeping.platform.locks.alone(this.#keeping.name, never, async () => {
        of = await this.#text();
        await this.#clear();
        return send(read(of)?.refreshToken);
      });
    } finally {
      this.#channel.tell({ type: "signed-out", of });
    }
  }

  async #replaceAlone(refused: string | undefined): Promise<Tokens | null> {
    const { name, platform } = this.#keeping;
    const waiting = new AbortController();
    this.#waiting = waiting;
    const faster = async () => {
      const held = await this.held();
      return held !== null && held.accessToken !== refused && !isDue(held, platform.now()) ? held : null;
    };
    try {
      return await platform.locks.alone(name, waiting.signal, async () => {
        this.#waiting = undefined;
        const found = await faster();
        if (found !== null) return found;
        // What the tab before us told may be in the queue still.
        await platform.pause(0);
        return (await faster()) ?? this.#ask();
      });
    } catch (error) {
      // Another tab's result came while this one waited for its turn.
      if (waiting.signal.aborted) return this.held();
      throw error;
    } finally {
      this.#waiting = undefined;
    }
  }

  async #ask(): Promise<Tokens | null> {
    const { mode, platform, refresh, onChange } = this.#keeping;
    let era = this.#era;
    for (let tries = 0; ; tries += 1) {
      // Read anew before each try: without locks another tab may have been faster.
      const shown = (await this.held())?.refreshToken;
      if (mode === "token" && shown === undefined) return null;
      const askedAt = platform.now();
      try {
        const { status, body } = await refresh(shown);
        const held = await this.held();
        if (era !== this.#era) {
          // Somebody signed in or out meanwhile: this answer is about the session of before.
          era = this.#era;
          if (held !== null || mode === "token" || this.#isNobody) return held;
          continue;
        }
        const isStill = held?.refreshToken === shown;
        if (status === 200 && hasTokens(body)) {
          // A successor that is older than what is there now would take us back.
          if (isStill) await this.#save(tokensOf(body, askedAt), true);
          return await this.held();
        }
        const code = String((body as { code?: unknown } | null)?.code ?? "UNKNOWN");
        if (status !== 401) throw new AuthdRefusedError(status, code);
        if (isStill || tries >= PAUSES.length) {
          if (await this.#end(code)) onChange();
          return null;
        }
      } catch (error) {
        // The token is kept: authd takes it again if its answer was lost.
        const pause = PAUSES[tries];
        if (!(error instanceof AuthdUnreachableError) || pause === undefined) throw error;
        await platform.pause(pause);
      }
    }
  }

  /** authd says that nobody is signed in, to a question that was asked in this era. */
  async nobody(era: number): Promise<void> {
    if (era === this.#era) await this.#end("UNAUTHORIZED");
  }

  /** Whether there was something to end. */
  async #end(code: string): Promise<boolean> {
    const of = await this.#text();
    const wasSignedIn = read(of) !== null;
    await this.#clear();
    if (wasSignedIn) {
      this.#channel.tell({ type: "signed-out", of });
      this.#keeping.onEnded(code);
    }
    return wasSignedIn;
  }

  async #hear(message: Message): Promise<void> {
    const { mode, isShared, storage, abandon, onChange } = this.#keeping;
    if (message.type === "signed-out") {
      const mine = isShared ? undefined : (await this.held())?.refreshToken;
      this.#isNobody = mode === "cookie";
      this.#era += 1;
      await this.#goAhead(message.of, null);
      // A storage for all was emptied by who signed out, and may have the tokens of the next sign-in already.
      if (mode === "cookie" || !isShared) await storage.remove();
      // A session that only this tab has is not left behind.
      if (mine !== undefined) await abandon(mine).catch(() => {});
      onChange();
    } else if (isShared && message.type === "changed") {
      // What is in a storage for all is the new one already.
      if (mode === "cookie") await this.#drop();
      onChange();
    } else if (isShared && message.type === "tokens") {
      const tokens = read(message.tokens);
      if (tokens === null) return;
      if (mode === "cookie") await storage.set(message.tokens);
      else await this.#goAhead(message.of, message.tokens);
      this.#isNobody = false;
      this.#waiting?.abort();
      this.#setAlarm(tokens.dueAt - this.#keeping.platform.now());
    }
  }

  async #save(tokens: Tokens, tellOthers = false): Promise<void> {
    const text = write(tokens);
    const of = await this.#text();
    this.#isNobody = false;
    this.#ahead = undefined;
    await this.#keeping.storage.set(text);
    if (tellOthers && this.#keeping.isShared) this.#channel.tell({ type: "tokens", tokens: text, of });
    this.#setAlarm(tokens.dueAt - this.#keeping.platform.now());
  }

  async #drop(): Promise<void> {
    this.#era += 1;
    this.#isNobody = false;
    this.#ahead = undefined;
    await this.#keeping.storage.remove();
  }

  async #clear(): Promise<void> {
    await this.#drop();
    this.#isNobody = this.#keeping.mode === "cookie";
  }

  /** Where somebody looks, before it expires, so that nobody waits for it and an end of the session is seen. */
  async #replaceIfDue(): Promise<void> {
    const held = await this.held();
    if (held === null || !this.#keeping.platform.isVisible() || !isDue(held, this.#keeping.platform.now())) return;
    // What fails here is tried again, and said, when the token is needed.
    await this.replace(held.accessToken).catch(() => {});
  }
}
