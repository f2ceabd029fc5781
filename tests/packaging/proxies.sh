#!/usr/bin/env bash
# The configurations of packaging/proxies, as they stand but for names, ports and certificates, in nginx and Caddy with TLS, before
# an authd and an application that share an origin and /api. And that what `authd routes` prints for Vite and Next sends them the
# same way. Needs nginx, caddy, curl, openssl and python3; node for the last part.
#
# Exit code 0: sound, or skipped for the reason it prints; 1: something is wrong.
set -euo pipefail
cd "$(dirname "$0")/../.."

for tool in nginx caddy curl openssl python3; do
  command -v $tool >/dev/null || {
    echo "skipped: needs $tool"
    exit 0
  }
done
bin=${AUTHD_BIN:-${CARGO_TARGET_DIR:-target}/debug/authd}
ctl=${AUTHCTL_BIN:-$(dirname "$bin")/authctl}
if [ ! -x "$bin" ] || [ ! -x "$ctl" ]; then
  echo "skipped: needs the programs (cargo build --workspace --bins)"
  exit 0
fi
bin=$(realpath "$bin") ctl=$(realpath "$ctl")

work=$(mktemp -d)
pids=()
stop_all() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap stop_all EXIT

failed=0
checks=0
fail() {
  echo "FAILED: $*" >&2
  failed=1
}
# is WHAT EXPECTED FOUND
is() {
  checks=$((checks + 1))
  [ "$2" = "$3" ] || fail "$1: expected '$2', found '$3'"
}

