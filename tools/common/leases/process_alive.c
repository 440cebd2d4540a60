/* SPDX-License-Identifier: PostgreSQL */
/* Whether the process that wrote a log is still there. */
#include "common/leases/process_alive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIBRARY    "libpqpool.so"
#define COMM_BYTES 15 /* of a name that the kernel keeps */

/* The clock may have been set since the boot, and ticks are coarse. */
#define SLACK_US 2000000

static FILE *open_of(int64_t pid, const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%" PRId64 "/%s", pid, what);
	return fopen(path, "re");
}

static int64_t clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* When it began, on the wall clock; false if there is no such process. */
static bool began_us(int64_t pid, int64_t *us)
{
	FILE *file = open_of(pid, "stat");
	char text[1024];
	const char *at = NULL;
	unsigned long long ticks;

	if (file != NULL) {
		text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
		fclose(file);
		/* The second field is a name in brackets, which may hold anything. */
		at = strrchr(text, ')');
	}
	/* The state, and eighteen numbers before the one wanted, the 22nd field. */
	if (at == NULL ||
	    sscanf(at + 1,
	           " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
	           "%*s %llu",
	           &ticks) != 1 ||
	    at[2] == 'Z' || at[2] == 'X') {
		return false;
	}
	*us = clock_us(CLOCK_REALTIME) - clock_us(CLOCK_BOOTTIME) +
	      (int64_t)(ticks * 1000000 / (unsigned long long)sysconf(_SC_CLK_TCK));
	return true;
}

static bool has_name(int64_t pid, const char *program)
{
	FILE *file = open_of(pid, "comm");
	char name[COMM_BYTES + 2] = "";

	if (file == NULL) {
		return false;
	}
	if (fgets(name, sizeof(name), file) != NULL) {
		name[strcspn(name, "\n")] = '\0';
	}
	fclose(file);
	return strncmp(name, program, COMM_BYTES) == 0;
}

/* 1 = the shim is in its memory, 0 = it is not, -1 = that may not be seen. */
static int has_shim(int64_t pid)
{
	FILE *file = open_of(pid, "maps");
	char *line = NULL;
	size_t size = 0;
	int found = 0;

	if (file == NULL) {
		return -1;
	}
	while (found == 0 && getline(&line, &size, file) > 0) {
		found = strstr(line, LIBRARY) != NULL;
	}
	free(line);
	fclose(file);
	return found;
}

bool process_alive(int64_t pid, const char *program, uint64_t first_us)
{
	int64_t began;
	int shim;

	if (pid <= 0 || !began_us(pid, &began) || began > (int64_t)first_us + SLACK_US) {
		return false;
	}
	shim = has_shim(pid);
	return shim == 1 || (shim < 0 && has_name(pid, program));
}
