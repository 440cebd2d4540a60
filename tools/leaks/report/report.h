/* SPDX-License-Identifier: PostgreSQL */
/* What `pqpool leaks` writes to standard output, for people and for programs. */
#ifndef PQPOOL_TOOLS_LEAKS_REPORT_REPORT_H
#define PQPOOL_TOOLS_LEAKS_REPORT_REPORT_H

#include "common/leases/lease_list.h"
#include "leaks/findings_by_place.h"

void report_text(const struct findings *findings, const struct lease_list *list);

/* One JSON document; tools/README.md states its keys. */
void report_json(const struct findings *findings, const struct lease_list *list);

#endif
