/* SPDX-License-Identifier: PostgreSQL */
/*
 * The leak report, on stderr and in the log, of four kinds:
 *
 *   never_released     still open when the program ended
 *   released_by_exit   held to the end, and released only by it (program_end.h)
 *   never_finished     a connect in steps that was neither completed nor finished
 *   kept               no leak (kept.h); shown only for PQPOOL_REPORT=all
 *
 * each grouped by the stack that took them (leak_groups.h); and totals of the process. Leaks
 * that are suppressed (suppressions.h) are only counted. Nothing is written if there is nothing
 * to report.
 *
 * It works on a snapshot of the leases and on counters.h, allocates nothing, and may be made in
 * a signal handler that calls _exit. Locks: those of stack.c and record.c.
 */
#ifndef PQPOOL_TRACE_REPORT_REPORT_H
#define PQPOOL_TRACE_REPORT_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/config/config.h"
#include "base/text/strbuf.h"
#include "trace/lease/lease_entry.h"

/*
 * Writes the report on `leaks` (count > 0, from lease_leaks; sorted in place) to stderr, as far
 * as `wanted`, and a line per lease to the log, event=leak or event=kept, unless the log is
 * stderr, which has the report. `now_ns` is CLOCK_MONOTONIC's. Returns how many are leaks and
 * not suppressed.
 */
size_t report_leaks(struct lease *leaks, size_t count, const struct lease_totals *totals,
                    const char *program, uint64_t now_ns, enum config_report wanted);

/*
 * Describes where a lease was taken, in one line: "/srv/app.py:12" in a script, otherwise the
 * first frame of its stack, "app+0x11f3 (open_report)"; "an unknown place" without a stack.
 */
void report_place(uint32_t stack, struct strbuf *t);

#endif
