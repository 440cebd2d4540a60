/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the files of a program tell about its way to libpq, printed as it is found.
 *
 * Nothing is run. Lines with "ok" are well, "note" is worth knowing, and "!" stands before
 * each reason for which connections would not be pooled.
 */
#ifndef PQPOOL_TOOLS_DOCTOR_DIAGNOSIS_H
#define PQPOOL_TOOLS_DOCTOR_DIAGNOSIS_H

#include <limits.h>

#include "doctor/library_search.h"

struct diagnosis {
	const char *shim;           /* path of libpqpool.so */
	const char *script;         /* NULL, or the script that is asked about */
	char program[PATH_MAX];     /* the file that is executed: of a script its interpreter */
	struct load_order process;  /* what would be loaded into it */
	const struct loaded *first; /* the program in there */
	int troubles;               /* reasons for which something is not pooled */
	int roads;                  /* ways to a libpq that is pooled */
};

/* Loads the program as far as files go, and says how it comes to libpq. */
void diagnosis_roads(struct diagnosis *diagnosis);

/* Whether the shim fits the program's C library, and who else is preloaded. */
void diagnosis_preloads(struct diagnosis *diagnosis);

/* Prints a line; trouble is counted, and with an obstacle no road leads anywhere. */
void diagnosis_ok(const char *format, ...) __attribute__((format(printf, 1, 2)));
void diagnosis_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void diagnosis_trouble(struct diagnosis *diagnosis, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void diagnosis_obstacle(struct diagnosis *diagnosis, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
