/* SPDX-License-Identifier: PostgreSQL */
/*
 * The pools in the text formats of Prometheus and OpenMetrics: families of samples.
 *
 * The two formats differ in the name of a counter's family, which here has its `_total`,
 * as Prometheus' own readers want it. `# EOF` at the end is OpenMetrics', and a comment
 * elsewhere.
 */
#ifndef PQPOOL_TOOLS_METRICS_PROMETHEUS_TEXT_H
#define PQPOOL_TOOLS_METRICS_PROMETHEUS_TEXT_H

#include <stdio.h>

#include "common/pages/status_pages.h"

/* Writes a label: its value is fit to be read as UTF-8, and escaped. */
void prometheus_text_label(FILE *to, const char *name, const char *value);

/*
 * Writes the live ones. Pools of a process that are called the same are one series: their
 * numbers are added.
 */
void prometheus_text_write(FILE *to, const struct pages *pages);

#endif
