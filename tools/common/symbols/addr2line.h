/* SPDX-License-Identifier: PostgreSQL */
/*
 * addr2line(1) of binutils, asked for the source lines of one module.
 *
 * It finds debug information in the module, and in files of its own by build id and debug
 * link. No shell is involved, whatever the module is called. It is given a limited time,
 * and what it answers is believed only as far as it has the form of an answer.
 */
#ifndef PQPOOL_TOOLS_COMMON_SYMBOLS_ADDR2LINE_H
#define PQPOOL_TOOLS_COMMON_SYMBOLS_ADDR2LINE_H

#include <stddef.h>
#include <stdint.h>

/* One line of source; a NULL is what is not known. */
struct source {
	char *function;
	char *file;
	unsigned long line;
};

/* The lines of one address: the innermost first, of which all but the last are inlined. */
struct sources {
	struct source *all;
	size_t count;
};

enum addr2line_outcome {
	ADDR2LINE_DONE,
	ADDR2LINE_ABSENT, /* there is no such program, or it cannot be run */
	ADDR2LINE_LATE,   /* it was ended because it took too long */
	ADDR2LINE_FAILED
};

/*
 * Fills `found[i]` for `offsets[i]`, addresses of the ELF file `module`; on any other
 * outcome than done some may be left empty. Owner: the caller, of what is in `found`.
 */
enum addr2line_outcome addr2line_ask(const char *module, const uint64_t *offsets, size_t count,
                                     struct sources *found, int timeout_ms);

void addr2line_free(struct sources *sources);

#endif
