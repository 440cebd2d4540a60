/* SPDX-License-Identifier: PostgreSQL */
/*
 * closeall HOW FILE...: connects and finishes, closes every descriptor above 2 as a daemon
 * does, opens files of its own, which get the numbers just closed, and connects again. HOW:
 * each by close(2), or all by a system call.
 */
#include "plain.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
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
	if (strcmp(argv[1], "each") == 0) {
		for (int fd = 3; fd < 1024; fd++) {
			close(fd);
		}
	} else if (syscall(SYS_close_range, 3, 1023, 0) != 0) {
		return 1;
	}
	for (int i = 2; i < argc; i++) {
		if (open(argv[i], O_RDWR) < 0) {
			return 1;
		}
	}
	work();
	work();
	return 0;
}
