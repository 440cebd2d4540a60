/* SPDX-License-Identifier: PostgreSQL */
/* What `pqpool leaks` writes to standard output, for people and for programs. */
#ifndef PQPOOL_TOOLS_LEAKS_REPORT_REPORT_H
#define PQPOOL_TOOLS_LEAKS_REPORT_REPORT_H

#include "leaks/findings_by_place.h"
#include "leaks/lease_list.h"

void report_text(const struct findings *findings, const struct lease_list *list);

/* One JSON document; tools/README.md states its keys. */
void report_json(const struct findings *findings, const struct lease_list *list);

#endif
