/* SPDX-License-Identifier: PostgreSQL */
/* Joins folder and name to a path of any length. */
#ifndef PQPOOL_BASE_TEXT_PATH_H
#define PQPOOL_BASE_TEXT_PATH_H

#include <stdlib.h>
#include <string.h>

/* "folder/name", malloc'ed. NULL: out of memory. */
static inline char *path_join(const char *folder, const char *name)
{
	size_t n = strlen(folder);
	char *path = malloc(n + 1 + strlen(name) + 1);

	if (path != NULL) {
		memcpy(path, folder, n);
		path[n] = '/';
		memcpy(path + n + 1, name, strlen(name) + 1);
	}
	return path;
}

#endif
