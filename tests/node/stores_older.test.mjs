// The stores of the last clients of Better Auth 1.4 and 1.5. They ask for the session in browsers only, so there is as much of one
// here as they look for; it would change what newer clients do, hence a process of its own.

import { createAuthClient as client14 } from "better-auth-1.4/client";
import { createAuthClient as client15 } from "better-auth-1.5/client";
import { testStore, vanilla } from "./session_store.mjs";

const kept = new Map();
globalThis.window = Object.assign(new EventTarget(), {
  location: new URL("http://localhost:5173/"),
  localStorage: { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) },
});

testStore("vanilla 1.5", { create: client15, open: vanilla, noticesPassword: false, refetchProlongs: false });
testStore("vanilla 1.4", { create: client14, open: vanilla, noticesPassword: false, refetchProlongs: false, outlivesOutage: false });
