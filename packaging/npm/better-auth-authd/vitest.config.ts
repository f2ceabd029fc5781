import { defineConfig } from "vitest/config";

export default defineConfig({
  // The examples are run from their own folders, with the package as it is built.
  resolve: {
    alias: {
      "better-auth-authd/client": new URL("src/client/index.ts", import.meta.url).pathname,
      "better-auth-authd/server": new URL("src/server/index.ts", import.meta.url).pathname,
    },
  },
  test: {
    include: ["test/**/*.test.ts"],
    // Better Auth checks no origins in what it takes for a test.
    env: { NODE_ENV: "production", TEST: "" },
    pool: "forks",
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ["default", "./test/counts.ts"],
  },
});
