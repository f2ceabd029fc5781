#!/bin/sh
# Tests authd with other people's code: the Better Auth client and jose on Node, PyJWT on Python.
# Needs the binaries (cargo build) or AUTHD_BIN and AUTHCTL_BIN; without them the tests are skipped.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
python_tests=$here/../python

fail() {
    echo "tests/node/run.sh: $1" >&2
    exit 1
}

for program in node npm python3; do
    command -v "$program" >/dev/null || fail "needs $program, which is not in PATH"
done
node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || (major == 20 && minor >= 11) ? 0 : 1)' ||
    fail "needs Node 20.11 or newer; this is $(node --version)"

cd "$here"
npm ci --no-audit --no-fund --loglevel=error || fail "npm ci failed"

venv=$python_tests/.venv
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv" || fail "python3 cannot make a venv (on Debian: apt install python3-venv)"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$python_tests/requirements.txt" ||
    fail "pip install failed"

# Every test ends far sooner; one that hangs is a failure, not a wait.
exec node --test --test-timeout=60000 ./*.test.mjs
