#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
#   tests/debian.sh [OPTION]...                         the clients' part of the tests
#   tests/debian.sh [OPTION]... --make ARGUMENT...      make with these arguments: `check K=recycle`
#   tests/debian.sh [OPTION]... COMMAND...              the command
#
#   --release N   of Debian: 12 or 13 (the default)
#   --fresh       in a root with a server and nothing else that debootstrap does not install;
#                 changes to it are dropped at the end
#
# Runs them in a Debian root of its own. The root is made by debootstrap at the first use and kept
# ($XDG_CACHE_HOME/pqpool/debian-13, /var/cache/pqpool without that; debian-13.fresh), packages and
# all, so that later runs need no network. The tree is seen there as /src; what is built for
# it goes below build/debian-13.
#
# The last line is the tests' own, or "not run: REASON" where the root cannot be made.
set -eu

release=13 fresh=
while [ $# -gt 0 ]; do
	case $1 in
	--release) release=$2 && shift 2 ;;
	--fresh) fresh=yes && shift ;;
	*) break ;;
	esac
done
case $release in
12) suite=bookworm ;;
13) suite=trixie ;;
*) echo "not run: no Debian $release is known" && exit 1 ;;
esac
root=${XDG_CACHE_HOME:-/var/cache}/pqpool/debian-$release
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

make_fresh() {
	local new=$root.fresh.new
	# shellcheck disable=SC2016,SC2046
	"$tree/tests/patiently.sh" bash -c 'rm -rf "$2" && debootstrap --variant=minbase "$@"' \
		bash "$suite" "$new" $(mirror) >"$root.log" 2>&1 ||
		not_run "debootstrap cannot make a Debian $release root: $(tail -n1 "$root.log")"
	# No package starts a server, and none makes a cluster.
	printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d"
	chmod +x "$new/usr/sbin/policy-rc.d"
	mkdir -p "$new/etc/postgresql-common" "$new/src"
	echo 'create_main_cluster = false' >"$new/etc/postgresql-common/createcluster.conf"
	# What pqpool's packages depend on is there to be installed.
	(layered='' && enter "$new" sh -euc '
		export DEBIAN_FRONTEND=noninteractive
		apt-get update -qq
		apt-get install -y -qq --no-install-recommends postgresql
		apt-get clean
		apt-get install -y -qq --no-install-recommends --download-only libdw1') >>"$root.log" 2>&1 ||
		not_run "no server can be installed in a Debian $release root: $(tail -n1 "$root.log")"
	mv "$new" "$root.fresh"
}

# What is fresh stays so: the other root is a copy.
make_root() {
	[ -d "$root.fresh" ] || make_fresh
	if [ -z "$fresh" ] && [ ! -d "$root" ]; then
		rm -rf "$root.new"
		cp -a "$root.fresh" "$root.new"
		mv "$root.new" "$root"
	fi
}

# enter ROOT COMMAND...: the namespaces end with the command, and nothing stays mounted.
enter() {
	local into=$1
	shift
	exec unshare --mount --propagation private --pid --fork bash -c '
		root=$1 tree=$2 repository=$3 build=$4 layered=$5
		shift 5
		if [ "$layered" = yes ]; then
			mkdir -p "$root.layer"
			mount -t tmpfs tmpfs "$root.layer"
			mkdir "$root.layer/upper" "$root.layer/work"
			mount -t overlay -o "lowerdir=$root,upperdir=$root.layer/upper,workdir=$root.layer/work" \
				overlay "$root"
		else
			mount --bind "$root" "$root"
		fi
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
			# Installing ca-certificates makes that file anew.
			cp -L "/$certificates" etc/ssl/machine.crt
		fi
		pivot_root . .old
		cd /src
		umount -l /.old
		exec env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 CI="${CI:-}" \
			NODE_EXTRA_CA_CERTS=/etc/ssl/machine.crt \
			GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0="*" \
			BUILD="$build" "$@"' enter "$into" "$tree" "$repository" \
		"${PQPOOL_BUILD:-build}/debian-$release" "$layered" "$@"
}

main() {
	local into=$root layered=
	[ "$(id -u)" = 0 ] || not_run "a Debian $release root needs root"
	command -v debootstrap >/dev/null || not_run "a Debian $release root needs debootstrap"
	mkdir -p "${root%/*}"
	if [ "$fresh" = yes ]; then
		into=$root.fresh layered=yes repository=""
	fi
	exec 9>>"$root.lock"
	flock 9
	[ -d "$into" ] || make_root
	flock -u 9
	if [ $# -gt 0 ] && [ "$1" != --make ]; then
		enter "$into" "$@"
	fi
	# shellcheck disable=SC2016
	enter "$into" bash -eu -c '
		export DEBIAN_FRONTEND=noninteractive
		command -v make >/dev/null || {
			tests/patiently.sh apt-get update -qq
			tests/patiently.sh apt-get install -y -qq --no-install-recommends make gcc \
				libc6-dev ca-certificates python3 >/dev/null
		}
		if [ "$1" = --make ]; then
			exec make --no-print-directory "${@:2}"
		fi
		tests/setup.sh clients
		make --no-print-directory -s -j"$(nproc)" WERROR=1 BUILD="$BUILD" all programs clients
		PQPOOL_BUILD=$BUILD exec /usr/bin/python3 tests/run.py -p no:cacheprovider "$@"' \
		tests "${@:-${tests[@]}}"
}

main "$@"
