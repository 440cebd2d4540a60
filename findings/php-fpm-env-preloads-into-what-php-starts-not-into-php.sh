#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# PHP 8.2.36 (Debian 12's php8.2-fpm): env[LD_PRELOAD] in a pool's file is in the environment of the
# worker, getenv() in a script shows it, and the library is not loaded into PHP; it is loaded into
# every program that a script starts. An LD_PRELOAD in the environment in which php-fpm was started
# does the opposite: its library is in every worker, getenv() does not show it, and programs
# that a script starts do not get it.
#
# The reason: a worker is forked, not executed, so the dynamic linker has done its part before the
# worker takes the pool's env[] in place of what it inherited (clear_env is on unless set).
# What preloads a library into PHP has to say so where php-fpm is started (as in its systemd unit);
# a look at getenv() or phpinfo() tells nothing about it.
#
# Output (whose library is mapped in the worker, named by its getenv(), mapped in a program it ran):
#   worker: master's, getenv: pool's, program: pool's
set -eu

version=8.2.36-1~deb12u1
work=$(mktemp -d)
chmod 755 "$work"
fpm=
cleanup() {
	if [ -n "$fpm" ]; then
		kill -TERM "$fpm"
		wait "$fpm" || echo "php-fpm failed" >&2
	fi
	rm -rf "$work"
}
trap cleanup EXIT

cd "$work"
apt-get download "php8.2-fpm=$version" libapparmor1 libargon2-1 libsodium23 libxml2 libicu72 \
	>download.log 2>&1
for package in ./*.deb; do
	dpkg -x "$package" root
done
for whose in master pool; do
	echo "int nothing_$whose;" | gcc -shared -fPIC -o "lib$whose.so" -x c -
done

cat >conf <<EOF
[global]
error_log = $work/log
daemonize = no
[www]
user = nobody
listen = $work/socket
pm = static
pm.max_children = 1
env[LD_PRELOAD] = $work/libpool.so
EOF
cat >script.php <<'EOF'
<?php
function whose($text) {
    preg_match_all('/lib(master|pool)\.so/', $text, $found);
    return implode(' ', array_unique($found[1])) . "'s";
}
echo 'worker: ', whose(file_get_contents('/proc/self/maps'));
echo ', getenv: ', whose(getenv('LD_PRELOAD'));
echo ', program: ', whose(shell_exec('exec cat /proc/self/maps')), "\n";
EOF
# One request by FastCGI; prints the body of the answer.
cat >request.py <<'EOF'
import socket, struct, sys

BEGIN, END, PARAMS, STDIN, STDOUT = 1, 3, 4, 5, 6


def record(kind, content=b""):
    return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content


def pair(name, value):
    return struct.pack(">BI", len(name), len(value) | 1 << 31) + name.encode() + value.encode()


server = socket.socket(socket.AF_UNIX)
server.settimeout(30)
server.connect(sys.argv[1])
server.sendall(record(BEGIN, struct.pack(">HB5x", 1, 0))
               + record(PARAMS, pair("SCRIPT_FILENAME", sys.argv[2]))
               + record(PARAMS, pair("REQUEST_METHOD", "GET"))
               + record(PARAMS) + record(STDIN))
answer, kind = b"", None
with server.makefile("rb") as records:
    while kind != END:
        _, kind, _, length, padding, _ = struct.unpack(">BBHHBB", records.read(8))
        content = records.read(length + padding)[:length]
        answer += content if kind == STDOUT else b""
print(answer.decode().split("\r\n\r\n", 1)[1], end="")
EOF
chmod 644 script.php

libraries=$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu
LD_LIBRARY_PATH=$libraries LD_PRELOAD=$work/libmaster.so setsid \
	root/usr/sbin/php-fpm8.2 -n -F -y conf 2>stderr &
fpm=$!
for _ in $(seq 300); do
	[ ! -S socket ] || break
	sleep 0.1
done

echo "php8.2-fpm $version"
python3 request.py "$work/socket" "$work/script.php" | tee seen
diff seen - <<'EOF'
worker: master's, getenv: pool's, program: pool's
EOF
