// The counts in the words of Node's own test runner, which `tests/run` reads.

import type { Reporter, TestModule } from "vitest/node";

export default class Counts implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const states = modules.flatMap((module) => [...module.children.allTests()].map((test) => test.result().state));
    const broken = modules.filter((module) => module.errors().length > 0).length;
    const count = (state: string) => states.filter((found) => found === state).length;
    console.log(`ℹ pass ${count("passed")}\nℹ fail ${count("failed") + broken}\nℹ skipped ${count("skipped")}`);
  }
}
