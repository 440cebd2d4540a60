/* SPDX-License-Identifier: PostgreSQL */
/* One HTTP/1.1 request for the metrics. */
#include "metrics/http_request.h"

#include <string.h>
#include <strings.h>

/* A part of the request's text. */
struct span {
	const char *at;
	size_t n;
};

static bool is(struct span span, const char *text)
{
	return span.n == strlen(text) && memcmp(span.at, text, span.n) == 0;
}

/* The same without regard to case. */
static bool is_word(struct span span, const char *text)
{
	return span.n == strlen(text) && strncasecmp(span.at, text, span.n) == 0;
}

static struct span trimmed(struct span span)
{
	while (span.n > 0 && (*span.at == ' ' || *span.at == '\t')) {
		span.at++;
		span.n--;
	}
	while (span.n > 0 && (span.at[span.n - 1] == ' ' || span.at[span.n - 1] == '\t')) {
		span.n--;
	}
	return span;
}

/* Takes what comes before the first `end` of it, and the `end`; all of it if there is none. */
static struct span take_until(struct span *rest, char end)
{
	const char *found = rest->n > 0 ? memchr(rest->at, end, rest->n) : NULL;
	struct span taken = {rest->at, found != NULL ? (size_t)(found - rest->at) : rest->n};
	size_t gone = taken.n + (found != NULL ? 1 : 0);

	rest->at += gone;
	rest->n -= gone;
	return taken;
}

/* Letters, digits and the marks that a method or a header's name may have. */
static bool is_token(struct span span)
{
	for (size_t i = 0; i < span.n; i++) {
		char c = span.at[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9')) &&
		    (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)) {
			return false;
		}
	}
	return span.n > 0;
}

/* No control characters: no line of ours ends where another reader's goes on. */
static bool is_clean(struct span span)
{
	for (size_t i = 0; i < span.n; i++) {
		if (((unsigned char)span.at[i] < ' ' && span.at[i] != '\t') ||
		    span.at[i] == '\177') {
			return false;
		}
	}
	return true;
}

/* ---- Accept ---- */

/* "0.75" in thousandths; what is no weight counts as none. */
static unsigned weight_of(struct span text)
{
	unsigned weight = 0;
	unsigned place = 1000;

	for (size_t i = 0; i < text.n && i < 5; i++) {
		if (i == 1 && text.at[i] == '.') {
			continue;
		}
		if (text.at[i] < '0' || text.at[i] > '9') {
			return 0;
		}
		weight += (unsigned)(text.at[i] - '0') * place;
		place /= 10;
	}
	return weight <= 1000 ? weight : 1000;
}

/* What the client accepts, in thousandths of its liking. */
struct liking {
	unsigned openmetrics;
	unsigned text;
};

static void raise_to(unsigned *value, unsigned other)
{
	if (other > *value) {
		*value = other;
	}
}

/* One of the list: "text/plain;version=0.0.4;q=0.5". */
static void note_media_range(struct liking *liking, struct span range)
{
	struct span type = trimmed(take_until(&range, ';'));
	struct span version = {"", 0};
	unsigned weight = 1000;

	while (range.n > 0) {
		struct span value = take_until(&range, ';');
		struct span name = trimmed(take_until(&value, '='));

		value = trimmed(value);
		if (value.n >= 2 && value.at[0] == '"' && value.at[value.n - 1] == '"') {
			value.at++;
			value.n -= 2;
		}
		if (is_word(name, "version")) {
			version = value;
		} else if (is_word(name, "q")) {
			weight = weight_of(value);
		}
	}
	if (is_word(type, "application/openmetrics-text") &&
	    (version.n == 0 || is(version, "1.0.0"))) {
		raise_to(&liking->openmetrics, weight);
	}
	if ((is_word(type, "text/plain") && (version.n == 0 || is(version, "0.0.4"))) ||
	    is_word(type, "text/*") || is_word(type, "*/*")) {
		raise_to(&liking->text, weight);
	}
}

