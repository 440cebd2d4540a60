/* SPDX-License-Identifier: PostgreSQL */
/* What is still there of what was drained and, while paused, what is in use. */
#ifndef PQPOOL_TOOLS_DRAIN_REMAINING_H
#define PQPOOL_TOOLS_DRAIN_REMAINING_H

#include "common/keeper/show_lines.h"
#include "common/pages/status_pages.h"

/*
 * A line for each, by the pages of the processes that live and by what the keeper shows; ""
 * if nothing is left. Owner: the caller.
 */
char *remaining_lines(const struct pages *pages, const struct show_lines *keeper);

#endif
