#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
#   tests/machine.sh make                       installs the packages, once
#   tests/machine.sh start WORK SOCKET TREE     a machine; it ends with this process
#
# A machine for the tests of tools/recipes: this one's own files, and above them Debian's packages
# of services, with what their scripts make of it, in an overlay. It has systemd as process 1, a
# network, processes and users of its own; nothing that runs or is written there is seen here. What
# is installed is kept in $XDG_CACHE_HOME/pqpool/services-VERSION (/var/cache/pqpool without that).
#
# WORK/installed has files for it, as they lie below /; SOCKET is a server's Unix socket, which is the
# machine's own server's there; TREE is /src there. The first line says the process whose child is
# the machine's process 1.
#
# Needs root. The last line is "not run: REASON" where there can be no machine.
set -eu

packages=(systemd-sysv nginx-light php-fpm php-pgsql apache2 libapache2-mod-php libapache2-mod-perl2
	libdbd-pg-perl gunicorn uwsgi uwsgi-plugin-python3 uwsgi-plugin-gevent-python3 python3-gevent
	python3-psycogreen python3-psycopg2 postfix-pgsql dovecot-pgsql dovecot-imapd
	freeradius-postgresql freeradius-utils cron odbc-postgresql unixodbc curl libcap2-bin)
# Whose versions those of the packages depend on.
bases=(libc6 perl-base python3-minimal libpq5 systemd php-common)

not_run() {
	echo "not run: $*"
	exit 1
}

place() {
	local version
	version=$( (echo "${packages[@]}"; dpkg-query -W "${bases[@]}" 2>/dev/null || true) | sha256sum)
	echo "${XDG_CACHE_HOME:-/var/cache}/pqpool/services-${version:0:12}"
}

# enter WORK: mounts what is in WORK/upper over this machine's files, on WORK/root, and goes there.
enter() {
	mkdir -p "$1/upper" "$1/work" "$1/root"
	mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
	cd "$1/root"
	mount -t proc proc proc
	# What systemd would set there is the whole host's; it leaves alone what is read-only.
	mount --bind proc/sys proc/sys
	mount -o remount,bind,ro proc/sys
	mount -t tmpfs -o mode=755 tmpfs run
	mount -t tmpfs -o mode=1777 tmpfs tmp
	mount -t tmpfs -o mode=755 tmpfs dev
	for device in null zero full random urandom tty; do
		touch dev/$device
		mount --bind /dev/$device dev/$device
	done
	mkdir -p dev/pts dev/shm run/lock
	mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
	mount -t tmpfs -o mode=1777 tmpfs dev/shm
	ln -s pts/ptmx dev/ptmx
	ln -s /proc/self/fd dev/fd
}

install() { # install WORK
	enter "$1"
	# No package starts a service.
	printf '#!/bin/sh\nexit 101\n' >usr/sbin/policy-rc.d
	chmod +x usr/sbin/policy-rc.d
	export DEBIAN_FRONTEND=noninteractive
	echo 'postfix postfix/main_mailer_type select Local only' | chroot . debconf-set-selections
	[ -n "$(chroot . apt-cache show nginx-light 2>/dev/null)" ] || chroot . apt-get update -qq
	chroot . apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-unsafe-io \
		-o Debug::NoLocking=1 "${packages[@]}" php-odbc
	rm -f usr/sbin/policy-rc.d
}

make_machine() {
	local kept new
	[ "$(id -u)" = 0 ] || not_run "a machine needs root"
	kept=$(place)
	new=$kept.new
	mkdir -p "${kept%/*}"
	exec 9>>"${kept%/*}/services.lock"
	flock 9
	if [ ! -d "$kept" ]; then
		rm -rf "$new"
		mkdir "$new"
		unshare --mount --propagation private bash -eu "$0" install "$new" >"$kept.log" 2>&1 ||
			not_run "Debian's packages of services cannot be installed: $(tail -n1 "$kept.log")"
		rm -rf "$new"/upper/{var/cache/apt,var/lib/apt/lists,usr/share/doc}
		mv "$new/upper" "$kept"
		rm -rf "$new"
	fi
}

# boot WORK SOCKET TREE: the machine's first process.
boot() {
	mount -t tmpfs -o mode=755 tmpfs "$1/memory"
	# A copy, as no layer of an overlay may lie within another.
	cp -a "$(place)" "$1/memory/upper"
	cp -a --no-preserve=ownership "$1/installed/." "$1/memory/upper/"
	enter "$1/memory"
	mkdir -p run/postgresql src .old
	touch run/postgresql/.s.PGSQL.5432
	mount --bind "$2" run/postgresql/.s.PGSQL.5432
	mount --bind "$3" src
	mount -o remount,bind,ro src
	mount --rbind /sys sys
	mount --make-rslave sys
	umount -l sys/fs/cgroup
	# Its second version has what systemd needs, also where the first is in use.
	mount -t cgroup2 cgroup sys/fs/cgroup
	ip link set lo up
	: >etc/machine-id
	printf '[Unit]\nDefaultDependencies=no\n' >etc/systemd/system/machine.target
	pivot_root . .old
	umount -l /.old
	exec env -i container=pqpool LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		/lib/systemd/systemd --unit=machine.target --log-target=console --show-status=no
}

# remove CGROUP WORK: the last processes end a moment after the first one.
remove() {
	local tries=100
	until find "$1" -depth -type d -delete 2>/dev/null || [ $((tries -= 1)) = 0 ]; do
		sleep 0.1 # sleeps because this is how it waits for them
	done
	umount -l "$2/cgroups"
	rm -rf --one-file-system "$2"
}

# run WORK SOCKET TREE: the machine from its start to its end, in a cgroup of its own.
run() {
	local cgroups=$1/cgroups own
	mkdir -p "$cgroups" "$1/memory"
	mount -t cgroup2 cgroup "$cgroups"
	own=$cgroups$(sed -n 's/^0:://p' /proc/self/cgroup)/pqpool-machine-$$
	mkdir "$own"
	# The kernel ends the last processes after the first one.
	# shellcheck disable=SC2064 # what they are now
	trap "remove '$own' '$1'" EXIT
	trap 'kill -KILL $machine' TERM INT HUP
	(
		echo "$BASHPID" >"$own/cgroup.procs"
		exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child \
			bash -eu "$0" boot "$@"
	) &
	machine=$!
	echo $machine
	until wait $machine || ! kill -0 $machine 2>/dev/null; do :; done
}

case ${1:-} in
make) make_machine ;;
start)
	shift
	exec unshare --mount --propagation private bash -eu "$0" run "$@"
	;;
install | boot | run) "$@" ;;
esac
