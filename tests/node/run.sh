#!/bin/sh
# Tests authd with other people's code: the Better Auth client and jose on Node, PyJWT on Python, and the real Better Auth
# server beside authd (differential/), and the code of the manual in all its languages (manual.test.mjs). Needs the binaries
# (cargo build) or AUTHD_BIN and AUTHCTL_BIN; without them the tests are skipped.
#
#   run.sh                 everything
#   run.sh differential    the real server beside authd, and nothing else
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
python_tests=$here/../python

fail() {
    echo "tests/node/run.sh: $1" >&2
    exit 1
}

what=${1:-all}
case $what in
    all) programs="node npm python3" ;;
    differential) programs="node npm" ;;
    *) fail "'$what' is none of: differential" ;;
esac
for program in $programs; do
    command -v "$program" >/dev/null || fail "needs $program, which is not in PATH"
done
node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || (major == 20 && minor >= 11) ? 0 : 1)' ||
    fail "needs Node 20.11 or newer; this is $(node --version)"

cd "$here"
npm ci --include=dev --no-audit --no-fund --loglevel=error || fail "npm ci failed"

# The answers of the real server are those of production.
export NODE_ENV=production
# Every test ends far sooner; one that hangs is a failure, not a wait.
if [ "$what" = differential ]; then
    exec node --test --test-timeout=900000 ./differential/*.test.mjs
fi

venv=$python_tests/.venv
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv" || fail "python3 cannot make a venv (on Debian: apt install python3-venv)"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$python_tests/requirements.txt" ||
    fail "pip install failed"

exec node --test --test-timeout=900000 ./*.test.mjs ./differential/*.test.mjs
