/* SPDX-License-Identifier: PostgreSQL */
/*
 * The build id of an ELF module, which tells one build of it from another.
 *
 * Sizes and offsets are checked; a damaged note is no note. No locks, no memory; errno is kept.
 */
#ifndef PQPOOL_BASE_ELF_BUILD_ID_H
#define PQPOOL_BASE_ELF_BUILD_ID_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text/strbuf.h"

/* Room for the longest build id in hex, 64 bytes of it, and a NUL. */
#define BUILD_ID_MAX 129

/*
 * Looks through the `n` bytes of notes, padded to `align`. If the build id is among them,
 * adds it to `id` in lower-case hex and returns true.
 */
bool build_id_in_notes(const char *notes, size_t n, size_t align, struct strbuf *id);

/*
 * Adds the build id of the ELF file `path` to `id`; nothing if it has none, or cannot be
 * read, or is of another machine. False only if there is no regular file to be read.
 */
bool build_id_of_file(const char *path, struct strbuf *id);

#endif
