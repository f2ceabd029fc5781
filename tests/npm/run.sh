#!/bin/sh
# Tests the npm package packaging/npm/better-auth-authd and its examples: Vitest against the built authd, and Chromium. Needs the
# binaries (cargo build) or AUTHD_BIN and AUTHCTL_BIN; without them the tests are skipped, and so are the ones in Chromium,
# FastAPI or axum where those are missing.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
repository=$(dirname "$(dirname "$here")")
package=$repository/packaging/npm/better-auth-authd

fail() {
    echo "tests/npm/run.sh: $1" >&2
    exit 1
}

for program in node npm; do
    command -v "$program" >/dev/null || fail "needs $program, which is not in PATH"
done
node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || (major == 20 && minor >= 19) ? 0 : 1)' ||
    fail "needs Node 20.19 or newer; this is $(node --version)"

cd "$package"
npm ci --include=dev --no-audit --no-fund --loglevel=error || fail "npm ci failed"
rm -rf dist
npm run --silent build || fail "the package could not be built"
npm run --silent check || fail "the types of the tests or the examples are wrong"

venv=examples/fastapi/.venv
if command -v python3 >/dev/null; then
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv" || fail "python3 cannot make a venv (on Debian: apt install python3-venv)"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement examples/fastapi/requirements.txt ||
        fail "pip install failed"
fi

# As the workspace is built, and in its place, so that what both need is compiled once.
if command -v cargo >/dev/null; then
    cargo build --quiet --locked --manifest-path examples/axum/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-$repository/target}" \
        --config 'profile.dev.debug="line-tables-only"' --config 'profile.dev.overflow-checks=true' \
        --config 'profile.dev.package."*".debug=false' --config 'profile.dev.package.aws-lc-sys.opt-level=3' ||
        fail "the axum example could not be built"
fi

NO_COLOR=1 exec npx --no-install vitest run
