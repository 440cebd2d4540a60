/* SPDX-License-Identifier: PostgreSQL */
/* Paths put together. */
#include "base/text/path.h"

#include <stdlib.h>
#include <string.h>

char *path_join(const char *folder, const char *name)
{
	size_t len = strlen(folder);
	size_t size = strlen(name) + 1;
	char *path = malloc(len + 1 + size);

	if (path != NULL) {
		memcpy(path, folder, len);
		path[len] = '/';
		memcpy(path + len + 1, name, size);
	}
	return path;
}

char *path_part(const char *path, size_t len)
{
	char *part = malloc(len + 1);

	if (part != NULL) {
		memcpy(part, path, len);
		part[len] = '\0';
	}
	return part;
}
