/* SPDX-License-Identifier: PostgreSQL */
/*
 * Answers HTTP requests for the metrics on a listening socket, until SIGTERM or SIGINT.
 *
 * One thread, which waits for all connections at once: one that is slow, or says nothing, holds
 * up no other. Each has five seconds; while as many are open as are served at once, the next
 * ones wait in the kernel. Each is closed after its answer.
 */
#ifndef PQPOOL_TOOLS_METRICS_HTTP_SERVER_H
#define PQPOOL_TOOLS_METRICS_HTTP_SERVER_H

#include <stdbool.h>

#include "metrics/exposition.h"

#define HTTP_SERVER_CONNECTIONS 16

/* Writes the metrics; false: they cannot be had now. */
typedef bool http_server_write(const struct exposition *out);

/*
 * From now on the two signals do nothing but make this descriptor, which the caller closes,
 * readable. -1: see errno.
 */
int http_server_signals(void);

/* Serves `listener`, a non-blocking socket, until a signal comes. False: see errno. */
bool http_server_run(int signals, int listener, http_server_write *write_metrics);

#endif
