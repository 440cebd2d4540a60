/* SPDX-License-Identifier: PostgreSQL */
/* Finds out whether a program, or any that it starts, ever calls a libpq that we see. */
#include "run/call_probe.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config/config.h"

static const struct timespec beginning[2]; /* 1970, of access and of change */

/* A name in an absolute folder: the program may be somewhere else when it looks. */
static bool make_file(char *path, size_t size)
{
	const char *folder = getenv("TMPDIR");
	int n = snprintf(path, size, "%s/pqpool-probe.XXXXXX",
	                 folder != NULL && folder[0] == '/' ? folder : P_tmpdir);
	int fd = n > 0 && (size_t)n < size ? mkostemp(path, O_CLOEXEC) : -1;

	if (fd < 0) {
		return false;
	}
	/* Started by root, the program may be somebody else by the time it connects. */
	if (geteuid() == 0) {
		fchmod(fd, 0622);
	}
	futimens(fd, beginning);
	close(fd);
	return true;
}

void call_probe_place(struct call_probe *probe)
{
	const char *outer = getenv(CONFIG_WITNESS);

	probe->outer = outer != NULL && outer[0] == '/' ? strdup(outer) : NULL;
	if (!make_file(probe->path, sizeof(probe->path)) ||
	    setenv(CONFIG_WITNESS, probe->path, 1) != 0) {
		warn("%s: cannot tell whether libpq is used", probe->path);
		probe->path[0] = '\0';
	}
}

bool call_probe_remove(struct call_probe *probe)
{
	struct stat st;
	bool called =
		probe->path[0] == '\0' || stat(probe->path, &st) != 0 || st.st_mtim.tv_sec != 0;

	if (probe->path[0] != '\0') {
		unlink(probe->path);
	}
	if (called && probe->outer != NULL) {
		utimensat(AT_FDCWD, probe->outer, NULL, AT_SYMLINK_NOFOLLOW);
	}
	free(probe->outer);
	return called;
}
