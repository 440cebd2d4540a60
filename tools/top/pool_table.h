/* SPDX-License-Identifier: PostgreSQL */
/* The table of `pqpool top` as text: a line a pool, from the status pages. */
#ifndef PQPOOL_TOOLS_TOP_POOL_TABLE_H
#define PQPOOL_TOOLS_TOP_POOL_TABLE_H

#include "common/keeper/show_lines.h"
#include "common/pages/status_pages.h"

#define POOL_TABLE_ENDLESS 0 /* no limit on lines, or on columns */

/*
 * The table of the live processes in `pages` that `wanted` names (all if it names none), cut to
 * so many lines and columns; if it names none, with the keeper's pools. Owner of the text: the
 * caller.
 */
char *pool_table_make(const struct pages *pages, const struct show_lines *keeper,
                      const pid_t *wanted, size_t wanted_count, unsigned lines,
                      unsigned columns);

#endif