/* ---- the request ---- */

/* What its headers say. */
struct headers {
	unsigned hosts;
	bool body;
	struct liking liking;
};

/* False: it is malformed. */
static bool note_header(struct headers *headers, struct span line)
{
	struct span name;

	if (memchr(line.at, ':', line.n) == NULL) {
		return false;
	}
	name = take_until(&line, ':');
	line = trimmed(line);
	if (!is_token(name)) {
		return false;
	}
	if (is_word(name, "host")) {
		headers->hosts++;
	} else if (is_word(name, "transfer-encoding") ||
	           (is_word(name, "content-length") && !is(line, "0"))) {
		headers->body = true;
	} else if (is_word(name, "accept")) {
		while (line.n > 0) {
			note_media_range(&headers->liking, take_until(&line, ','));
		}
	}
	return true;
}

/* "/metrics" or "http://host/metrics", with a query or without. */
static bool is_target(struct span target)
{
	static const char scheme[] = "http://";

	if (target.n >= strlen(scheme) && strncasecmp(target.at, scheme, strlen(scheme)) == 0) {
		const char *path;

		target.at += strlen(scheme);
		target.n -= strlen(scheme);
		path = memchr(target.at, '/', target.n);
		target.n = path != NULL ? target.n - (size_t)(path - target.at) : 0;
		target.at = path != NULL ? path : "";
	}
	return is(take_until(&target, '?'), HTTP_REQUEST_PATH);
}

static bool is_version(struct span version)
{
	return version.n == 8 && memcmp(version.at, "HTTP/", 5) == 0 && version.at[5] >= '0' &&
	       version.at[5] <= '9' && version.at[6] == '.' && version.at[7] >= '0' &&
	       version.at[7] <= '9';
}

/* The status of what is whole: `text` are its lines, each with its end. */
static int judge(struct http_request *request, struct span text)
{
	struct headers headers = {0};
	struct span line = take_until(&text, '\n');
	struct span method;
	struct span target;

	line.n--; /* the CR, as of each line */
	if (!is_clean(line)) {
		return 400;
	}
	method = take_until(&line, ' ');
	target = take_until(&line, ' ');
	if (!is_token(method) || target.n == 0 || !is_version(line)) {
		return 400;
	}
	while (text.n > 0) {
		struct span header = take_until(&text, '\n');

		header.n--;
		if (!is_clean(header) || !note_header(&headers, header)) {
			return 400;
		}
	}
	if (line.at[5] != '1') {
		return 505;
	}
	request->head = is(method, "HEAD");
	request->format = headers.liking.openmetrics > 0 &&
	                                  headers.liking.openmetrics >= headers.liking.text
	                          ? EXPOSITION_OPENMETRICS
	                          : EXPOSITION_PROMETHEUS;
	if (headers.hosts > 1 || (line.at[7] != '0' && headers.hosts == 0)) {
		return 400;
	}
	if (!is_target(target)) {
		return 404;
	}
	if (!request->head && !is(method, "GET")) {
		return 405;
	}
	return headers.body ? 400 : 200;
}

bool http_request_read(struct http_request *request, const char *bytes, size_t n)
{
	const char *line = bytes;
	const char *end;

	*request = (struct http_request){.status = 400, .format = EXPOSITION_PROMETHEUS};
	while (n > (size_t)(line - bytes) &&
	       (end = memchr(line, '\n', n - (size_t)(line - bytes))) != NULL) {
		if (end == line || end[-1] != '\r') {
			return true; /* the line's end is not HTTP's */
		}
		if (end == line + 1) {
			if (line != bytes) {
				request->status = judge(
					request, (struct span){bytes, (size_t)(line - bytes)});
			}
			return true;
		}
		line = end + 1;
	}
	if (n >= HTTP_REQUEST_BYTES) {
		request->status = 431;
		return true;
	}
	return false;
}
