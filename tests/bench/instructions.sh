#!/usr/bin/env bash
# How many instructions a request of the hot paths costs, client and server together, counted by callgrind: the same on a quiet machine
# and on a busy one. Compared with tests/bench/instructions.txt; UPDATE=1 writes that anew.
#
# Fails if a path costs over a fifth more than is written there. That is far more than noise (measured: under 1 %), and
# what a new compiler changes; what has become cheaper by a fifth is only said, so that it is written down.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CARGO_TERM_COLOR=never
known=tests/bench/instructions.txt
command -v valgrind >/dev/null || { echo "skipped: needs valgrind (on Debian: apt install valgrind)"; exit 0; }

hot=$(cargo bench -p tests --bench hot --no-run --message-format=json 2>/dev/null |
  sed -n 's/.*"name":"hot".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
[ -x "$hot" ] || { echo "the bench could not be built: cargo bench -p tests --bench hot --no-run"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

many=1000
each() { # path: instructions a request
  valgrind --tool=callgrind --callgrind-out-file=/dev/null '--toggle-collect=hot::counted*' "$hot" "$1" "$many" \
    2>"$work/said" >/dev/null || { cat "$work/said" >&2; return 1; }
  local all
  all=$(sed -n 's/.*Collected : //p' "$work/said")
  [ "${all:-0}" -gt "$((many * 100))" ] || { echo "callgrind counted nothing" >&2; cat "$work/said" >&2; return 1; }
  echo $((all / many))
}

failed=0
{
  echo "# Instructions a request, client and server together: made by UPDATE=1 tests/bench/instructions.sh"
  for path in bare first last nowhere get-session me token jwks route-one route-first route-last routes; do
    now=$(each "$path")
    then=$(sed -n "s/^$path \([0-9]*\)$/\1/p" "$known" 2>/dev/null || true)
    echo "$path $now"
    printf '%-12s %7d instructions a request, %s known\n' "$path" "$now" "${then:-none}" >&2
    if [ -n "$then" ] && [ "$now" -gt $((then + then / 5)) ]; then
      echo "$path has become dearer by more than a fifth" >&2; failed=1
    elif [ -n "$then" ] && [ "$now" -lt $((then - then / 5)) ]; then
      echo "$path has become cheaper by more than a fifth: UPDATE=1 $0 writes it down" >&2
    elif [ -z "$then" ] && [ -z "${UPDATE:-}" ]; then
      echo "$path is not in $known" >&2; failed=1
    fi
  done
} >"$work/now"
if [ -n "${UPDATE:-}" ]; then cp "$work/now" "$known"; exit 0; fi
exit "$failed"
