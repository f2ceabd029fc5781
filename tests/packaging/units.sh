#!/usr/bin/env bash
# Checks packaging/systemd without a running systemd: the units are well formed and name each other rightly, the sandbox
# scores what the manual says, and user, groups and directory come out as meant. Needs systemd-analyze of 250 or later.
#
# Exit code 0: sound, or skipped for the reason it prints; 1: something is wrong.
set -euo pipefail
cd "$(dirname "$0")/../../packaging/systemd"

# As systemd-analyze counts, in tenths.
most=5
most_with_mail=12

for tool in systemd-analyze systemd-sysusers systemd-tmpfiles; do
  command -v $tool >/dev/null || {
    echo "skipped: needs $tool"
    exit 0
  }
done

failed=0
fail() {
  echo "FAILED: $*" >&2
  failed=1
}

# A root of our own, so that neither the programs nor the user have to be on this machine. The targets are empty: only
# their names count.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
units=$root/usr/lib/systemd/system
mkdir -p "$units" "$root/usr/bin" "$root/usr/lib/sysusers.d" "$root/usr/lib/tmpfiles.d" "$root/etc/systemd/system"
ln -s usr/bin "$root/bin"
for program in authd authctl kill; do
  printf '#!/bin/sh\n' >"$root/usr/bin/$program"
  chmod 755 "$root/usr/bin/$program"
done
for target in sysinit basic network sockets shutdown multi-user; do
  printf '[Unit]\nDescription=stub\n' >"$units/$target.target"
done
cp authd.service authd.socket authd-admin.socket authd-metrics.socket "$units/"
cp authd.sysusers "$root/usr/lib/sysusers.d/authd.conf"
cp authd.tmpfiles "$root/usr/lib/tmpfiles.d/authd.conf"

# What verify only warns of (an unknown key, a value that is ignored) is a mistake here, so nothing may be said at all.
# The man pages are made when the package is.
verify() {
  local said rc=0
  said=$(systemd-analyze verify --man=no --recursive-errors=no --root="$root" \
    authd.service authd.socket authd-admin.socket authd-metrics.socket 2>&1) || rc=$?
  if [ $rc != 0 ] || [ -n "$said" ]; then fail "systemd-analyze verify ($1) ends with $rc: $said"; fi
}

# score NAME MOST
score() {
  local said
  if said=$(systemd-analyze security --no-pager --offline=true --root="$root" --threshold="$2" authd.service 2>&1); then
    echo "score: $1, $(sed -n 's/.*exposure level for authd.service: \([0-9.]*\).*/\1/p' <<<"$said") of 10"
  else
    fail "$1: more exposed than $2 tenths"
    grep -E '✗|Overall|ailed' <<<"$said" >&2 || true
  fi
}

verify 'the units'
score 'the service' $most
mkdir "$root/etc/systemd/system/authd.service.d"
cp authd.service.d/mail.conf.example "$root/etc/systemd/system/authd.service.d/mail.conf"
verify 'with mail'
score 'the service with mail' $most_with_mail

# verify does not look into the filter: the call that hashing threads need must be allowed after all that is refused.
filters=$(grep '^SystemCallFilter=' authd.service | tail -n 1)
[ "$filters" = 'SystemCallFilter=setpriority' ] || fail "the last SystemCallFilter= is not setpriority: $filters"

if said=$(systemd-sysusers --root="$root" 2>&1); then
  grep -qE '^authd:x:[0-9]+:[0-9]+:.*:/var/lib/authd:/usr/sbin/nologin$' "$root/etc/passwd" || fail "no user authd"
  for group in authd authd-admin; do
    grep -qE "^$group:x:[0-9]+:\$" "$root/etc/group" || fail "no group $group, or somebody is in it"
  done
else
  fail "systemd-sysusers: $said"
fi
grep -qiE 'ignoring|unknown|invalid' <<<"$said" && fail "systemd-sysusers: $said"

if [ "$(id -u)" = 0 ]; then
  said=$(systemd-tmpfiles --create --root="$root" 2>&1) || said="exit code $? $said"
  [ -z "$said" ] || fail "systemd-tmpfiles: $said"
  gid=$(sed -n 's/^authd:x:\([0-9]*\):.*/\1/p' "$root/etc/group")
  mode=$(stat -c '%a %u %g' "$root/etc/authd" 2>&1) || true
  [ "$mode" = "750 0 $gid" ] || fail "/etc/authd is '$mode', and should be '750 0 $gid'"
else
  echo "skipped: needs root for systemd-tmpfiles"
fi

[ $failed = 0 ] || exit 1
echo "ok: units, sandbox, user, directory"
