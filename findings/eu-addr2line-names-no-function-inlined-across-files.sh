#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# elfutils 0.188: where link-time optimisation inlined a function from another source file,
# `eu-addr2line -i` does not name it. It prints the outer function alone, beside the file and the
# line of the inlined one. binutils 2.40's `addr2line -i` names both functions, each with its own
# line, and so does eu-addr2line if both functions come from one file. Compiled by gcc 12.2.
#
# Output:
#   one file, addr2line: inner one.c:4, outer one.c:9
#   one file, eu-addr2line: inner one.c:4, outer one.c:9
#   two files, addr2line: inner inner.c:4, outer outer.c:4
#   two files, eu-addr2line: outer inner.c:4
set -eu

packages="elfutils=0.188-2.1 libdw1=0.188-2.1 libelf1=0.188-2.1 libasm1=0.188-2.1
	binutils-x86-64-linux-gnu=2.40-2 libbinutils=2.40-2"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"

for package in $packages; do
	apt-get download -qq "$package" 2>>download.log
done
for file in *.deb; do
	dpkg-deb --extract "$file" root
done
bin=$work/root/usr/bin
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu
export DEBUGINFOD_URLS=

cat >inner.c <<'EOF'
int work(int n);
int inner(int n)
{
	return work(n) + 1;
}
EOF
cat >outer.c <<'EOF'
int inner(int n);
__attribute__((noinline)) int outer(int n)
{
	return inner(n) * 3;
}
EOF
cat >main.c <<'EOF'
int outer(int n);
int work(int n);
__attribute__((noinline)) int work(int n)
{
	__asm__ volatile("" : "+r"(n));
	return n;
}
int main(int argc, char **argv)
{
	(void)argv;
	return outer(argc) == 0;
}
EOF
cat inner.c outer.c >one.c
gcc -O2 -g one.c main.c -o one
gcc -O2 -g -flto inner.c outer.c main.c -o two

# The call of work() in outer(), into which inner() was inlined.
address() {
	"$bin/x86_64-linux-gnu-objdump" -d "$1" |
		awk '/<outer>:$/ { inside = 1 } inside && /call.*<work>/ { sub(":", "", $1); print "0x" $1; exit }'
}

# Function and line in turns, as "function file:line" joined by commas.
frames() {
	sed -e 's/ inlined at .*//' -e 's|.*/||' | cut -d: -f1,2 | paste -d' ' - - | paste -sd, | sed 's/,/, /g'
}

say() {
	echo "$1, addr2line: $("$bin/x86_64-linux-gnu-addr2line" -i -f -e "$2" "$(address "$2")" | frames)"
	echo "$1, eu-addr2line: $("$bin/eu-addr2line" -i -f -e "$2" "$(address "$2")" | frames)"
}

{ say "one file" one && say "two files" two; } | tee output
diff output - <<'EOF'
one file, addr2line: inner one.c:4, outer one.c:9
one file, eu-addr2line: inner one.c:4, outer one.c:9
two files, addr2line: inner inner.c:4, outer outer.c:4
two files, eu-addr2line: outer inner.c:4
EOF
