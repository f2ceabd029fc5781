#!/usr/bin/env bash
# Audits the dependencies without network: known vulnerabilities, unmaintained and yanked crates, licences, sources, crates
# that are not wanted. The rules are in .deny.toml, the advisories in ../shared, a stored copy of RustSec's database.
#
#   tests/packaging/advisories.sh             with cargo-deny, or else with cargo-audit (advisories only)
#   tests/packaging/advisories.sh --install   install cargo-deny first if neither is there (minutes, needs network)
#
# Exit code 0: sound, or skipped for the reason it prints; 1: something was found, or the audit did not work; 2: usage.
set -euo pipefail
cd "$(dirname "$0")/../.."

archive=../shared/vectors/advisory-db/rustsec-advisory-db.tar.gz
# cargo-deny's own name for its copy of RustSec's database. By any other name it finds none, and fails.
db_name=advisory-db-3157b0e258782691

skip() {
  echo "skipped: needs $*"
  exit 0
}

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

case ${1-} in
  '') install= ;;
  --install) install=yes ;;
  *)
    echo "usage: $0 [--install]" >&2
    exit 2
    ;;
esac

tool=
for name in cargo-deny cargo-audit; do
  if [ -z "$tool" ] && command -v "$name" >/dev/null; then tool=$name; fi
done
if [ -z "$tool" ] && [ -n "$install" ]; then
  nice -n 19 cargo install --locked cargo-deny
  tool=cargo-deny
  PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
fi
[ -n "$tool" ] || skip "cargo-deny or cargo-audit ($0 --install)"
[ -e "$archive" ] || skip "$archive"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
db=$work/$db_name
mkdir "$db"
tar xzf "$archive" -C "$db"
advisories=$(find "$db/crates" "$db/rust" -name 'RUSTSEC-*.md' | wc -l)
[ "$advisories" -ge 1000 ] || fail "the database is not whole: $advisories advisories"
crates=$(grep -c '^name = ' Cargo.lock)

if [ "$tool" = cargo-deny ]; then
  command -v git >/dev/null || skip git
  # It looks at the manifest of every crate in the lock file, those for other systems included.
  cargo metadata --offline --locked --format-version 1 >/dev/null 2>&1 || skip "the crates of Cargo.lock (cargo fetch --locked)"
  # It takes the date of the database from git.
  git -C "$db" init --quiet
  git -C "$db" add --all
  git -C "$db" -c user.name=test -c user.email=test@localhost -c commit.gpgsign=false commit --quiet --message stored
  sed "s|^\[advisories\]\$|&\ndb-path = \"$work\"|" .deny.toml >"$work/deny.toml"
  grep -q '^db-path' "$work/deny.toml" || fail ".deny.toml has no [advisories]"
  cargo deny --offline --locked --config "$work/deny.toml" check --hide-inclusion-graph || fail "cargo deny, see above"
else
  ignore=()
  while read -r id; do ignore+=(--ignore "$id"); done < <(sed -n 's/^ *{ id = "\(RUSTSEC-[0-9-]*\)".*/\1/p' .deny.toml)
  cargo audit --db "$db" --no-fetch --deny warnings "${ignore[@]}" || fail "cargo audit, see above"
fi
echo "ok: $tool, $crates crates of Cargo.lock, $advisories advisories"
