// A device as the plugin sees it: tabs of one origin with one clock, one storage, and a network that may lose answers.

import { createAuthClient } from "better-auth/client";
import { onTestFinished } from "vitest";
import { type AuthdClientOptions, authdClient, type Channel, type Locks, type Message, type Platform } from "better-auth-authd/client";
import { webLocks } from "../src/client/platform.js";
import { type Authd, CookieJar, PAGE, pageFetch } from "./authd.js";

/** A turn of the event loop for every timer and answer that is ready. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Tabs that cannot wait for each other: a browser without Web Locks. */
export const noLocks: Locks = { alone: (_name, _signal, work) => work() };

/** What a browser has as `navigator.locks`: one holder at a time, first come, first served. */
class Manager {
  #isHeld = false;
  readonly #pending: { name: string; enter: () => void }[] = [];

  async request<T>(name: string, { signal }: { signal?: AbortSignal }, work: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    if (this.#isHeld) {
      await new Promise<void>((enter, reject) => {
        const waiting = { name, enter };
        this.#pending.push(waiting);
        signal?.addEventListener("abort", () => {
          const at = this.#pending.indexOf(waiting);
          if (at < 0) return;
          this.#pending.splice(at, 1);
          reject(signal.reason);
        });
      });
    }
    this.#isHeld = true;
    try {
      return await work();
    } finally {
      const next = this.#pending.shift();
      this.#isHeld = next !== undefined;
      next?.enter();
    }
  }

  async query() {
    return { pending: this.#pending.map(({ name }) => ({ name })) };
  }
}

export class Device {
  /** Behind authd's clock by an hour: skew is the usual case. */
  now = Date.now() - 3_600_000;
  isVisible = true;
  readonly jar = new CookieJar();
  readonly #storage = new Map<string, string>();
  /** What each tab reads of it: what others wrote arrives later than their messages do. */
  readonly #views = new Set<Map<string, string>>();
  readonly #channels = new Set<(message: Message) => void>();
  readonly #alarms = new Set<{ at: number; ring: () => void }>();
  readonly #wakes = new Set<() => void>();
  /** Requests to authd, by path. */
  readonly counts: Record<string, number> = {};
  /** Whether the answer to this request gets lost, after authd has done what was asked. */
  loses: (path: string) => boolean = () => false;
  /** Whether there is a network. */
  isOnline = true;

  constructor(
    readonly authd: Authd,
    readonly page: string | null = PAGE,
    readonly locks: Locks = webLocks(new Manager() as unknown as LockManager, turn),
  ) {}

  /** Time passes: alarms ring, one after the other. */
  async advance(ms: number): Promise<void> {
    this.now += ms;
    for (const alarm of [...this.#alarms].filter(({ at }) => at <= this.now)) {
      this.#alarms.delete(alarm);
      alarm.ring();
    }
    await turn();
  }

  /** The lid closes and opens again: no timer runs in between, and then somebody looks. */
  async sleep(ms: number): Promise<void> {
    this.now += ms;
    for (const wake of this.#wakes) wake();
    await turn();
  }

  requests(path: string): number {
    return this.counts[path] ?? 0;
  }

  /** A tab with the plugin, as an application would make it. */
  open(options: AuthdClientOptions = {}) {
    const customFetchImpl = this.#network();
    const client = createAuthClient({
      baseURL: `${this.authd.url}/api`,
      fetchOptions: { customFetchImpl },
      plugins: [authdClient({ ...options, platform: this.#platform() })],
    });
    return client;
  }

  #platform(): Partial<Platform> {
    const view = new Map(this.#storage);
    this.#views.add(view);
    let alarm: { at: number; ring: () => void } | undefined;
    return {
      now: () => this.now,
      pause: turn,
      page: this.page ?? undefined,
      locks: this.locks,
      channel: () => this.#channel(),
      localStorage: () => ({
        getItem: (key) => view.get(key) ?? null,
        setItem: (key, value) => this.#write(view, key, value),
        removeItem: (key) => this.#write(view, key, undefined),
      }),
      alarm: (ring) => (ms) => {
        if (alarm !== undefined) this.#alarms.delete(alarm);
        alarm = { at: this.now + ms, ring };
        this.#alarms.add(alarm);
      },
      onWake: (wake) => void this.#wakes.add(wake),
      isVisible: () => this.isVisible,
    };
  }

  #write(view: Map<string, string>, key: string, value: string | undefined): void {
    const set = (map: Map<string, string>, text: string | undefined) => (text === undefined ? map.delete(key) : map.set(key, text));
    set(this.#storage, value);
    set(view, value);
    const arrive = () => this.#views.forEach((other) => set(other, this.#storage.get(key)));
    void turn().then(turn).then(turn).then(arrive);
  }

  #channel(): Channel {
    let mine: ((message: Message) => void) | undefined;
    return {
      tell: (message) => {
        for (const hear of this.#channels) if (hear !== mine) setImmediate(() => hear(message));
      },
      listen: (hear) => {
        mine = hear;
        this.#channels.add(hear);
      },
    };
  }

  #network(): typeof fetch {
    const send = this.page === null ? fetch : (pageFetch({ origin: this.page, jar: this.jar }) as typeof fetch);
    return async (input, init) => {
      const path = new URL(input instanceof Request ? input.url : input).pathname.replace("/api", "");
      if (!this.isOnline) throw new TypeError("fetch failed");
      this.counts[path] = (this.counts[path] ?? 0) + 1;
      const answer = await send(input, init);
      if (!this.loses(path)) return answer;
      await answer.arrayBuffer();
      throw new TypeError("fetch failed");
    };
  }

  /** What all tabs can read of a storage that was asked for. */
  stored(): string[] {
    return [...this.#storage.values()];
  }

  /** Puts back what was stored. */
  restore(text: string): void {
    for (const map of [this.#storage, ...this.#views]) for (const key of this.#storage.keys()) map.set(key, text);
  }
}

/** A subscription to `useSession`, as a component has it, until the end of the test. */
export function watchSession(client: { useSession: { subscribe(listener: (value: any) => void): () => void } }) {
  const seen: { data: any; error: any; isPending: boolean }[] = [];
  onTestFinished(client.useSession.subscribe((value) => void seen.push(value)));
  return {
    get now() {
      return seen.at(-1)!;
    },
  };
}
