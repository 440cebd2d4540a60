/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where a lease was taken, in one word for a table: the script's line, or the function
 * that called libpq, as far as the module's symbols tell.
 */
#ifndef PQPOOL_TOOLS_COMMON_PAGES_TAKEN_AT_H
#define PQPOOL_TOOLS_COMMON_PAGES_TAKEN_AT_H

#include "common/pages/status_pages.h"

/* "app.py:12" with its path, "open_database", "/srv/bin/app+0x1205", "?"; fit to be printed,
 * never freed, and remembered for the next time. */
const char *taken_at(const struct page_session *session);

#endif
