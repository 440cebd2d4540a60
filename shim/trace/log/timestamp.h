/* SPDX-License-Identifier: PostgreSQL */
/*
 * The time as a line of the log tells it: 2024-05-01T09:30:00.123456Z.
 *
 * Not by gmtime(3) and its like, which may take the lock of the time zone.
 *
 * Locks: none; fork and signals: nothing to do.
 */
#ifndef PQPOOL_TRACE_LOG_TIMESTAMP_H
#define PQPOOL_TRACE_LOG_TIMESTAMP_H

#include <stdint.h>

#define TIMESTAMP_BYTES (sizeof("2024-05-01T09:30:00.123456Z") - 1)

/* Puts the TIMESTAMP_BYTES of a moment, in microseconds since 1970; returns what is behind
 * them. */
char *timestamp_put(char *at, uint64_t wall_us);

#endif
