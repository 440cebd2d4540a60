/* SPDX-License-Identifier: PostgreSQL */
/* Paths of any length, in memory of their own. No locks, no state. */
#ifndef PQPOOL_BASE_TEXT_PATH_H
#define PQPOOL_BASE_TEXT_PATH_H

#include <stddef.h>

/* "folder/name", malloc'ed. NULL: out of memory. */
char *path_join(const char *folder, const char *name);

/* The first `len` bytes of `path`, malloc'ed. NULL likewise. */
char *path_part(const char *path, size_t len);

#endif
