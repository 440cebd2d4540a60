/* SPDX-License-Identifier: PostgreSQL */
/*
 * The leak report, of four kinds:
 *
 *   never_released     still open when the program ended
 *   released_by_exit   held to the end, and released by nothing but it (program_end.h)
 *   never_finished     a connect in steps that was neither brought to its end nor finished
 *   kept               no leak (kept.h), and told only where all is to be
 *
 * each grouped by the stack that took them, the largest group first; and totals of the
 * process. Leaks that are to be suppressed (suppressions.h) are only counted.
 *
 * It is made from a snapshot that is handed to it, and from counters.h, and takes no lock but
 * those of stack.c and record.c. It says nothing at all where there is nothing to be told.
 */
#ifndef PQPOOL_TRACE_REPORT_REPORT_H
#define PQPOOL_TRACE_REPORT_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config/config.h"
#include "base/text/strbuf.h"
#include "trace/lease/lease_entry.h"

/*
 * Writes the report on `leaks` (count > 0, as from lease_leaks; sorted in place) to stderr, as
 * far as `wanted`, and one line per lease to the log, event=leak or event=kept; none where the
 * log is stderr, which has the report, or is to have nothing. `now_ns` is CLOCK_MONOTONIC's.
 * Returns how many are leaks and not suppressed.
 */
size_t report_leaks(struct lease *leaks, size_t count, const struct lease_totals *totals,
                    const char *program, uint64_t now_ns, enum config_report wanted);

/*
 * Describes where a lease was taken in one line: "/srv/app.py:12" where a script did,
 * otherwise "app+0x11f3 (open_report)", the first frame of its stack; "an unknown place"
 * without one.
 */
void report_place(uint32_t stack, struct strbuf *t);

#endif
