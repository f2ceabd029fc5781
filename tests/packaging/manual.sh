#!/usr/bin/env bash
# Checks the manual: the pages of SUMMARY.md are the pages that there are, each has a title, and every link inside the manual leads
# to a page and a heading that exist. Where there is mdbook, it builds the book too.
#
# Exit code 0: sound; 1: something is wrong.
set -euo pipefail
cd "$(dirname "$0")/../../packaging/manual/src"

failed=0
fail() {
  echo "FAILED: $*" >&2
  failed=1
}

# prose FILE: what is not in a code block or in code within a line.
# shellcheck disable=SC2016 # the backquotes are Markdown's
prose() {
  awk '/^ *```/ { code = !code; next } !code' "$1" | sed 's/`[^`]*`//g'
}

# links FILE: the targets of its links, one a line.
links() {
  prose "$1" | grep -oE '\]\([^)]*\)' | sed 's/^](//; s/)$//' || true
}

# anchors FILE: the ids of its headings as mdbook makes them: lower case, spaces as hyphens, other punctuation left out.
anchors() {
  awk '/^ *```/ { code = !code; next } !code && /^#+ / { sub(/^#+ +/, ""); print }' "$1" |
    tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9_ -]//g; s/ /-/g'
}

listed=$(links SUMMARY.md | sort)
[ -n "$listed" ] || fail "SUMMARY.md lists no page"
for page in $(uniq -d <<<"$listed"); do fail "SUMMARY.md lists $page twice"; done
for page in $listed; do
  [ -f "$page" ] || fail "SUMMARY.md lists $page, which does not exist"
done

pages=0
links_checked=0
while read -r page; do
  pages=$((pages + 1))
  grep -qxF "$page" <<<"$listed" || fail "$page is not in SUMMARY.md"
  head -n 1 "$page" | grep -q '^# .' || fail "$page does not begin with a title"
  fences=$(grep -cE '^ *```' "$page") || true
  [ $((fences % 2)) = 0 ] || fail "$page has a code block that does not end"
  while read -r target; do
    case $target in
      '') continue ;;
      http://* | https://*) continue ;;
    esac
    links_checked=$((links_checked + 1))
    file=${target%%#*}
    [ -n "$file" ] || file=$(basename "$page")
    file=$(dirname "$page")/$file
    if [ ! -f "$file" ]; then
      fail "$page links to $target, which does not exist"
    elif [ "$target" != "${target#*#}" ] && ! anchors "$file" | grep -qxF "${target#*#}"; then
      fail "$page links to $target, and there is no such heading"
    fi
  done < <(links "$page")
done < <(find . -name '*.md' ! -name SUMMARY.md | sed 's|^\./||' | sort)

[ $failed = 0 ] || exit 1
if command -v mdbook >/dev/null; then
  book=$(mktemp -d)
  trap 'rm -rf "$book"' EXIT
  mdbook build --dest-dir "$book" .. >"$book/log" 2>&1 || { cat "$book/log" >&2; fail "mdbook cannot build the book"; exit 1; }
  for page in $listed; do
    [ -f "$book/${page%.md}.html" ] || fail "the book has no ${page%.md}.html"
  done
  [ $failed = 0 ] || exit 1
else
  echo "skipped: needs mdbook (cargo install mdbook) to build the book"
fi
echo "ok: $pages pages, $links_checked links"
