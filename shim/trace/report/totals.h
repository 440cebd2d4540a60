/* SPDX-License-Identifier: PostgreSQL */
/*
 * The totals of a process (counters.h), as text and as a line of the log. Locks: record.c's.
 */
#ifndef PQPOOL_TRACE_REPORT_TOTALS_H
#define PQPOOL_TRACE_REPORT_TOTALS_H

#include "base/text/strbuf.h"
#include "trace/lease/lease_entry.h"

/*
 * "3 sessions opened, 2 closed (surplus 2); at most 3 of 30 in use at once; 1 wait, the
 * longest 2.0 ms, 0 timeouts"
 */
void totals_put(struct strbuf *t);

/* One line, event=totals, unless the process has done nothing. */
void totals_log(const struct lease_totals *leases);

#endif
