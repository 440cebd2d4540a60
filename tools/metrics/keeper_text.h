/* SPDX-License-Identifier: PostgreSQL */
/* The keeper's state as Prometheus and OpenMetrics have it in text. */
#ifndef PQPOOL_TOOLS_METRICS_KEEPER_TEXT_H
#define PQPOOL_TOOLS_METRICS_KEEPER_TEXT_H

#include <stdio.h>

#include "common/keeper/show_lines.h"

/* Writes the families from what `pqpool keep show` says; no keeper: no lines, no families. */
void keeper_text_write(FILE *to, const struct show_lines *lines);

#endif
