#!/bin/sh
# Tests authd in a real browser. Needs the binaries (cargo build) or AUTHD_BIN and AUTHCTL_BIN, Node with npm, and Chromium
# (CHROMIUM_BIN, or where Debian's package has it); without Chromium the tests are skipped, and say so.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

fail() {
    echo "tests/browser/run.sh: $1" >&2
    exit 1
}

for program in node npm; do
    command -v "$program" >/dev/null || fail "needs $program, which is not in PATH"
done
node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || (major == 20 && minor >= 19) ? 0 : 1)' ||
    fail "needs Node 20.19 or newer; this is $(node --version)"

# The real Better Auth server, of which a deployment is taken over.
cd "$here/../node"
[ -d node_modules/sql.js ] || npm ci --include=dev --no-audit --no-fund --loglevel=error || fail "npm ci failed for tests/node"
cd "$here"
npm ci --include=dev --no-audit --no-fund --loglevel=error || fail "npm ci failed"
NODE_ENV=production npx --no-install vite build --logLevel error || fail "the page could not be built"

# As it runs at an application.
export NODE_ENV=production
# Every test ends far sooner; one that hangs is a failure, not a wait.
exec node --test --test-timeout=120000 ./*.test.mjs
