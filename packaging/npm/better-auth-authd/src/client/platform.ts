// What the plugin needs of its surroundings: a browser's tab, or a process.

/** What tabs of one origin say to each other. */
export type Message =
  /** New tokens, for those who wait for them, in the place of what was stored before. */
  | { type: "tokens"; tokens: string; of: string | null }
  /** Somebody signed in, or the session changed: look again. */
  | { type: "changed" }
  /** The session is over, for all. */
  | { type: "signed-out"; of: string | null };

export interface Channel {
  tell(message: Message): void;
  listen(hear: (message: Message) => void): void;
}

export interface Locks {
  /**
   * Runs `work` while no other tab is in it. What waits gives up when `signal` says so, with an `AbortError`.
   * The lock may be held a little longer than `work`, so that those who wait hear of its result first.
   */
  alone<T>(name: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

export interface Platform {
  /** Milliseconds by the wall clock, which goes on while a laptop sleeps. */
  now(): number;
  /** Waits before another try. */
  pause(ms: number): Promise<void>;
  /** The origin of the page, if there is one. */
  page: string | undefined;
  locks: Locks;
  channel(name: string): Channel;
  localStorage(): Pick<Storage, "getItem" | "setItem" | "removeItem"> | undefined;
  /** Calls back in so many milliseconds, in the place of the call before. Does nothing where nobody looks. */
  alarm(ring: () => void): (ms: number) => void;
  /** Calls back when somebody comes back to the page, or the network does. */
  onWake(wake: () => void): void;
  /** Whether somebody looks at the page. */
  isVisible(): boolean;
}

/** The surroundings as they are. */
export function surroundings(): Platform {
  const common = {
    now: () => Date.now(),
    pause: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
  };
  if (typeof document === "undefined") {
    return {
      ...common,
      page: undefined,
      locks: processLocks,
      channel: () => ({ tell: () => {}, listen: () => {} }),
      localStorage: () => undefined,
      alarm: () => () => {},
      onWake: () => {},
      isVisible: () => false,
    };
  }
  return {
    ...common,
    page: location.origin === "null" ? undefined : location.origin,
    // Not on plain http; tabs then do without, and authd's window for repeated refreshes covers them.
    locks: navigator.locks === undefined ? processLocks : webLocks(navigator.locks, common.pause),
    channel: tabChannel,
    localStorage: () => window.localStorage,
    alarm: tabAlarm,
    onWake: (wake) => {
      document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && wake());
      window.addEventListener("online", wake);
    },
    isVisible: () => document.visibilityState === "visible",
  };
}

function tabChannel(name: string): Channel {
  if (typeof BroadcastChannel === "undefined") return { tell: () => {}, listen: () => {} };
  const channel = new BroadcastChannel(name);
  return {
    tell: (message) => channel.postMessage(message),
    listen: (hear) => channel.addEventListener("message", ({ data }) => hear(data as Message)),
  };
}

/** The longest that a timer of a browser can wait. */
const LONGEST = 2 ** 31 - 1;

function tabAlarm(ring: () => void): (ms: number) => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return (ms) => {
    clearTimeout(timer);
    timer = setTimeout(ring, Math.min(Math.max(ms, 0), LONGEST));
  };
}

const queues = new Map<string, Promise<unknown>>();

/** Locks within one process. */
export const processLocks: Locks = {
  alone(name, signal, work) {
    const before = queues.get(name) ?? Promise.resolve();
    const mine = before.then(() => {
      signal.throwIfAborted();
      return work();
    });
    const settled = mine.then(
      () => {},
      () => {},
    );
    queues.set(name, settled);
    void settled.then(() => queues.get(name) === settled && queues.delete(name));
    return mine;
  },
};

/** How often, and how long after each other, it is looked whether somebody still waits who ought to have heard. */
const HAND_OVER = { times: 20, ms: 50 };

/** Locks over all tabs of an origin. */
export function webLocks(manager: Pick<LockManager, "request" | "query">, pause: Platform["pause"]): Locks {
  /** Until all who wait have heard of the result, and given up waiting; but not for those who never hear. */
  const handOver = async (name: string) => {
    for (let time = 0; time < HAND_OVER.times; time += 1) {
      await pause(HAND_OVER.ms);
      const { pending = [] } = await manager.query();
      if (!pending.some((waiting) => waiting.name === name)) return;
    }
  };
  return {
    alone: (name, signal, work) =>
      new Promise((resolve, reject) => {
        const held = manager.request(name, { signal }, async () => {
          const result = await work();
          resolve(result);
          await handOver(name);
        });
        held.catch(reject);
      }),
  };
}
