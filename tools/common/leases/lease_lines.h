/* SPDX-License-Identifier: PostgreSQL */
/*
 * From the log's lines to the list of what is still held.
 *
 * Of each process: acquire opens a lease; release and given_away close it; leak, kept, and
 * release with at_exit=yes, say that it was never closed in time. What is open when all
 * is read is up to the caller: the process may live. After exec it does not, whatever has
 * its pid: unless it says something after that, for then the exec failed.
 */
#ifndef PQPOOL_TOOLS_COMMON_LEASES_LEASE_LINES_H
#define PQPOOL_TOOLS_COMMON_LEASES_LEASE_LINES_H

#include "common/leases/lease_list.h"
#include "common/log/log_line.h"

/*
 * Takes over what a line of the log `family` (log_files.h) says. Returns the process that
 * wrote it, which lives as long as it holds something and no other one has its pid; NULL if it
 * is no line of ours, however well it is written.
 */
const struct process *lease_lines_take(struct lease_list *list, unsigned family,
                                       const struct log_line *line);

#endif
