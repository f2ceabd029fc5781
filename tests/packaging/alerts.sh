#!/usr/bin/env bash
# The alert rules and the page of metrics, by Prometheus' own tool. That the rules name only metrics that there are is a unit test
# (authd/src/metrics/manual.rs).
#
# Exit code 0: sound, or skipped for the reason it prints; 1: something is wrong.
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v promtool >/dev/null || {
  echo "skipped: needs promtool (package prometheus)"
  exit 0
}
said=$(promtool check rules packaging/prometheus/authd.rules.yml 2>&1) || { echo "FAILED: $said" >&2; exit 1; }

bin=${AUTHD_BIN:-${CARGO_TARGET_DIR:-target}/debug/authd}
ctl=${AUTHCTL_BIN:-$(dirname "$bin")/authctl}
if [ ! -x "$bin" ] || [ ! -x "$ctl" ]; then
  echo "skipped: needs the programs (cargo build --workspace --bins)"
  exit 0
fi
work=$(mktemp -d)
"$bin" --development --data-dir "$work/data" --listen 127.0.0.1:0 --admin-socket "$work/admin.sock" >/dev/null 2>"$work/log" &
pid=$!
trap 'kill $pid 2>/dev/null || true; wait $pid 2>/dev/null || true; rm -rf "$work"' EXIT
end=$((SECONDS + 60))
until "$ctl" --socket "$work/admin.sock" metrics >"$work/page" 2>/dev/null; do
  [ $SECONDS -lt $end ] || { cat "$work/log" >&2; echo "FAILED: no metrics" >&2; exit 1; }
done
said=$(promtool check metrics <"$work/page" 2>&1) || said="exit code $? $said"
[ -z "$said" ] || { echo "FAILED: $said" >&2; exit 1; }
# It is seen to find a fault.
if printf '# TYPE a counter\na{ 1\n' | promtool check metrics >/dev/null 2>&1; then echo "FAILED: promtool takes anything" >&2; exit 1; fi
echo "ok: $(grep -c 'alert:' packaging/prometheus/authd.rules.yml) alerts, $(grep -vc '^#' "$work/page") samples"