# port: a free one.
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# until COMMAND…: tries it until it succeeds, for a minute.
until_it() {
  local end=$((SECONDS + 60))
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "FAILED: in a minute not: $*" >&2; tail -n 20 "$work"/*.log >&2; exit 1; }
    read -rt 0.1 <> <(:) || true
  done
}

# The application: says what it was asked, and by which headers.
cat >"$work/app.py" <<'PYTHON'
import http.server, json, sys
class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("X-App", sys.argv[2])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = do_DELETE = answer
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
PYTHON
app=$(port) reports=$(port)
python3 "$work/app.py" "$app" main & pids+=($!)
python3 "$work/app.py" "$reports" reports & pids+=($!)

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=app.example.com \
  -addext subjectAltName=DNS:app.example.com -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null

# start_authd NAME FRONT BACK: one that is called app.example.com:FRONT and listens on BACK.
start_authd() {
  "$bin" init --dir "$work/$1" --public-url "https://app.example.com:$2" --data-dir "$work/$1/data" \
    --listen "127.0.0.1:$3" --admin-socket "$work/$1/admin.sock" >/dev/null
  AUTHD_HTTP__TRUSTED_PROXIES=127.0.0.1 AUTHD_THROTTLE__REQUESTS=off \
    "$bin" --config "$work/$1/authd.toml" 2>"$work/$1.log" & pids+=($!)
  until_it curl -sf "http://127.0.0.1:$3/readyz"
}

# fill FILE FRONT BACK: the shipped configuration with this machine's names in it.
fill() {
  sed -e "s|127.0.0.1:8000|127.0.0.1:$3|g; s|127.0.0.1:3000|127.0.0.1:$app|g; s|127.0.0.1:3001|127.0.0.1:$reports|g" \
    -e "s|listen 443 ssl|listen 127.0.0.1:$2 ssl|" \
    -e "s|/etc/ssl/app.example.com.pem|$work/cert.pem|; s|/etc/ssl/app.example.com.key|$work/key.pem|" \
    -e "s|^app.example.com {|https://app.example.com:$2 {\n\ttls $work/cert.pem $work/key.pem|" \
    -e "s|/etc/nginx/authd.routes.conf|$work/authd.routes.conf|; s|/etc/caddy/authd.routes|$work/authd.routes|" "$1"
}

start_nginx() { # FRONT BACK ROUTES NAME
  local dir=$work/$4
  mkdir -p "$dir"
  cp "$3" "$work/authd.routes.conf"
  {
    printf 'daemon off; pid %s/pid; error_log %s/error.log; events {}\n' "$dir" "$dir"
    printf 'http { access_log off; client_body_temp_path %s/b; proxy_temp_path %s/p; fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s;\n' \
      "$dir" "$dir" "$dir" "$dir" "$dir"
    fill packaging/proxies/nginx.conf "$1" "$2"
    echo '}'
  } >"$dir/nginx.conf"
  nginx -t -q -c "$dir/nginx.conf" 2>"$work/$4.log" || { cat "$work/$4.log" >&2; exit 1; }
  nginx -c "$dir/nginx.conf" 2>"$work/$4.log" & pids+=($!)
}

# at FRONT PATH [CURL'S OPTIONS]: a client of another address than the proxy's, which says it had another one yet.
at() {
  local front=$1 path=$2
  shift 2
  curl -sS --cacert "$work/cert.pem" --resolve "app.example.com:$front:127.0.0.1" --interface 127.0.0.2 \
    -H 'X-Forwarded-For: 203.0.113.9' -H 'Forwarded: for=203.0.113.9' -H 'X-Real-IP: 203.0.113.9' "$@" "https://app.example.com:$front$path"
}
json() { python3 -c 'import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1].split("."): value = value.get(name, "") if value else ""
print(value)' "$1"; }

# through NAME FRONT BACK: all of it.
through() {
  local name=$1 front=$2 jar=$work/$1.jar found user method path
  found=$(at "$front" /api/auth/sign-up/email -c "$jar" -H "Origin: https://app.example.com:$front" \
    --json '{"email":"ada@example.com","password":"correct horse battery","name":"Ada"}')
  user=$(json user.id <<<"$found")
  is "$name: sign-up" ada@example.com "$(json user.email <<<"$found")"
  is "$name: get-session" "$user" "$(at "$front" /api/auth/get-session -b "$jar" | json user.id)"
  found=$(at "$front" /api/me -b "$jar")
  is "$name: me" "$user" "$(json user.id <<<"$found")"
  is "$name: the address that counts" 127.0.0.2 "$(json session.ipAddress <<<"$found")"
  is "$name: login below the shared path" "$user" \
    "$(at "$front" /api/login --json '{"email":"ada@example.com","password":"correct horse battery"}' | json user.id)"

  # Where every route goes, and every path that is none.
  while read -r method path; do
    path=${path//\{token\}/abc}
    found=$(at "$front" "$path" -X "$method" -o /dev/null -D - </dev/null | tr -d '\r' | grep -icE '^x-request-id:' || true)
    case $path in
      /healthz | /readyz) is "$name: $method $path is the application's" 0 "$found" ;;
      *) is "$name: $method $path is authd's" 1 "$found" ;;
    esac
  done < <("$bin" routes --config "$work/$name/authd.toml")
  for path in / /api /api/ /api/items /api/users/1 /api/loginx /api/login/x /api/xlogin /api/me/ /apis/login /x/api/login /API/login \
    /.well-known/jwks.jsonx /.well-known/security.txt '/search?q=/api/login'; do
    is "$name: $path is the application's" "$path" "$(at "$front" "$path" | json path)"
  done

  # What is protected.
  local outside=302
  [ "$name" = nginx ] || outside=401
  is "$name: the protected application, signed out" "$outside" "$(at "$front" /reports/a -o /dev/null -w '%{http_code}')"
  is "$name: with a forged cookie" "$outside" \
    "$(at "$front" /reports/a -H 'Cookie: __Secure-better-auth.session_token=forged.forged' -H "X-Authd-User: $user" -o /dev/null -w '%{http_code}')"
  found=$(at "$front" '/reports/a?b' -b "$jar" -H 'X-Authd-User: somebody-else')
  is "$name: the protected application, signed in" '/reports/a?b' "$(json path <<<"$found")"
  is "$name: it is told who" "$user" "$(json headers.x-authd-user <<<"$found")"
  is "$name: it does not get the session" '' "$(json headers.cookie <<<"$found")"
  is "$name: a POST, too" "$user" "$(at "$front" /reports/a -b "$jar" -X POST -d x=y | json headers.x-authd-user)"
  is "$name: the way to ask is not open" 0 "$(at "$front" /authd-session -b "$jar" | grep -c ada@example.com || true)"

  is "$name: sign-out" True "$(at "$front" /api/auth/sign-out -b "$jar" -c "$jar" -H "Origin: https://app.example.com:$front" --json '{}' | json success)"
  is "$name: after it" "$outside" "$(at "$front" /reports/a -b "$jar" -o /dev/null -w '%{http_code}')"
}

front=$(port) back=$(port)
start_authd nginx "$front" "$back"
"$bin" routes --config "$work/nginx/authd.toml" --proxy nginx >"$work/routes.conf"
start_nginx "$front" "$back" "$work/routes.conf" nginx-proxy
until_it at "$front" /
through nginx "$front" "$back"

# The checks count only after one was seen to fail: an nginx that believes what clients say of themselves.
# shellcheck disable=SC2016 # the dollars are nginx's
sed 's/X-Forwarded-For \$remote_addr/X-Forwarded-For $http_x_forwarded_for/' "$work/routes.conf" >"$work/gullible.conf"
gullible=$(port)
start_nginx "$gullible" "$back" "$work/gullible.conf" gullible
until_it at "$gullible" / -H "Host: app.example.com:$front"
seen=$(at "$gullible" /api/login -H "Host: app.example.com:$front" -c "$work/jar" -H "Origin: https://app.example.com:$front" \
  --json '{"email":"ada@example.com","password":"correct horse battery","mode":"token"}' | json access_token)
is 'a gullible proxy is seen' 203.0.113.9 \
  "$(at "$gullible" /api/me -H "Host: app.example.com:$front" -H "Authorization: Bearer $seen" | json session.ipAddress)"

front=$(port) back=$(port)
start_authd caddy "$front" "$back"
"$bin" routes --config "$work/caddy/authd.toml" --proxy caddy --upstream "http://127.0.0.1:$back" >"$work/authd.routes"
{
  printf '{\n\tadmin off\n\tauto_https off\n}\n'
  fill packaging/proxies/Caddyfile "$front" "$back"
} >"$work/Caddyfile"
HOME=$work XDG_DATA_HOME=$work XDG_CONFIG_HOME=$work caddy run --config "$work/Caddyfile" --adapter caddyfile 2>"$work/caddy-proxy.log" & pids+=($!)
until_it at "$front" /
through caddy "$front" "$back"

# What Vite and Next are given, as they read it.
if command -v node >/dev/null; then
  "$bin" routes --config "$work/caddy/authd.toml" --proxy vite >"$work/vite.mjs"
  "$bin" routes --config "$work/caddy/authd.toml" --proxy next >"$work/next.mjs"
  "$bin" routes --config "$work/caddy/authd.toml" >"$work/routes.txt"
  cat >"$work/check.mjs" <<'NODE'
import { readFileSync } from 'node:fs';
import { authd as vite } from './vite.mjs';
import { authd as next } from './next.mjs';
const byVite = (url) => Object.keys(vite).some((key) => key.startsWith('^') ? new RegExp(key).test(url) : url.startsWith(key));
// As path-to-regexp: :name is one segment, :name* any number.
const pattern = (source) => new RegExp(`^${source.replace(/\./g, '\\.').replace(/\/:\w+\*/g, '(?:/.*)?').replace(/:\w+/g, '[^/]+')}$`);
const byNext = (url) => next.some(({ source }) => pattern(source).test(url.split('?')[0]));
const paths = readFileSync(new URL('routes.txt', import.meta.url), 'utf8').trim().split('\n').map((line) => line.split(/ +/)[1].replace('{token}', 'abc'));
const wrong = [];
for (const path of paths.filter((path) => !path.endsWith('z'))) for (const url of [path, `${path}?a=b`]) {
  if (!byVite(url)) wrong.push(`vite: ${url}`);
  if (!byNext(url)) wrong.push(`next: ${url}`);
}
for (const path of ['/', '/api', '/api/items', '/api/loginx', '/api/login/x', '/x/api/login', '/search?q=/api/login']) {
  if (byVite(path)) wrong.push(`vite takes ${path}`);
  if (byNext(path)) wrong.push(`next takes ${path}`);
}
if (paths.length < 40 || next.some(({ source, destination }) => !destination.endsWith(source))) wrong.push('the lists');
for (const line of wrong) console.error(line);
process.exit(wrong.length ? 1 : 0);
NODE
  checks=$((checks + 1))
  node "$work/check.mjs" || fail 'the routes for Vite or Next'
else
  echo 'skipped: needs node for the routes of Vite and Next'
fi

[ $failed = 0 ] || exit 1
echo "ok: nginx and Caddy, $checks checks"
