/* SPDX-License-Identifier: PostgreSQL */
/* Which file is run for a program's name. */
#include "common/program_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Returns 0 if the file `path` can be executed as far as permissions go, or the errno. */
static int check_executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		return errno;
	}
	return S_ISREG(st.st_mode) && eaccess(path, X_OK) == 0 ? 0 : EACCES;
}

const char *program_path_find(const char *name, char *buf, size_t size)
{
	const char *path = getenv("PATH");
	int why = ENOENT;

	if (name[0] == '\0' || strchr(name, '/') != NULL) {
		errno = ENOENT;
		return name[0] != '\0' ? name : NULL;
	}
	path = path != NULL ? path : "/bin:/usr/bin";
	for (;;) {
		size_t len = strcspn(path, ":");
		int n = snprintf(buf, size, "%.*s/%s", len > 0 ? (int)len : 1,
		                 len > 0 ? path : ".", name);

		if (n > 0 && (size_t)n < size) {
			int error = check_executable(buf);

			if (error == 0) {
				return buf;
			}
			why = error == EACCES ? EACCES : why;
		}
		if (path[len] == '\0') {
			errno = why;
			return NULL;
		}
		path += len + 1;
	}
}
