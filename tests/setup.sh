#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Installs what is missing, and is quick when nothing is:
#
#   tests/setup.sh demo       what building and `make demo` need
#   tests/setup.sh check      what `make check` needs
#   tests/setup.sh clients    what the tests of the real clients need (tests/debian.sh)
#   tests/setup.sh sanitize   what `make asan` and `make tsan` need
#   tests/setup.sh bench      what `make bench` needs
#
# A thing is looked for by what is used of it (a program, a header, a module), so
# that it may come from anywhere; only what is not found is installed, as a Debian
# package, by root or through sudo. Elsewhere one line says what to install.
# No server is started or stopped here, and nothing is configured.
set -eu

python=/usr/bin/python3
patiently=$(cd "$(dirname "$0")" && pwd)/patiently.sh

has_program() { command -v "$1" >/dev/null 2>&1; }
has_system_program() { has_program "$1" || [ -x "/usr/sbin/$1" ]; }
has_header() { [ -e "/usr/include/$1" ] || [ -e "/usr/local/include/$1" ]; }
has_module() { "$python" -c 'import sys, importlib.util as u; sys.exit(not u.find_spec(sys.argv[1]))' "$1"; }
has_library() { PATH=$PATH:/usr/sbin:/sbin ldconfig -p | grep -F "$1" >/dev/null; }
has_libpq() { has_program pg_config && [ -e "$(pg_config --includedir)/libpq-fe.h" ]; }
has_server() {
	local dir
	for dir in "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin; do
		if [ -x "$dir/initdb" ] && [ -x "$dir/pgbench" ]; then
			return 0
		fi
	done
	return 1
}

