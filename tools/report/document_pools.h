/* SPDX-License-Identifier: PostgreSQL */
/* The pools of the report's document: what each did over time, and could do. */
#ifndef PQPOOL_TOOLS_REPORT_DOCUMENT_POOLS_H
#define PQPOOL_TOOLS_REPORT_DOCUMENT_POOLS_H

#include "common/history/history.h"
#include "common/json_writer.h"

void document_pools(struct json *json, const struct history *history);

#endif
