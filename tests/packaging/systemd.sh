#!/usr/bin/env bash
# Builds the Debian package, boots a real systemd in a fresh Debian, installs it there, and does with it what an administrator
# does: systemd/guest.sh, which runs inside. Then the same package goes through lintian.
#
#   tests/packaging/systemd.sh            with the programs of the debug profile, an empty store, 20 restarts
#   tests/packaging/systemd.sh --long     instead of all that 20 restarts of a release build with a store of 200,000 users
#                                         (AUTHD_TEST_USERS says how many)
#
# The package is that of the debug profile: a release build takes CI too long, and only a debug build can be told to have a
# newer store (AUTHD_TEST_FAULT=next-format), which stands for the authd that comes after this one.
#
# Needs root, and installs mmdebstrap, systemd-container and lintian. Exit code 0: all is well, or skipped for the reason it
# prints; 1: something is wrong.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/packaging/systemd

skip() { echo "skipped: needs $*"; exit 0; }

[ "$(id -u)" = 0 ] || skip "root, to boot a systemd"
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || skip "a Debian or Ubuntu to boot a Debian on"
missing=()
command -v systemd-nspawn >/dev/null || missing+=(systemd-container)
command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
command -v lintian >/dev/null || missing+=(lintian)
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq >/dev/null 2>&1 || true
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || skip "the packages ${missing[*]}"
fi

work=$(mktemp -d /var/tmp/authd-systemd.XXXXXX)
trap 'rm -rf "$work"' EXIT
target=${CARGO_TARGET_DIR:-target}
began=$(date +%s)

boot() { bash "$here/boot.sh" --include python3 --out "$work/out" "$@"; }

# Whether a systemd boots here at all, before anything is built: not in every container.
echo true >"$work/nothing.sh"
boot --timeout 120 "$work/nothing.sh" >"$work/boot.log" 2>&1 || { cat "$work/boot.log" >&2; skip "a machine on which systemd-nspawn boots (cgroup2, overlayfs, mount)"; }

if [ "${1-}" = --long ]; then
  echo "${AUTHD_TEST_USERS:-200000}" >"$work/users"
  cargo xtask dist deb --out "$work/dist" >/dev/null
  deb=$(ls "$work"/dist/*.deb)
  echo "→ release package: $(stat -c %s "$deb") bytes"
  boot --timeout 3000 --deb "$deb" --copy "$work/users:/root/users" --copy "$here/load.py:/root/load.py" "$here/large.sh"
  echo "→ took $(($(date +%s) - began)) s"
  exit 0
fi

cargo build --workspace --bins --quiet
"$target/debug/xtask" dist --debug deb --out "$work/current" >/dev/null
deb=$(ls "$work"/current/*.deb)

# The package that comes after this one: its authd has another form of the store.
dpkg-deb -R "$deb" "$work/tree"
sed -i 's/^Version: .*/Version: 99.0.0-1/' "$work/tree/DEBIAN/control"
mkdir -p "$work/tree/usr/lib/systemd/system/authd.service.d" "$work/newer"
printf '[Service]\nEnvironment=AUTHD_TEST_FAULT=next-format\n' >"$work/tree/usr/lib/systemd/system/authd.service.d/next-format.conf"
dpkg-deb --root-owner-group -Zgzip -z1 --build "$work/tree" "$work/newer/better-auth-authd_99.0.0-1.deb" >/dev/null
rm -r "$work/tree"

rc=0
mkdir "$work/packages"
cp -r "$work/newer" "$work/packages/newer"
mkdir "$work/packages/current" && cp "$deb" "$work/packages/current/"
boot --timeout 400 --deb "$deb" --copy "$work/packages:/root/packages" --copy "$here/load.py:/root/load.py" \
  --copy "$here/hold.py:/root/hold.py" --copy packaging/manual/src:/root/manual "$here/guest.sh" || rc=$?
if [ $rc != 0 ]; then
  grep -E ' authd\[|systemd\[1\].*authd' "$work/out/journal.txt" | tail -n 60 >&2 || true
  exit 1
fi

# Nothing but errors: what it warns of is Debian's taste.
lintian --fail-on error --tag-display-limit 0 "$deb" 2>&1 | grep -v 'running with root privileges' || [ "${PIPESTATUS[0]}" = 0 ]
echo "ok: package, units and their daemon under systemd, $(($(date +%s) - began)) s"
