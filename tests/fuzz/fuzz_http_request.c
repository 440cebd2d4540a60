/* SPDX-License-Identifier: PostgreSQL */
/*
 * A request to `pqpool metrics --listen`. Input: how many bytes come first, the request. What
 * it is must not depend on how it comes, nor on what comes behind it.
 */
#include <string.h>

#include "bytes.h"
#include "metrics/http_request.h"

/* In memory that ends where the bytes do. */
static bool read_bytes(struct http_request *request, const uint8_t *bytes, size_t n)
{
	char *copy = malloc(n > 0 ? n : 1);
	bool whole;

	require(copy != NULL);
	memcpy(copy, bytes, n);
	whole = http_request_read(request, copy, n);
	free(copy);
	return whole;
}

static void require_valid(const struct http_request *request, const uint8_t *bytes)
{
	switch (request->status) {
	case 200:
		require(memcmp(bytes, request->head ? "HEAD " : "GET ",
		               request->head ? 5 : 4) == 0);
		break;
	case 400:
	case 404:
	case 405:
	case 431:
	case 505:
		break;
	default:
		require(0);
	}
	require(request->format == EXPOSITION_PROMETHEUS ||
	        request->format == EXPOSITION_OPENMETRICS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};
	size_t first = take_number(&b);
	struct http_request part;
	struct http_request whole;
	size_t n = b.left < HTTP_REQUEST_BYTES ? b.left : HTTP_REQUEST_BYTES;

	if (!read_bytes(&whole, b.at, n)) {
		require(n < HTTP_REQUEST_BYTES);
		return 0;
	}
	require_valid(&whole, b.at);
	if (first < n && read_bytes(&part, b.at, first)) {
		require(part.status == whole.status && part.head == whole.head &&
		        part.format == whole.format);
	}
	return 0;
}
