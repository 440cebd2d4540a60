/* SPDX-License-Identifier: PostgreSQL */
/* The keeper's state as families of samples. */
#ifndef PQPOOL_TOOLS_METRICS_KEEPER_TEXT_H
#define PQPOOL_TOOLS_METRICS_KEEPER_TEXT_H

#include "common/keeper/show_lines.h"
#include "metrics/exposition.h"

/* Writes the families from what `pqpool keep show` says; no keeper: no lines, no families. */
void keeper_text_write(const struct exposition *out, const struct show_lines *lines);

#endif
