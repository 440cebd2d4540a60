/* SPDX-License-Identifier: PostgreSQL */
/* What marks a function as one that the program's calls arrive at. */
#ifndef PQPOOL_HOOKS_INTERPOSED_H
#define PQPOOL_HOOKS_INTERPOSED_H

/* Everything else is hidden; exports.map and base/libpq/functions.def name the same functions.
 */
#define ENTRY __attribute__((visibility("default")))

#endif
