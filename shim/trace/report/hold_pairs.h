/* SPDX-License-Identifier: PostgreSQL */
/* What a log line says of how long a lease was held, and what it did meanwhile. */
#ifndef PQPOOL_TRACE_REPORT_HOLD_PAIRS_H
#define PQPOOL_TRACE_REPORT_HOLD_PAIRS_H

#include <stdint.h>

#include "trace/lease/lease_entry.h"
#include "trace/log/record.h"

/* How long the lease of a copy was held, until `now_ns` or its end. */
uint64_t hold_ns(const struct lease *lease, uint64_t now_ns);

/* hold_us=, and query_us= and transaction_us= if lease_times (trace/lease/snapshot.h) knows. */
void hold_pairs_put(struct record *r, const struct lease *lease, uint64_t now_ns);

#endif
