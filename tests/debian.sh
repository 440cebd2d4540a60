#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
#   tests/debian.sh                         the clients' part of the tests
#   tests/debian.sh --whole [VARIABLE=...]  make check, whole, with these variables (K, T)
#   tests/debian.sh COMMAND...              the command
#
# Runs them in a Debian 13 root of its own. The root is made by debootstrap at the first use
# and kept ($XDG_CACHE_HOME/pqpool/debian-13, /var/cache/pqpool without that), packages and
# all, so that later runs need no network. The tree is seen there as /src; what is built for
# it goes below build/debian-13.
#
# The last line is the tests' own, or "not run: REASON" where the root cannot be made.
set -eu

suite=trixie
root=${XDG_CACHE_HOME:-/var/cache}/pqpool/debian-13
tree=$(cd "$(dirname "$0")/.." && pwd)
# Elsewhere in a worktree, of which the tree has only a file that says where.
repository=$(git -C "$tree" rev-parse --path-format=absolute --git-common-dir 2>/dev/null || true)

# What a program of the machine's own clients depends on: interpreters, drivers, libpq 17.
tests=(tests/clients tests/integration/test_script.py tests/integration/test_report_kinds.py
	tests/integration/test_run.py)

not_run() {
	echo "not run: $*"
	exit 1
}

# The mirror that this machine uses, if it is a Debian; else debootstrap's own.
mirror() {
	if grep -qx 'ID=debian' /etc/os-release 2>/dev/null; then
		apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | head -n1
	fi
}

make_root() {
	local new=$root.new
	rm -rf "$new"
	mkdir -p "$(dirname "$root")"
	# shellcheck disable=SC2046
	debootstrap --variant=minbase "$suite" "$new" $(mirror) >"$root.log" 2>&1 ||
		not_run "debootstrap cannot make a Debian 13 root: $(tail -n1 "$root.log")"
	# No package starts a server, and none makes a cluster.
	printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d"
	chmod +x "$new/usr/sbin/policy-rc.d"
	mkdir -p "$new/etc/postgresql-common" "$new/src"
	echo 'create_main_cluster = false' >"$new/etc/postgresql-common/createcluster.conf"
	mv "$new" "$root"
}

# enter COMMAND...: the namespaces end with the command, and nothing stays mounted.
enter() {
	exec unshare --mount --propagation private --pid --fork bash -c '
		root=$1 tree=$2 repository=$3
		shift 3
		mount --bind "$root" "$root"
		cd "$root"
		mount -t proc proc proc
		mount --rbind /dev dev
		mount --rbind /sys sys
		mount -t tmpfs tmpfs tmp
		mount -t tmpfs tmpfs run
		chmod 1777 tmp
		mkdir -p run/lock .old var/cache/pqpool/postgres
		mount --bind "$tree" src
		case $repository in
		"" | "$tree"/*) ;;
		*)
			mkdir -p ".$repository"
			mount --bind "$repository" ".$repository"
			;;
		esac
		if [ -d "${root%/*}/postgres" ]; then
			mount --bind "${root%/*}/postgres" var/cache/pqpool/postgres
		fi
		cp -L /etc/resolv.conf /etc/hosts etc/
		certificates=etc/ssl/certs/ca-certificates.crt # of those whom this machine trusts
		if [ -e "/$certificates" ]; then
			mkdir -p "${certificates%/*}"
			cp -L "/$certificates" "$certificates"
		fi
		pivot_root . .old
		cd /src
		umount -l /.old
		exec env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 CI="${CI:-}" \
			NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
			GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0="*" \
			BUILD="${PQPOOL_BUILD:-build}/debian-13" "$@"' enter "$root" "$tree" "$repository" "$@"
}

main() {
	[ "$(id -u)" = 0 ] || not_run "a Debian 13 root needs root"
	command -v debootstrap >/dev/null || not_run "a Debian 13 root needs debootstrap"
	mkdir -p "${root%/*}"
	exec 9>>"$root.lock"
	flock 9
	[ -d "$root" ] || make_root
	flock -u 9
	if [ $# -gt 0 ] && [ "$1" != --whole ]; then
		enter "$@"
	fi
	# shellcheck disable=SC2016
	enter bash -eu -c '
		export DEBIAN_FRONTEND=noninteractive
		command -v make >/dev/null || {
			apt-get update -qq
			apt-get install -y -qq --no-install-recommends make gcc libc6-dev ca-certificates \
				python3 >/dev/null
		}
		if [ "$1" = --whole ]; then
			exec make --no-print-directory check "${@:2}"
		fi
		tests/setup.sh clients
		make --no-print-directory -s -j"$(nproc)" WERROR=1 BUILD="$BUILD" all programs clients
		PQPOOL_BUILD=$BUILD exec /usr/bin/python3 tests/run.py -p no:cacheprovider "$@"' \
		tests "${@:-${tests[@]}}"
}

main "$@"
