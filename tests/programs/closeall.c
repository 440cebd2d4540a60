/* SPDX-License-Identifier: PostgreSQL */
/*
 * closeall FILE...: connects and finishes, closes every descriptor above 2 as a daemon
 * does, opens files of its own, which get the numbers just closed, and connects again.
 */
#include "plain.h"

#include <fcntl.h>
#include <unistd.h>

static void work(void)
{
	PGconn *first = open_database();
	PGconn *second = open_database();

	printf("%d %d\n", ask(first, "SELECT 1"), ask(second, "SELECT 2"));
	PQfinish(first);
	PQfinish(second);
}

int main(int argc, char **argv)
{
	work();
	for (int fd = 3; fd < 1024; fd++) {
		close(fd);
	}
	for (int i = 1; i < argc; i++) {
		if (open(argv[i], O_RDWR) < 0) {
			return 1;
		}
	}
	work();
	work();
	return 0;
}