has_node_headers() {
	local node
	node=$(readlink -f "$(command -v node)") && [ -e "${node%/bin/*}/include/node/node.h" ]
}
has_chromium() { has_program chromium || has_program chromium-browser || has_program google-chrome; }
has_package() { has_program apt-cache && [ -n "$(apt-cache show --no-all-versions "$1" 2>/dev/null)" ]; }
has_fuzzer() {  # its runtime has another folder in each release of clang
	echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return !d || !n; }' |
		clang -fsanitize=fuzzer -x c -o /dev/null -
} >/dev/null 2>&1
has_odbc_driver() { ls /usr/lib/*/odbc/psqlodbcw.so; } >/dev/null 2>&1
has_pgxs() {
	local dir pgxs
	for dir in "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin; do
		pgxs=$("$dir/pg_config" --pgxs 2>/dev/null) || continue
		if [ -x "$(dirname "$pgxs")/../test/isolation/isolationtester" ]; then
			return 0
		fi
	done
	return 1
}
# What a program needs that has libpq linked into it.
has_static_libpq() {
	local dir
	dir=$(pg_config --pkglibdir) && [ -e "$dir/libpgcommon.a" ] && [ -e "$dir/libpgport.a" ]
}
server_major() { pg_config --version 2>/dev/null | sed 's/[^0-9]*\([0-9]*\).*/\1/'; }

missing=""
need() { # need PACKAGE TEST...
	local package=$1
	shift
	"$@" || missing="$missing $package"
}

need_demo() {
	need gcc has_program gcc
	need binutils has_program readelf
	need make has_program make
	need libc6-dev has_header stdio.h
	need libpq-dev has_libpq
	need uthash-dev has_header uthash.h
	need libdw-dev has_header elfutils/libdwfl.h
	need libelf-dev has_header gelf.h
	need libncurses-dev has_header curses.h
	need nodejs has_program node
	need npm has_program npm
	need postgresql has_server
	need python3 test -x "$python"
}

need_sanitize() {
	need_demo
	need libcmocka-dev has_header cmocka.h
	need python3-pytest has_module pytest
}

need_valgrind() {
	need_demo
	need valgrind has_program valgrind
}

has_jar() { [ -e "/usr/share/java/$1" ]; }
need_bench() {
	need strace has_program strace
	need linux-perf has_program perf
	need_valgrind
	need e2fsprogs has_system_program mkfs.ext4
	need openssl has_program openssl
	need python3-psycopg2 has_module psycopg2
	need python3-sqlalchemy has_module sqlalchemy
	need pgbouncer has_system_program pgbouncer
	need apache2-utils has_program ab
	need php-cli test -x /usr/bin/php
	need php-pgsql /usr/bin/php -r 'exit((int)!extension_loaded("pgsql"));'
	need default-jdk-headless has_program javac
	need libhikaricp-java has_jar HikariCP.jar
	need libpostgresql-jdbc-java has_jar postgresql.jar
	need libslf4j-java has_jar slf4j-nop.jar
}

need_check() {
	need_clients
	need pgbouncer has_system_program pgbouncer
	need valgrind has_program valgrind
	need clang has_program clang
	need libclang-rt-dev has_fuzzer
	need clang-format has_program clang-format
	need clang-tidy has_program clang-tidy
	need cppcheck has_program cppcheck
	need groff-base has_program groff
	need logrotate has_system_program logrotate
	need chromium has_chromium
	need locales test -e /usr/share/i18n/locales/de_DE
	need openssl has_program openssl
	need strace has_program strace
	need gdb has_program gcore
	need iproute2 has_system_program ip
	need python3-prometheus-client has_module prometheus_client
	need nftables has_system_program nft
	need e2fsprogs has_system_program mkfs.ext4
	need musl-tools has_program musl-gcc
	need systemd has_program systemd-analyze
	need pgbouncer has_system_program pgbouncer
	need libjemalloc2 has_library libjemalloc.so.2
	need libdebuginfod1 has_library libdebuginfod.so.1
	need debootstrap has_system_program debootstrap
}

# The real clients of tests/clients; interpreters by the paths the tests use.
need_clients() {
	need_sanitize
	need git has_program git
	need tmux has_program tmux
	need python3-psycopg2 has_module psycopg2
	need python3-psycopg has_module psycopg
	# From Debian 13 on. Asked once: after an apt-get update the answer may be another.
	in_c=${in_c:-$(has_package python3-psycopg-c && echo yes || echo no)}
	if [ "$in_c" = yes ]; then
		need python3-psycopg-c has_module psycopg_c
	fi
	need libdbd-pg-perl /usr/bin/perl -MDBD::Pg -e 1
	need php-cli test -x /usr/bin/php
	need php-pgsql /usr/bin/php -r 'exit((int)!(extension_loaded("pgsql") && extension_loaded("pdo_pgsql")));'
	need libfcgi-bin has_program cgi-fcgi
	need apache2-utils has_program ab
	# The module alone: without the package apache2 there is no service.
	need libapache2-mod-perl2 test -e /usr/lib/apache2/modules/mod_perl.so
	need libapparmor1 has_library libapparmor.so.1
	need gunicorn test -x /usr/bin/gunicorn
	need python3-setproctitle has_module setproctitle
	need curl has_program curl
	need ruby test -x /usr/bin/ruby
	need pgcli test -x /usr/bin/pgcli
	need ruby-pg /usr/bin/ruby -e 'require "pg"'
	need ruby-async /usr/bin/ruby -e 'require "async"'
	need python3-aiopg has_module aiopg
	need python3-async-timeout has_module async_timeout
	need python3-uvloop has_module uvloop
	need nodejs has_program node
	need npm has_program npm
	need libnode-dev has_node_headers
	need g++ has_program g++
	need libpqxx-dev has_header pqxx/pqxx
	need libecpg-dev has_program ecpg
	need odbc-postgresql has_odbc_driver
	need unixodbc has_program isql
	need unixodbc-dev has_header sql.h
	need_coroutines
	need "postgresql-client-$(server_major)" has_pgxs
	need "postgresql-server-dev-$(server_major)" has_static_libpq
}

# What switches stacks by hand.
need_coroutines() {
	need python3-greenlet has_module greenlet
	need python3-gevent has_module gevent
	need python3-eventlet has_module eventlet
	need python3-psycogreen has_module psycogreen
	need gunicorn test -x /usr/bin/gunicorn
	need libcoro-perl /usr/bin/perl -MCoro -e 1
	need libboost-context-dev has_header boost/context/continuation.hpp
	need libboost-dev has_header boost/coroutine2/all.hpp
}

# The package prometheus would start a server on this machine, so it is only unpacked, for the sake
# of two programs, one of which newer Debians have in a package of its own. Without them the tests
# that want them say so.
fetch_prometheus() {
	local into=${BUILD:-build}/tests/prometheus name
	for name in promtool prometheus; do
		if has_program "$name" || [ -x "$into/$name" ] || ! has_program apt-get; then
			continue
		fi
		mkdir -p "$into"
		(
			cd "$into"
			apt-get download -qq "$name" || "$patiently" apt-get download -qq prometheus
			dpkg-deb --fsys-tarfile prom*_*.deb | tar -xO "./usr/bin/$name" >"$name"
			chmod +x "$name"
		) >"$into/log" 2>&1 || rm -f "$into/$name"
		rm -f "$into"/prom*_*.deb
	done
}

# The package php-fpm would start a service, so it is only unpacked: the program, and the pool
# file that Debian's services have.
fetch_fpm() {
	local into=${BUILD:-build}/tests/php-fpm version
	version=$(/usr/bin/php -r 'echo PHP_MAJOR_VERSION, ".", PHP_MINOR_VERSION;')
	if [ -e "$into/etc/php/$version/fpm/pool.d/www.conf" ] || ! has_program apt-get; then
		return 0
	fi
	mkdir -p "$into"
	(
		cd "$into"
		"$patiently" apt-get download -qq "php$version-fpm"
		dpkg-deb --extract php*-fpm_*.deb .
	) >"$into/log" 2>&1 || rm -rf "$into/etc"
	rm -f "$into"/php*-fpm_*.deb
}

# The same for nginx, of which the program is enough.
fetch_nginx() {
	local into=${BUILD:-build}/tests/nginx
	if [ -x "$into/usr/sbin/nginx" ] || ! has_program apt-get; then
		return 0
	fi
	mkdir -p "$into"
	(
		cd "$into"
		"$patiently" apt-get download -qq nginx
		dpkg-deb --extract nginx_*.deb .
	) >"$into/log" 2>&1 || rm -rf "$into/usr"
	rm -f "$into"/nginx_*.deb
}

# The package pdns-server would start a service, so it is only unpacked, with the libraries that
# are missing. Without it the test that wants it says so.
fetch_pdns() {
	local into=${BUILD:-build}/tests/pdns schema=usr/share/pdns-backend-pgsql
	if [ -e "/$schema" ] || [ -e "$into/$schema" ] || ! has_program apt-get; then
		return 0
	fi
	mkdir -p "$into/partial"
	(
		cd "$into"
		"$patiently" apt-get install --download-only -y -qq --no-install-recommends \
			-o Debug::NoLocking=1 -o "Dir::Cache::archives=$PWD" pdns-backend-pgsql &&
			find . -name '*.deb' -exec dpkg-deb --extract {} . \;
	) >"$into/log" 2>&1 || rm -rf "$into/usr"
	rm -f "$into"/*.deb
}

# Services for the recipes' tests, in an overlay. Without it these say why.
fetch_services() {
	if [ "$(id -u)" = 0 ] && has_program apt-get; then
		bash "$(dirname "$0")/machine.sh" make || true
	fi
}

install_packages() { # install_packages PREFIX-COMMAND...
	echo "setup: installing$missing"
	"$@" "$patiently" apt-get update -qq
	# The package names hold no spaces.
	# shellcheck disable=SC2086
	"$@" env DEBIAN_FRONTEND=noninteractive "$patiently" apt-get install -y -qq \
		--no-install-recommends -o DPkg::Lock::Timeout=300 $missing >/dev/null
}

install_missing() { # install_missing LEVEL
	missing=""
	"need_$1" 2>/dev/null
	if [ -z "$missing" ]; then
		return
	fi
	if has_program apt-get && [ "$(id -u)" = 0 ]; then
		install_packages env
	elif has_program apt-get && has_program sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
		install_packages sudo
	else
		echo "setup: please install (names as in Debian):$missing" >&2
		exit 1
	fi
	missing=""
	"need_$1"
	if [ -n "$missing" ]; then
		echo "setup: still not found after installing:$missing" >&2
		exit 1
	fi
}

main() {
	local level=${1:-check}
	case $level in
	demo | check | clients | sanitize | bench) ;;
	*)
		echo "usage: $0 [demo|check|clients|sanitize|bench]" >&2
		exit 2
		;;
	esac
	# The rest may ask which PostgreSQL there is.
	install_missing demo
	install_missing "$level"
	# Last, when there are lists of packages to find it in.
	if [ "$level" = check ]; then
		fetch_prometheus
		fetch_services
	fi
	case "$level" in
	check | clients)
		fetch_fpm
		fetch_nginx
		fetch_pdns
		;;
	bench)
		fetch_fpm
		fetch_nginx
		fetch_services
		;;
	esac
}

main "$@"
