/* SPDX-License-Identifier: PostgreSQL */
/*
 * One HTTP/1.1 request for the metrics, read as strictly as RFC 9110 and 9112 allow: a request
 * that two readers could understand in two ways is refused.
 */
#ifndef PQPOOL_TOOLS_METRICS_HTTP_REQUEST_H
#define PQPOOL_TOOLS_METRICS_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "metrics/exposition.h"

/* Of a request with its headers, at most. */
#define HTTP_REQUEST_BYTES 8192

#define HTTP_REQUEST_PATH "/metrics"

struct http_request {
	int status; /* of the answer: 200, 400, 404, 405, 431 or 505 */
	bool head;  /* the answer has no body */
	enum exposition_format format;
};

/*
 * Reads the `n` bytes that have come so far. False: its end is still to come. All that comes
 * behind it is ignored: a connection is closed after its first answer.
 */
bool http_request_read(struct http_request *request, const char *bytes, size_t n);

#endif
