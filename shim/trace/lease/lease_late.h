/* SPDX-License-Identifier: PostgreSQL */
/*
 * What was released by nothing but the program's end, kept for the report (lease_keep_late).
 *
 * Locks: the caller holds all of lease_table.h's.
 */
#ifndef PQPOOL_TRACE_LEASE_LEASE_LATE_H
#define PQPOOL_TRACE_LEASE_LEASE_LATE_H

#include <stddef.h>

#include "trace/lease/lease.h"

size_t lease_late_count(void);

/* Copies the first `count` of them. */
void lease_late_copy(struct lease *to, size_t count);

/* In a child: they were its parent's. */
void lease_late_clear(void);

#endif
