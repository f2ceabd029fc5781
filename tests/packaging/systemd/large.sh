#!/bin/bash
# Runs as root inside the booted system: 20 restarts of a daemon with USERS accounts, under load.
set -u
USERS=$(cat /root/users)
PASSWORD='correct horse battery staple 7'
for _ in $(seq 100); do systemctl is-active --quiet authd && break; sleep 0.1; done
python3 - "$USERS" >/root/users.jsonl <<'PYTHON'
import json, sys
for n in range(int(sys.argv[1])):
    print(json.dumps({"id": f"u-{n}", "email": f"user{n}@example.com", "name": f"User {n}",
                      "passwordHash": "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"}))
PYTHON
began=$(date +%s)
authctl import users /root/users.jsonl --yes | tail -n 3
authctl store snapshot
echo "→ $USERS accounts in $(($(date +%s) - began)) s, $(du -sh /var/lib/authd | cut -f1) of data"
printf %s "$PASSWORD" | authctl user create --email ada@example.com --password-stdin >/dev/null
python3 /root/load.py /tmp/enough ada@example.com "$PASSWORD" >/tmp/load & load=$!
longest=0 rc=0
for _ in $(seq 20); do
  began=$(date +%s%N)
  systemctl restart authd || rc=1
  took=$((($(date +%s%N) - began) / 1000000))
  [ $took -le $longest ] || longest=$took
done
touch /tmp/enough
wait $load || rc=1
echo "→ 20 restarts with $USERS accounts, the longest $longest ms: $(cat /tmp/load)"
exit $rc
