#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Apache httpd 2.4.71 (Debian 12's apache2-bin): with the prefork MPM and -D FOREGROUND, httpd
# answers a SIGTERM that is sent to it alone by sending SIGTERM to its whole process group. In the
# foreground it makes no group of its own, so the shell script that started it, and what else that
# script runs in the background, get the signal, too. A supervising script that stops httpd by
# `kill $pid` ends itself there, and its clean-up is skipped unless it has a trap.
#
# Neither does that with the event MPM, nor with -D NO_DETACH, which makes a session of its own.
# A script is safe if it starts httpd by setsid(1).
#
# Output (which of two bystanders in the script's group got SIGTERM):
#   prefork FOREGROUND: script sleeper
#   prefork NO_DETACH: none
#   event FOREGROUND: none
#   prefork FOREGROUND by setsid: none
set -eu

version=2.4.71-1~deb12u1
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT

cd "$work"
apt-get download "apache2-bin=$version" libapr1 libaprutil1 >download.log 2>&1
for package in ./*.deb; do
	dpkg -x "$package" root
done
mkdir logs
libraries=$(dirname "$(find root -name 'libapr-1.so.0' -print -quit)")

# One run as the leader of a group: starts httpd and a sleeper, stops httpd by its pid.
cat >script <<'EOF'
work=$1 libraries=$2 mode=$3
shift 3
got=
trap 'got="$got script"' TERM
sleep 60 &
sleeper=$!
LD_LIBRARY_PATH=$work/$libraries "$@" "$work/root/usr/sbin/apache2" -f "$work/conf" -D "$mode" \
	2>>"$work/logs/error" &
for _ in $(seq 100); do
	[ ! -s "$work/pid" ] || break
	sleep 0.1
done
httpd=$(cat "$work/pid")
kill -TERM "$httpd"
gone() { ! kill -0 "$1" 2>/dev/null || [ "$(cut -d' ' -f3 "/proc/$1/stat")" = Z ]; } 2>/dev/null
until gone "$httpd"; do
	sleep 0.1
done
if gone "$sleeper"; then
	got="$got sleeper"
else
	kill -KILL "$sleeper"
fi
echo "${got:- none}" | sed 's/^ //'
EOF

run() { # MPM MODE [COMMAND...]
	local mpm=$1 mode=$2
	shift 2
	cat >conf <<EOF
ServerRoot $work
PidFile $work/pid
ErrorLog $work/logs/error
ServerName localhost
User nobody
Listen 127.0.0.1:54321
LoadModule mpm_${mpm}_module $work/root/usr/lib/apache2/modules/mod_mpm_$mpm.so
LoadModule authz_core_module $work/root/usr/lib/apache2/modules/mod_authz_core.so
EOF
	rm -f pid
	echo "$mpm $mode${1:+ by $1}: $(setsid -w bash script "$work" "$libraries" "$mode" "$@" 2>/dev/null)"
}

{
	run prefork FOREGROUND
	run prefork NO_DETACH
	run event FOREGROUND
	run prefork FOREGROUND setsid
} >seen
cat seen
diff - seen <<EOF
prefork FOREGROUND: script sleeper
prefork NO_DETACH: none
event FOREGROUND: none
prefork FOREGROUND by setsid: none
EOF
