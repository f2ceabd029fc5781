#!/usr/bin/env bash
# The archive that `cargo xtask dist tar` makes: its programs need no library and nothing else of the host. They are static and can be
# loaded anywhere (static-pie), have no path of the machine they were made on in them, and work in a directory as their root that has
# nothing but /proc and /dev, with an empty environment: a sign-up, authctl, and a stop in order.
#
# Needs root, and the archive in target/dist (which is not made here: a release build takes CI too long). Exit code 0: all is well, or
# skipped for the reason it prints; 1: something is wrong.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() { echo "skipped: needs $*"; exit 0; }
fail() { echo "FAILED: $*" >&2; exit 1; }

archive=$(ls "${AUTHD_TEST_ARCHIVE:-${CARGO_TARGET_DIR:-target}/dist}"/authd-*-linux.tar.gz 2>/dev/null | tail -n 1 || true)
[ -n "$archive" ] || skip "the archive (cargo xtask dist tar)"
[ "$(id -u)" = 0 ] || skip "root, for another root directory"
# With /proc and /dev there, as on any Linux: in a mount namespace of its own, so that nothing is left of it.
if [ "${AUTHD_TEST_INNER-}" != 1 ]; then
  AUTHD_TEST_INNER=1 exec unshare --mount --propagation private -- bash "$0"
fi
command -v readelf >/dev/null && command -v curl >/dev/null || skip "readelf (package binutils) and curl"

work=$(mktemp -d /var/tmp/authd-archive.XXXXXX)
pid=
trap '[ -z "$pid" ] || kill -KILL $pid 2>/dev/null || true; umount -R "$work/root/proc" "$work/root/dev" 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT
mkdir "$work/all" "$work/root"
tar -xf "$archive" -C "$work/all" --strip-components=1
for file in README.md LICENSE sbom.cdx.json man/man8/authd.8 completions/authctl.bash systemd/authd.service; do
  [ -s "$work/all/$file" ] || fail "$file is not in the archive"
done
for program in authd authctl; do
  file=$work/all/$program
  readelf -hW "$file" | grep -qE 'Type: +DYN' || fail "$program cannot be loaded anywhere: $(readelf -hW "$file" | grep Type:)"
  if readelf -lW "$file" | grep -q INTERP; then fail "$program needs a loader"; fi
  if readelf -dW "$file" | grep -q NEEDED; then fail "$program needs $(readelf -dW "$file" | grep NEEDED)"; fi
  # It is seen to find one that is not static.
  readelf -dW "$(command -v readelf)" | grep -q NEEDED || fail "readelf finds nothing"
  if grep -aqF -e "$PWD/" -e "$HOME/.cargo" "$file"; then fail "$program has paths of this machine in it"; fi
  cp "$file" "$work/root/"
  echo "→ $program: $(stat -c %s "$file") bytes, static-pie"
done
echo "→ archive: $(stat -c %s "$archive") bytes"

for mount in proc dev; do mkdir "$work/root/$mount"; mount --rbind "/$mount" "$work/root/$mount"; done
inside() { env -i "$(command -v chroot)" "$work/root" "$@"; }
env -i "$(command -v chroot)" "$work/root" /authd --development --data-dir /data --listen 127.0.0.1:0 --admin-socket /admin.sock >"$work/card" 2>"$work/log" &
pid=$!
for _ in $(seq 300); do
  address=$(sed -n 's/.*"authd is ready".*"address":"\([^"]*\)".*/\1/p' "$work/log")
  [ -z "$address" ] || break
  kill -0 $pid 2>/dev/null || { cat "$work/log" >&2; fail "it does not start"; }
  sleep 0.1
done
[ -n "$address" ] || { cat "$work/log" >&2; fail "it does not get ready"; }
status=$(curl -sS -m 20 -o "$work/body" -w '%{http_code}' -H "Host: localhost:${address##*:}" -H 'Content-Type: application/json' \
  -d '{"email":"ada@example.com","password":"correct horse battery staple 7","name":"Ada"}' "http://$address/api/signup")
[ "$status" = 201 ] || fail "a sign-up: $status $(cat "$work/body")"
inside /authctl --socket /admin.sock user list -o csv --fields email >"$work/said" 2>&1 || fail "authctl: $(cat "$work/said")"
grep -q ada@example.com "$work/said" || fail "authctl does not find the account: $(cat "$work/said")"
inside /authctl --socket /admin.sock status >"$work/said" 2>&1 || fail "authctl status: $(cat "$work/said")"
kill -TERM $pid
wait $pid || fail "it ended with $?: $(tail -n 3 "$work/log")"
pid=
inside /authd store verify --development --data-dir /data >"$work/said" 2>&1 || fail "the store: $(cat "$work/said")"
echo "ok: the programs of the archive work with nothing of the host"
