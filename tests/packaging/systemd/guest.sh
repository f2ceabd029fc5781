#!/bin/bash
# Runs as root inside the booted system, in which the package is installed. Every check says ok or FAIL; the first line that
# says FAIL makes the whole of it fail. Figures begin with an arrow.
set -u
F=0
T0=$(date +%s%N)
section() { local ms=$((($(date +%s%N) - T0) / 1000000)); printf -- '--- %s (at %d.%d s)\n' "$*" $((ms / 1000)) $((ms % 1000 / 100)); }
ok() { echo "ok   $*"; }
no() { echo "FAIL $*"; F=1; }
chk() { local what=$1; shift; if "$@" >/tmp/said 2>&1; then ok "$what"; else no "$what: $(tail -n 5 /tmp/said)"; fi; }
says() { local what=$1 wanted=$2; shift 2; "$@" >/tmp/said 2>&1; if grep -q -- "$wanted" /tmp/said; then ok "$what"; else no "$what: no '$wanted' in: $(tail -n 5 /tmp/said)"; fi; }
has() { if grep -q -- "$2" /tmp/said; then ok "$1"; else no "$1: no '$2' in: $(tail -n 5 /tmp/said)"; fi; }
ends() { local what=$1 code=$2; shift 2; "$@" >/tmp/said 2>&1; local rc=$?; if [ $rc = "$code" ]; then ok "$what"; else no "$what: exit $rc and not $code: $(tail -n 5 /tmp/said)"; fi; }
journal() { journalctl -u authd -o cat --no-pager "$@"; }
pid() { systemctl show -P MainPID authd; }
status() { systemctl show -P StatusText authd; }
ask() { curl -sS -m 20 -o /tmp/body -w '%{http_code}' -H 'Host: auth.example.com' "$@"; }
is_200() { [ "$(ask "$@")" = 200 ]; }
sign_in() { is_200 -H 'Content-Type: application/json' -d "{\"email\":\"ada@example.com\",\"password\":\"$PASSWORD\"}" http://127.0.0.1:8000/api/login; }
# Waits for what systemd will have done by itself.
wait_for() { local i; for i in $(seq 600); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done; return 1; }
PASSWORD='correct horse battery staple 7'
RESTARTS=${RESTARTS:-20}
UNITS='authd.service authd.socket authd-admin.socket'
DEB=$(ls /root/packages/current/*.deb) NEWER=$(ls /root/packages/newer/*.deb)

section "installed"
wait_for systemctl is-active authd
for unit in $UNITS; do chk "$unit is active" systemctl is-active $unit; chk "$unit is enabled" systemctl is-enabled $unit; done
says "the status says what it serves" '^serving https://auth.example.com$' status
[ "$(stat -c '%a %U %G' /etc/authd /etc/authd/authd.toml /etc/authd/master.key /run/authd/admin.sock /var/lib/authd | tr '\n' ';')" = \
  '750 root authd;640 root authd;600 root root;660 root authd-admin;700 authd authd;' ] && ok "modes and owners" || no "modes and owners: $(stat -c '%n %a %U %G' /etc/authd /etc/authd/* /run/authd/admin.sock /var/lib/authd)"
KEY=$(sha256sum /etc/authd/master.key)
for page in man8/authd.8 man8/authd-store-migrate.8 man1/authctl.1 man1/authctl-user-create.1; do chk "$page" gzip -t /usr/share/man/$page.gz; done
chk "completion for bash" bash -n /usr/share/bash-completion/completions/authctl
chk "systemd-analyze verify" systemd-analyze verify --man=no $(printf '/usr/lib/systemd/system/%s ' $UNITS)
[ ! -s /tmp/said ] || no "systemd-analyze verify says: $(cat /tmp/said)"
chk "dpkg finds every file as it was packed" dpkg --verify better-auth-authd

if [ $F != 0 ]; then journal -n 20; exit 1; fi

section "exposure (OP-02)"
score() { systemd-analyze security --no-pager --threshold="$2" authd.service >/tmp/said 2>&1 && ok "$1" || no "$1"; echo "→ $1: $(sed -n 's/.*exposure level for authd.service: \([0-9.]*\).*/\1/p' /tmp/said) of 10"; }
score "exposure" 5
install -D -m 644 /usr/share/doc/better-auth-authd/examples/mail.conf.example /etc/systemd/system/authd.service.d/mail.conf
systemctl daemon-reload; systemctl restart authd; score "exposure with mail" 12; chk "it serves with mail.conf" is_200 http://127.0.0.1:8000/readyz
rm /etc/systemd/system/authd.service.d/mail.conf; systemctl daemon-reload; systemctl restart authd
says "no capability is left" '0000000000000000' grep CapBnd "/proc/$(pid)/status"
[ "$(ip -4 -o addr show scope global | wc -l)" = 0 ] || no "the guest has a network, so nothing is shown"

section "who may administer (AZ-03)"
useradd -m alice; useradd -m -G authd-admin bob
printf %s "$PASSWORD" | su bob -c 'authctl user create --email ada@example.com --password-stdin' >/tmp/said 2>&1 && ok "a member of authd-admin makes a user" || no "a member of authd-admin: $(cat /tmp/said)"
ends "who is not one is refused" 5 su alice -c 'authctl status'
has "and told what helps" 'authd-admin'
chk "sign-in over TCP" sign_in
[ "$(ps -L -o ni= -p "$(pid)" | sort -n | tail -n 1)" -gt 0 ] && ok "hashing threads lower their priority" || no "no thread has a lower priority: $(ps -L -o ni=,comm= -p "$(pid)")"

section "socket activation"
systemctl stop authd.service
chk "a TCP connection starts it" is_200 http://127.0.0.1:8000/readyz
systemctl stop authd.service
chk "authctl starts it" authctl status

section "restart under load: $RESTARTS times"
rm -f /tmp/enough; python3 /root/load.py /tmp/enough ada@example.com "$PASSWORD" >/tmp/load & LOAD=$!
before=$(pid)
for _ in $(seq "$RESTARTS"); do systemctl restart authd || no "restart"; done
touch /tmp/enough; wait $LOAD && ok "no request lost, no connection refused" || no "under load"
echo "→ $RESTARTS restarts: $(cat /tmp/load)"
[ "$(pid)" != "$before" ] || no "it was not restarted"
curl -sS -m 20 -o /dev/null -w '%{http_code}' -H 'Host: auth.example.com' http://127.0.0.1:8000/.well-known/jwks.json >/tmp/late & LATE=$!
systemctl restart authd; wait $LATE; [ "$(cat /tmp/late)" = 200 ] && ok "who asks during a restart is answered" || no "during a restart: $(cat /tmp/late)"

section "reload"
cp -p /etc/authd/authd.toml /root/good.toml
sed -i 's/^#level = .*/level = "debug"/' /etc/authd/authd.toml
chk "systemctl reload" systemctl reload authd
# systemd waits for the signal to be sent, and not for what comes of it.
wait_for sh -c 'journalctl -u authd -o cat --no-pager -n 30 | grep -q "a setting was changed: applied"'
says "a changed setting is in force" 'a setting was changed: applied' journal -n 30
before=$(pid)
echo 'nonsense = 1' >>/etc/authd/authd.toml
if systemctl reload authd >/tmp/said 2>&1; then no "a reload of a file with a mistake succeeds"; else ok "a reload of a file with a mistake fails"; fi
says "the journal names the mistake" 'nonsense' journal -n 20
[ "$(systemctl is-active authd) $(pid)" = "active $before" ] && ok "and the daemon goes on" || no "the daemon was touched by a reload"
# Past the check before it, as a file may change in between.
systemctl kill --kill-who=main -s HUP authd
wait_for sh -c 'systemctl show -P StatusText authd | grep -q "1 problem"' && ok "a refused reload shows in the status: $(status)" || no "the status says: $(status)"
chk "sign-in goes on" sign_in
install -m 640 -g authd /root/good.toml /etc/authd/authd.toml
chk "the good file again" systemctl reload authd
wait_for sh -c 'systemctl show -P StatusText authd | grep -qx "serving https://auth.example.com"'
says "the status is as it was" '^serving https://auth.example.com$' status

section "a mistake in the configuration leaves the sockets open"
echo 'nonsense = 1' >>/etc/authd/authd.toml
systemctl restart authd >/dev/null 2>&1
for _ in $(seq 30); do curl -s -m 0.1 -o /dev/null http://127.0.0.1:8000/; done
wait_for sh -c '[ "$(systemctl show -P NRestarts authd)" -ge 3 ]'
wait_for sh -c '[ "$(systemctl show -P ExecMainStatus authd)" = 78 ]' && ok "exit code 78" || no "exit code $(systemctl show -P ExecMainStatus authd)"
for unit in authd.socket authd-admin.socket; do chk "$unit is still active" systemctl is-active $unit; done
ask http://127.0.0.1:8000/readyz >/tmp/late & LATE=$!
install -m 640 -g authd /root/good.toml /etc/authd/authd.toml
wait $LATE; [ "$(cat /tmp/late)" = 200 ] && ok "who waited is served when the mistake is mended" || no "who waited got $(cat /tmp/late)"
wait_for systemctl is-active authd || no "it does not come back"

section "the journal, by its fields"
# What the entry has in these fields, a line each.
fields() { journalctl -o json --no-pager -n 1 -u authd "$1" | python3 -c 'import json, sys
entry = json.loads(sys.stdin.readline() or "{}")
for name in sys.argv[1:]: print("%s=%s" % (name, entry.get(name)))' "${@:2}"; }
is_there() { [ -n "$(journalctl -o cat --no-pager -n 1 -u authd "$1")" ]; }
wait_for is_there AUTHD_EVENT=user.created
fields AUTHD_EVENT=user.created PRIORITY SYSLOG_IDENTIFIER MESSAGE AUTHD_TARGET AUTHD_OPERATOR AUTHD_PEER_UID AUTHD_PEER_PID AUTHD_REQUEST_ID >/tmp/said
for line in PRIORITY=6 SYSLOG_IDENTIFIER=authd 'MESSAGE=an operator acted' 'AUTHD_TARGET=authd::.*' AUTHD_OPERATOR=bob "AUTHD_PEER_UID=$(id -u bob)" 'AUTHD_PEER_PID=[0-9]*' 'AUTHD_REQUEST_ID=admin-[A-Za-z0-9]\{16\}'; do has "who acts: $line" "^$line\$"; done
request=$(sed -n 's/^AUTHD_REQUEST_ID=//p' /tmp/said)
says "the audit record has the request's id too" "$request" authctl audit list --event user.created -o json
[ "$(journalctl -u authd AUTHD_PEER_UID="$(id -u bob)" -o cat --no-pager | wc -l)" -ge 1 ] && ok "what bob did is found by his uid" || no "nothing is found by bob's uid"
request=$(curl -sS -m 20 -D - -o /dev/null -H 'Host: auth.example.com' -H 'Content-Type: application/json' -d '{"email":"ada@example.com","password":"not this one at all"}' http://127.0.0.1:8000/api/login | tr -d '\r' | sed -n 's/^x-request-id: //p')
wait_for is_there "AUTHD_REQUEST_ID=$request"
fields "AUTHD_REQUEST_ID=$request" PRIORITY MESSAGE AUTHD_METHOD AUTHD_RESULT AUTHD_SOURCE >/tmp/said
for line in PRIORITY=6 'MESSAGE=a sign-in failed' AUTHD_METHOD=password AUTHD_RESULT=failure AUTHD_SOURCE=127.0.0.1; do has "a request by its id: $line" "^$line\$"; done
journalctl -u authd -p warning -o json --no-pager _COMM=authd | python3 -c 'import collections, json, sys
found = collections.Counter(json.loads(line)["PRIORITY"] for line in sys.stdin)
print(dict(found)); sys.exit(0 if found and set(found) <= {"3", "4"} else 1)' >/tmp/said 2>&1 && ok "-p warning finds warnings and errors and nothing else: $(cat /tmp/said)" || no "-p warning: $(cat /tmp/said)"
[ "$(journalctl -u authd -o json --no-pager _COMM=authd | grep -c -e "$PASSWORD" -e 'not this one' -e 'ada@example.com')" = 0 ] && ok "no entry has a password or an address" || no "a password or an address is in the journal"

section "metrics, as the manual says"
manual() { sed -n "/^## $1\$/,/^## /p" "/root/manual/$2"; }
su bob -c 'authctl metrics' >/tmp/said 2>&1; has "a member of authd-admin reads them by authctl" '^authd_ready 1$'
su bob -c 'curl -s --unix-socket /run/authd/admin.sock http://authd/metrics' >/tmp/said 2>&1; has "and on the socket" '^authd_users 1$'
ends "who is not one is refused" 5 su alice -c 'authctl metrics'
ends "on the socket too" 7 su alice -c 'curl -s --unix-socket /run/authd/admin.sock http://authd/metrics'
manual Metrics hosts.md | sed -n '/^```sh$/,/^```$/p' | grep -v '^```' >/tmp/commands
[ "$(wc -l </tmp/commands)" = 3 ] && bash -e /tmp/commands >/tmp/said 2>&1 && ok "the commands of the manual" || no "the commands of the manual: $(cat /tmp/commands /tmp/said)"
wait_for systemctl is-active authd
su alice -c 'curl -s http://127.0.0.1:9464/metrics' >/tmp/said 2>&1; has "Prometheus reads them over TCP" '^authd_ready 1$'
[ "$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:9464/v1/status)" = 404 ] && ok "and nothing else" || no "something else is on that address"
chk "the public door is open as before" sign_in
systemctl stop authd.service authd.socket authd-admin.socket authd-metrics.socket; systemctl disable authd-metrics.socket >/dev/null 2>&1
systemctl start authd.socket authd-admin.socket authd.service

section "kill -9"
before=$(pid); systemctl kill -s KILL authd
chk "the next connection waits for its successor" sign_in
[ "$(pid)" != "$before" ] && ok "it is another process" || no "it was not killed"

section "watchdog"
mkdir -p /run/systemd/system/authd.service.d; printf '[Service]\nWatchdogSec=4s\nTimeoutAbortSec=2s\n' >/run/systemd/system/authd.service.d/watchdog.conf
systemctl daemon-reload; systemctl restart authd
before=$(pid); began=$(date +%s%N); kill -STOP "$before"
wait_for sh -c "[ \"\$(systemctl show -P MainPID authd)\" != $before ] && systemctl is-active authd" && ok "a daemon that stands still is replaced" || no "a stopped process was left alone"
echo "→ stopped as a whole: replaced after $((($(date +%s%N) - began) / 1000000)) ms of a watchdog of 4 s"
chk "and serves" sign_in
before=$(pid); began=$(date +%s%N); python3 /root/hold.py "$before" store-writer & HOLD=$!
wait_for sh -c "[ \"\$(systemctl show -P MainPID authd)\" != $before ] && systemctl is-active authd" && ok "so is one whose writer alone stands still" || no "a daemon without a writer was left alone"
echo "→ its writer held: replaced after $((($(date +%s%N) - began) / 1000000)) ms"
kill $HOLD 2>/dev/null; wait $HOLD 2>/dev/null
says "the log says which part it was" "no sign of life" journal -n 60
chk "and serves" sign_in
rm -r /run/systemd/system/authd.service.d; systemctl daemon-reload; systemctl restart authd

section "the master key"
cp -p /etc/authd/master.key /root/master.key
systemd-creds encrypt --with-key=host --name=authd.master-key /etc/authd/master.key /etc/authd/master.key.cred >/tmp/said 2>&1 || no "systemd-creds: $(cat /tmp/said)"
install -D -m 644 /usr/share/doc/better-auth-authd/examples/encrypted-key.conf.example /etc/systemd/system/authd.service.d/encrypted-key.conf
rm /etc/authd/master.key; systemctl daemon-reload; systemctl restart authd; chk "the encrypted key alone opens the store" sign_in
rm -r /etc/systemd/system/authd.service.d; systemctl daemon-reload
systemctl restart authd >/dev/null 2>&1; [ "$(systemctl show -P ExecMainStatus authd)" = 243 ] && ok "without a key systemd does not start it (243)" || no "without a key: $(systemctl show -P ExecMainStatus authd)"
install -m 600 /root/master.key /etc/authd/master.key; rm /etc/authd/master.key.cred
wait_for systemctl is-active authd && ok "and does when it is back" || no "it does not come back"

section "the host is lost (the runbook, word by word)"
printf '#!/bin/sh\nexec "$@"\n' >/usr/local/bin/sudo; chmod 755 /usr/local/bin/sudo
mkdir /root/lost; cd /root/lost || exit 1
authctl backup recipient new recovery.txt >recipient || no "no recipient"
mkdir -p /run/systemd/system/authd.service.d; printf '[Service]\nEnvironment=AUTHD_BACKUP__RECIPIENTS=%s\n' "$(cat recipient)" >/run/systemd/system/authd.service.d/recovery.conf
systemctl daemon-reload; systemctl restart authd
chk "a backup" authctl backup create FILE
systemctl stop authd.service authd.socket authd-admin.socket
dpkg --purge better-auth-authd >/dev/null 2>&1; rm -rf /var/lib/authd /etc/authd /run/systemd/system/authd.service.d; systemctl daemon-reload
dpkg -i "$DEB" >/tmp/said 2>&1 && ok "another host, with authd installed" || no "dpkg -i: $(cat /tmp/said)"
wait_for systemctl is-active authd
sign_in && no "the account is there before it was restored"
[ "$(sha256sum /etc/authd/master.key)" != "$KEY" ] || no "it has the master key before it was restored"
manual 'The host is lost' runbooks.md | sed -n 's/^\$ //p' >/tmp/commands
began=$(date +%s%N)
while read -r command; do chk "$command" bash -c "$command"; done </tmp/commands
[ "$(wc -l </tmp/commands)" -ge 8 ] || no "the runbook has $(wc -l </tmp/commands) commands"
chk "sign-in" sign_in
echo "→ the host is lost: back after $((($(date +%s%N) - began) / 1000000)) ms"
[ "$(stat -c '%a %U' /etc/authd/master.key /var/lib/authd | tr '\n' ';')" = '600 root;700 authd;' ] && ok "modes and owners" || no "modes and owners: $(stat -c '%n %a %U' /etc/authd/master.key /var/lib/authd)"
KEY=$(sha256sum /etc/authd/master.key); cd /root || exit 1; rm -rf /var/lib/authd.empty /usr/local/bin/sudo

section "upgrade to a package with a newer store, under load (F-15)"
rm -f /tmp/enough; python3 /root/load.py /tmp/enough ada@example.com "$PASSWORD" >/tmp/load & LOAD=$!
dpkg -i "$NEWER" >/tmp/said 2>&1 && ok "dpkg -i" || no "dpkg -i: $(cat /tmp/said)"
touch /tmp/enough; wait $LOAD && ok "no request lost, no connection refused" || no "under load"
echo "→ upgrade with a migration: $(cat /tmp/load)"
says "the log says what was done" 'the store has another format now' journal -n 60
says "the store as it was is kept" '\.log$' find /var/lib/authd/before-format-2/log -name '*.log'
[ "$(sha256sum /etc/authd/master.key)" = "$KEY" ] && ok "the key is the same" || no "the key was overwritten"
chk "sign-in" sign_in
for unit in authd.socket authd-admin.socket; do chk "$unit was not restarted" test "$(systemctl show -P ActiveEnterTimestampMonotonic $unit)" -lt "$(systemctl show -P ActiveEnterTimestampMonotonic authd)"; done

section "downgrade is refused (F-15)"
systemctl stop authd.socket authd-admin.socket authd.service
sums() { (cd /var/lib/authd && find . -type f ! -name lock -exec sha256sum {} + | sort -k2); }
sums >/tmp/before
systemctl start authd-admin.socket
dpkg -i "$DEB" >/tmp/dpkg 2>&1; wait_for sh -c '[ "$(systemctl show -P ExecMainStatus authd)" = 78 ]' && ok "exit code 78" || no "exit code $(systemctl show -P ExecMainStatus authd)"
says "dpkg says that it does not run" 'the service does not run' cat /tmp/dpkg
says "it says why" 'format 2, and this authd knows up to 1' journal -n 20
says "and how to go back" 'before-format-2' journal -n 20
systemctl stop authd.socket authd-admin.socket authd.service
sums | diff /tmp/before - >/tmp/said && ok "not a byte of the store was changed" || no "changed: $(cat /tmp/said)"
( cd /var/lib/authd && mkdir newer && mv log sled newer/ && mv before-format-2/log . && rmdir before-format-2 )
systemctl start authd.socket authd-admin.socket authd.service && ok "as the manual says, the store as it was before is in force" || no "the older authd does not start: $(journal -n 5)"
chk "sign-in" sign_in

section "remove and purge"
dpkg --remove better-auth-authd >/tmp/said 2>&1 && ok "dpkg --remove" || no "dpkg --remove: $(cat /tmp/said)"
for unit in $UNITS; do systemctl is-active --quiet $unit && no "$unit is still there"; done
curl -s -m 2 http://127.0.0.1:8000/ && no "somebody still listens" || ok "nobody listens any more"
[ -d /var/lib/authd/log ] && [ -f /etc/authd/authd.toml ] && [ -f /etc/authd/master.key ] && ok "data, key and configuration stay" || no "something is gone"
dpkg -i "$DEB" >/tmp/said 2>&1; chk "installed again it has what it had" sign_in
[ "$(sha256sum /etc/authd/master.key)" = "$KEY" ] && ok "the key is the same" || no "the key was overwritten"
dpkg --purge better-auth-authd >/tmp/said 2>&1 && ok "dpkg --purge" || no "dpkg --purge: $(cat /tmp/said)"
has "purge says where the data is" '/var/lib/authd'
has "and how to erase it" 'rm -rf /var/lib/authd /etc/authd'
[ -d /var/lib/authd/log ] && [ -f /etc/authd/master.key ] && [ ! -e /etc/authd/authd.toml ] && ok "data and key are there, the configuration is not" || no "after purge: $(ls -a /var/lib/authd /etc/authd)"
getent passwd authd >/dev/null && ok "the user stays: it owns the data" || no "the user is gone"
rm /etc/authd/master.key; dpkg -i "$DEB" >/tmp/said 2>&1
[ ! -e /etc/authd/master.key ] && ok "where there is data and no key, none is made" || no "another key was made beside the data"
dpkg --purge better-auth-authd >/dev/null 2>&1
section "done"
exit $F
