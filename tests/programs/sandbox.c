/* SPDX-License-Identifier: PostgreSQL */
/*
 * sandbox ERRNO NUMBER,NUMBER,... PROGRAM ARGUMENTS...: becomes that program, for whom these
 * system calls fail with this errno, as in a container or under a service manager's filter.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CALLS_MAX 100

int main(int argc, char **argv)
{
	struct sock_filter filter[2 * CALLS_MAX + 2];
	struct sock_fprog program = {.filter = filter};
	unsigned refusal;

	if (argc < 4) {
		return 64;
	}
	refusal = SECCOMP_RET_ERRNO | (unsigned)atoi(argv[1]);
	filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
	                                                     offsetof(struct seccomp_data, nr));
	for (char *number = strtok(argv[2], ","); number != NULL; number = strtok(NULL, ",")) {
		if (program.len > 2 * CALLS_MAX) {
			return 64;
		}
		filter[program.len++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, (unsigned)atoi(number), 0, 1);
		filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, refusal);
	}
	filter[program.len++] =
		(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
		perror("sandbox");
		return 77;
	}
	execv(argv[3], argv + 3);
	perror(argv[3]);
	return 127;
}
