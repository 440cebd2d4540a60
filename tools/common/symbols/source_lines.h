/* SPDX-License-Identifier: PostgreSQL */
/*
 * The source lines of addresses in one ELF file, read from its DWARF by elfutils (libdwfl).
 *
 * The debug information may be in the file itself, or in one of its own that is found by build
 * id or debug link. No server is asked (debuginfod). A child process reads it, with a limit on
 * its time: a damaged file can crash or hang only that one.
 */
#ifndef PQPOOL_TOOLS_COMMON_SYMBOLS_SOURCE_LINES_H
#define PQPOOL_TOOLS_COMMON_SYMBOLS_SOURCE_LINES_H

#include <stddef.h>
#include <stdint.h>

/* One line of source; a NULL (line: 0) is what is not known. */
struct source {
	char *function; /* demangled */
	char *file;
	unsigned long line;
};

/* The lines of one address: the innermost first, of which all but the last are inlined. */
struct sources {
	struct source *all;
	size_t count;
};

enum source_lines_outcome {
	SOURCE_LINES_DONE,
	SOURCE_LINES_LATE,  /* reading took too long */
	SOURCE_LINES_FAILED /* the file could not be read */
};

/*
 * Fills `found[i]`, zeroed before, for `offsets[i]`, addresses of the ELF file `path`; those
 * without debug information stay empty, and on any other outcome than done some may.
 * Owner: the caller, of what is in `found` (source_lines_free).
 */
enum source_lines_outcome source_lines_read(const char *path, const uint64_t *offsets,
                                            size_t count, struct sources *found,
                                            int timeout_ms);

void source_lines_free(struct sources *sources);

#endif
