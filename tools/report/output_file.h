/* SPDX-License-Identifier: PostgreSQL */
/* A file that is there whole, or as it was before. */
#ifndef PQPOOL_TOOLS_REPORT_OUTPUT_FILE_H
#define PQPOOL_TOOLS_REPORT_OUTPUT_FILE_H

#include <stdbool.h>
#include <stdio.h>

struct output_file {
	FILE *to;
	const char *name;
	char *temporary;
};

/*
 * Begins a file that only its owner may read, beside the one that it is to replace. What is not
 * a file, a link too, is not replaced. False, after one line on stderr, if it cannot be.
 */
bool output_file_open(struct output_file *file, const char *name);

/* Puts it in its place. False, after one line on stderr: nothing has changed. */
bool output_file_finish(struct output_file *file);

#endif
