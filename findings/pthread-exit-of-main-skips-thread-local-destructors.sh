#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# glibc 2.36: if the first thread of a program ends by pthread_exit(3) while another thread goes on,
# the destructors of its pthread keys run, and those of its C++ thread_local objects never do, not
# even at the end of the process. For any other thread both run when it ends. What keeps a
# connection in a thread_local object of the main thread does not get it closed. Compiled by g++ 12.
#
# Output:
#   another thread: thread_local destroyed, key destroyed
#   first thread: key destroyed
set -eu

package=libc6=2.36-9+deb12u14
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"

apt-get download -qq "$package" 2>download.log
dpkg-deb --extract libc6_*.deb root

cat >program.cpp <<'EOF'
#include <pthread.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>

struct Connection {
	bool used = false;
	~Connection() { if (used) { printf("thread_local destroyed\n"); } }
};

static thread_local Connection connection;
static pthread_key_t key;
static pthread_t first;

static void destroy(void *) { printf("key destroyed\n"); }

static void use() {
	connection.used = true;
	pthread_setspecific(key, &connection);
}

static void *use_and_end(void *) {
	use();
	return nullptr;
}

static void *wait_for_first(void *) {
	pthread_join(first, nullptr);
	exit(0);
}

int main(int, char **argv) {
	pthread_t other;

	pthread_key_create(&key, destroy);
	if (strcmp(argv[1], "another") == 0) {
		pthread_create(&other, nullptr, use_and_end, nullptr);
		pthread_join(other, nullptr);
		return 0;
	}
	use();
	first = pthread_self();
	pthread_create(&other, nullptr, wait_for_first, nullptr);
	pthread_exit(nullptr);
}
EOF
g++ -O1 -o program program.cpp -lpthread

libraries=$work/root/lib/x86_64-linux-gnu
run() { "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries:/usr/lib/x86_64-linux-gnu" ./program "$1" | paste -sd, | sed 's/,/, /g'; }

{
	echo "another thread: $(run another)"
	echo "first thread: $(run first)"
} | tee output
diff output - <<'EOF'
another thread: thread_local destroyed, key destroyed
first thread: key destroyed
EOF
