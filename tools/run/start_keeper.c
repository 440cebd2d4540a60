/* SPDX-License-Identifier: PostgreSQL */
/* Starts the keeper for a program that is to share, if none runs. */
#include "run/start_keeper.h"

#include <err.h>
#include <errno.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/keeper/place.h"

#define QUIET_SECONDS "60"

static bool runs(void)
{
	struct keeper_place place;
	int socket = place_open(&place, NULL, false) ? place_connect(&place) : -1;

	place_close(&place);
	if (socket >= 0) {
		close(socket);
	}
	return socket >= 0;
}

void start_keeper(void)
{
	static char *const argv[] = {"pqpool",       "keep",        "--daemon",
	                             "--quiet-exit", QUIET_SECONDS, NULL};
	pid_t pid;

	if (runs()) {
		return;
	}
	/* The child's messages are enough; and it may have lost a race to another one. */
	errno = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ);
	if (errno != 0) {
		warn("the keeper");
		return;
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
	}
}
