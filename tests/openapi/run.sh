#!/bin/sh
# Holds authd to its own description: validates the OpenAPI documents of both doors, and lets schemathesis call every route with what
# the document allows and with what it does not. No answer may be a 5xx, or have a status, a content type, a header, a body or an error
# code that is not in the document; and what the document forbids must be refused. Needs the binaries (cargo build) or AUTHD_BIN and
# AUTHCTL_BIN.
#
#   run.sh                  some 2,000 calls of each door
#   run.sh --full           20,000 and more of each
#   run.sh ... --seed N     with other calls, or again with those of a run that failed; without it the same calls each time
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
repository=$(dirname "$(dirname "$here")")
target=${CARGO_TARGET_DIR:-$repository/target}/debug
AUTHD_BIN=${AUTHD_BIN:-$target/authd}
AUTHCTL_BIN=${AUTHCTL_BIN:-$target/authctl}
examples='5 5' least=1000 seed=1

fail() {
    echo "tests/openapi/run.sh: $1" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
        --full) examples='550 800' least=20000 ;;
        --seed) seed=${2:?--seed needs a number}; shift ;;
        *) fail "'$1' is none of: --full, --seed" ;;
    esac
    shift
done
command -v python3 >/dev/null || fail "needs python3, which is not in PATH"
for program in "$AUTHD_BIN" "$AUTHCTL_BIN"; do
    [ -x "$program" ] || fail "needs $program: cargo build --workspace --bins"
done

AUTHD_BIN=$(realpath "$AUTHD_BIN") AUTHCTL_BIN=$(realpath "$AUTHCTL_BIN")

venv=$here/.venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv" || fail "python3 cannot make a venv (on Debian: apt install python3-venv)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" ||
    fail "pip install failed"

work=$(mktemp -d)
authd='' bridge=''
clean() {
    [ -z "$bridge" ] || kill "$bridge" 2>/dev/null || :
    [ -z "$authd" ] || kill "$authd" 2>/dev/null || :
    wait 2>/dev/null || :
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 1' INT TERM

# Plugins and what is off by default are on; nobody has to wait, or all answers would be 429.
env -i PATH="$PATH" HOME="$work" AUTHD_ADMIN_PLUGIN__ENABLED=true AUTHD_USERNAME__ENABLED=true AUTHD_BEARER__ENABLED=true \
    AUTHD_ACCOUNT__SELF_DELETE=true AUTHD_EMAIL__CHANGE_ENABLED=true AUTHD_COOKIES__CACHE=compact \
    AUTHD_THROTTLE__REQUESTS=off AUTHD_THROTTLE__FAILURES=false \
    "$AUTHD_BIN" --data-dir "$work/data" --listen 127.0.0.1:0 --admin-socket "$work/admin.sock" >"$work/authd" 2>&1 &
authd=$!

# within SECONDS COMMAND...: until it succeeds.
within() {
    left=$(($1 * 10)); shift
    until "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || return 1
        sleep 0.1
    done
}
AUTHCTL_SOCKET=$work/admin.sock
up() { "$AUTHCTL_BIN" --socket "$AUTHCTL_SOCKET" status >/dev/null 2>&1; }
within 60 up || { cat "$work/authd" >&2; fail "authd did not start"; }
url=$("$AUTHCTL_BIN" --socket "$AUTHCTL_SOCKET" status -o json |
    "$venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["publicUrl"])')

"$venv/bin/python" "$here/bridge.py" "$AUTHCTL_SOCKET" >"$work/port" &
bridge=$!
is_bridged() { [ -s "$work/port" ]; }
within 20 is_bridged || fail "the bridge to the admin socket did not start"

"$venv/bin/python" -c 'import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1]).read())' \
    "$url/openapi.json" >"$work/public.json"
"$AUTHD_BIN" openapi --door admin >"$work/admin.json"
for door in public admin; do
    "$venv/bin/python" -m openapi_spec_validator "$work/$door.json" >"$work/out" 2>&1 || { cat "$work/out" >&2; fail "the document of the $door door is wrong"; }
    echo "ok $door document is valid OpenAPI 3.1"
done

# call DOOR URL EXAMPLES [ARGUMENT...]
call() {
    door=$1 at=$2 most=$3; shift 3
    "$venv/bin/st" --config-file "$here/schemathesis.toml" run "$work/$door.json" --url "$at" --seed "$seed" --max-examples "$most" --workers 2 --continue-on-failure \
        --max-redirects 0 --phases examples,coverage,fuzzing --warnings off --no-color \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,negative_data_rejection \
        "$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; tail -n 5 "$work/authd" >&2; fail "the $door door is not as its document says (seed $seed)"; }
    made=$(sed -nE 's/^ +([0-9]+) generated.*/\1/p' "$work/out" | tail -n 1)
    [ "${made:-0}" -ge $least ] || { cat "$work/out" >&2; fail "only ${made:-0} calls of the $door door"; }
    echo "ok $door door: $made calls as the document says (seed $seed)"
}

cd "$work" # where schemathesis keeps what it found out
# A checker counts only after it was seen to catch a fault: here a document that promises something else.
sed 's/"ok":{"type":"boolean"/"ok":{"type":"string"/' "$work/public.json" >"$work/wrong.json"
cmp -s "$work/public.json" "$work/wrong.json" && fail "no fault was put into the document"
if "$venv/bin/st" --config-file "$here/schemathesis.toml" run "$work/wrong.json" --url "$url" --max-examples 1 --no-color --warnings off \
    --include-path /api/auth/ok --checks response_schema_conformance >"$work/out" 2>&1; then
    cat "$work/out" >&2
    fail "a fault in the document was not found"
fi
echo "ok a seeded fault is found"

export AUTHCTL_BIN AUTHCTL_SOCKET AUTHD_URL="$url"
SCHEMATHESIS_HOOKS=$here/hooks.py call public "$url" "${examples% *}"

SCHEMATHESIS_HOOKS=$here/hooks_admin.py call admin "http://127.0.0.1:$(cat "$work/port")" "${examples#* }"
up || { cat "$work/authd" >&2; fail "authd is not there any more"; }
if grep -E '"level":"ERROR"| ERROR |panicked' "$work/authd" >&2; then fail "authd logged an error"; fi
