/* SPDX-License-Identifier: PostgreSQL */
/* The page that the data are put into; the build has it assembled in. */
#ifndef PQPOOL_TOOLS_REPORT_PAGE_TEMPLATE_H
#define PQPOOL_TOOLS_REPORT_PAGE_TEMPLATE_H

#include <stddef.h>

/* What comes before the data, and what behind; `*n` bytes. */
const char *page_template_before(size_t *n);
const char *page_template_behind(size_t *n);

#endif
