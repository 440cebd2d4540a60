/* SPDX-License-Identifier: PostgreSQL */
/* The pools as families of samples. */
#ifndef PQPOOL_TOOLS_METRICS_POOL_TEXT_H
#define PQPOOL_TOOLS_METRICS_POOL_TEXT_H

#include "common/pages/status_pages.h"
#include "metrics/exposition.h"

/*
 * Writes the live ones. Pools of a process that are called the same are one series: their
 * numbers are added.
 */
void pool_text_write(const struct exposition *out, const struct pages *pages);

#endif
