#!/usr/bin/env bash
# The Containerfile, as the manual runs it: an image of the archive that `cargo xtask dist tar` makes, in which authd is PID 1, an
# ordinary user without a capability, on a file system that it cannot write to but for its data. It signs somebody up, is asked by
# authctl inside of it, stops in order when it is told to, and has everything when it is started again.
#
# Needs root, podman, and the archive in target/dist (which is not made here: a release build takes CI too long). Exit code 0: all is
# well, or skipped for the reason it prints; 1: something is wrong.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() { echo "skipped: needs $*"; exit 0; }
fail() { echo "FAILED: $*" >&2; exit 1; }

archive=$(ls "${AUTHD_TEST_ARCHIVE:-${CARGO_TARGET_DIR:-target}/dist}"/authd-*-linux.tar.gz 2>/dev/null | tail -n 1 || true)
[ -n "$archive" ] || skip "the archive (cargo xtask dist tar)"
[ "$(id -u)" = 0 ] || skip "root, for a container"
command -v podman >/dev/null && command -v nsenter >/dev/null || skip "podman (packages podman and crun)"
# In a mount namespace of its own, with the cgroups as a host of today has them: crun takes no others.
if [ "${AUTHD_TEST_INNER-}" != 1 ]; then
  AUTHD_TEST_INNER=1 exec unshare --mount --propagation private -- bash "$0"
fi
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null || skip "cgroup2, for a container"

work=$(mktemp -d /var/tmp/authd-container.XXXXXX)
pod() { podman --root "$work/root" --runroot "$work/run" --storage-driver vfs --cgroup-manager cgroupfs "$@"; }
trap 'pod rm -f -t 0 authd >/dev/null 2>&1 || true; pod rmi -af >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
began=$(date +%s%N)
mkdir -m 0700 "$work/authd" "$work/etc" "$work/data" "$work/socket"
tar -xf "$archive" -C "$work/authd" --strip-components=1
pod build -q --isolation=chroot -t authd -f packaging/Containerfile "$work/authd" >/dev/null
echo "→ image: $(pod image inspect authd --format '{{.Size}}') bytes"

# The manual's, but for the names on this machine, and what containers cannot have in a container (cgroups, limits).
chown 65532:65532 "$work/data" "$work/socket" "$work/etc"
mounts=(-v "$work/etc:/etc/authd" -v "$work/data:/var/lib/authd" -v "$work/socket:/run/authd")
common=(--network none --cgroups=disabled --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --read-only --cap-drop all "${mounts[@]}")
pod run --rm "${common[@]}" authd init --public-url http://localhost:8000 >"$work/said" 2>&1 || skip "a machine on which podman runs a container: $(tail -n 1 "$work/said")"
run() { pod run -d --name authd "${common[@]}" authd >/dev/null; }
wait_for() { local _; for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done; pod logs authd >&2; fail "$*"; }
ctl() { pod exec authd /usr/bin/authctl "$@"; }
# Asks from within its network, where alone it listens.
ask() { nsenter --target "$(pod inspect -f '{{.State.Pid}}' authd)" --net -- curl -sS -m 20 -o "$work/body" -w '%{http_code}' -H 'Host: localhost:8000' -H 'Content-Type: application/json' "$@"; }

run
wait_for ctl status
process=$(pod inspect -f '{{.State.Pid}}' authd)
grep -q $'^NSpid:.*\t1$' "/proc/$process/status" || fail "it is not PID 1: $(grep NSpid "/proc/$process/status")"
grep -q '^CapBnd:\s*0*$' "/proc/$process/status" || fail "it has capabilities"
grep -qE '^Uid:\s+65532' "/proc/$process/status" || fail "it is somebody else"
account='{"email":"ada@example.com","password":"correct horse battery staple 7","name":"Ada"}'
status=$(ask -d "$account" http://127.0.0.1:8000/api/signup)
[ "$status" = 201 ] || fail "a sign-up: $status $(cat "$work/body")"
ctl user list -o csv --fields email | grep -q ada@example.com || fail "authctl does not find the account"
ctl backup create >/dev/null || fail "no backup"
pod stop -t 30 authd >/dev/null
[ "$(pod inspect -f '{{.State.ExitCode}}' authd)" = 0 ] || fail "it ended with $(pod inspect -f '{{.State.ExitCode}}' authd): $(pod logs authd 2>&1 | tail -n 3)"
pod rm authd >/dev/null
run
wait_for ctl status
status=$(ask -d "$account" http://127.0.0.1:8000/api/login)
[ "$status" = 200 ] || fail "a sign-in: $status $(cat "$work/body")"
echo "ok: image, init, sign-up, authctl, stop and start, $((($(date +%s%N) - began) / 1000000)) ms"
