/* SPDX-License-Identifier: PostgreSQL */
/*
 * Matches patterns of `*` (any text, slashes included) and `?` (any one byte).
 *
 * Not fnmatch(3), which allocates and follows the program's locale.
 */
#ifndef PQPOOL_BASE_TEXT_GLOB_H
#define PQPOOL_BASE_TEXT_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* True if `pattern` fits all of the `len` bytes at `text`. */
bool glob_matches(const char *pattern, const char *text, size_t len);

#endif
