/* SPDX-License-Identifier: PostgreSQL */
/*
 * Finds from a program's files how it gets its libpq, and prints the findings.
 *
 * Nothing is run. A line begins with "ok", with "note", or with "!" if it is a reason why
 * connections would not be pooled.
 */
#ifndef PQPOOL_TOOLS_DOCTOR_DIAGNOSIS_H
#define PQPOOL_TOOLS_DOCTOR_DIAGNOSIS_H

#include <limits.h>

#include "doctor/library_search.h"

struct diagnosis {
	const char *shim;           /* path of libpqpool.so */
	const char *script;         /* NULL, or the script that is asked about */
	char program[PATH_MAX];     /* the file that is executed: of a script its interpreter */
	struct load_order order;    /* what would be loaded into it */
	const struct loaded *first; /* the program in there */
	int troubles;               /* reasons for which something is not pooled */
	int pooled;                 /* libpqs that would be pooled */
	int modules;                /* that need libpq, and that it may load */
	bool depends;               /* all of them come with modules that it may load */
};

/* Reads the program and the libraries it needs, and prints which libpq it gets, and how. */
void diagnosis_libpq(struct diagnosis *diagnosis);

/* Prints whether the shim fits the program's C library, and what else is preloaded. */
void diagnosis_preloads(struct diagnosis *diagnosis);

/* Prints a line; trouble is counted, and an obstacle means that nothing is pooled. */
void diagnosis_ok(const char *format, ...) __attribute__((format(printf, 1, 2)));
void diagnosis_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void diagnosis_trouble(struct diagnosis *diagnosis, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void diagnosis_obstacle(struct diagnosis *diagnosis, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
