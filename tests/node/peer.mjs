// The real Better Auth server as a process of its own, for the bench. Says where it is.

import { startReference } from "./differential/reference.mjs";

const { url } = await startReference({ after: () => {} });
console.log(`peer ${url}`);
process.on("SIGTERM", () => process.exit(0));
