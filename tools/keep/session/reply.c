/* SPDX-License-Identifier: PostgreSQL */
/* What a server may send on a session that nobody uses. */
#include "keep/session/reply.h"

#include <string.h>

#define HEAD 5 /* type, length; the length counts itself */

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_u32(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 24);
	at[1] = (uint8_t)(v >> 16);
	at[2] = (uint8_t)(v >> 8);
	at[3] = (uint8_t)v;
}

/* The length of the message at `bytes`, 0 if it is not all there; false: it cannot be one. */
static bool measure(const uint8_t *bytes, size_t n, size_t *length)
{
	uint32_t body;

	*length = 0;
	if (n < HEAD) {
		return true;
	}
	body = get_u32(bytes + 1);
	if (body < 4 || body > REPLY_MESSAGE_MAX) {
		return false;
	}
	if (n >= body + 1) {
		*length = body + 1;
	}
	return true;
}

/* A ParameterStatus taken apart; false if it is none. */
static bool take_parameter(const uint8_t *message, size_t length, const char **name,
                           const char **value)
{
	const uint8_t *end = message + length;
	const uint8_t *middle;

	*name = (const char *)message + HEAD;
	if (message[0] != 'S' || length < HEAD + 2 || end[-1] != '\0') {
		return false;
	}
	middle = memchr(*name, '\0', length - HEAD);
	*value = (const char *)middle + 1;
	return middle + 1 < end && memchr(*value, '\0', (size_t)(end - middle - 1)) == end - 1;
}

/* Whether a message belongs to the answer that is due. */
static bool belongs(struct reply *reply, const uint8_t *message, size_t length)
{
	bool in_reset = reply->resets > 0;

	switch (message[0]) {
	case 'C': /* CommandComplete */
		reply->begun |= in_reset;
		return in_reset && length > HEAD && message[length - 1] == '\0';
	case '1': /* ParseComplete, BindComplete, NoData: a reset in a pipeline */
	case '2':
	case 'n':
		return in_reset && length == HEAD;
	case 'I': /* EmptyQueryResponse */
		if (in_reset || !reply->ping || reply->begun) {
			return false;
		}
		reply->begun = true;
		return length == HEAD;
	case 'Z': /* ReadyForQuery */
		if (!reply->begun || length != HEAD + 1 || message[HEAD] != 'I') {
			return false;
		}
		reply->begun = false;
		if (in_reset) {
			reply->resets--;
		} else {
			reply->ping = false;
		}
		return true;
	default:
		return false;
	}
}

enum reply_outcome reply_read(struct reply *reply, const uint8_t *bytes, size_t n, size_t *used,
                              reply_parameter *parameter, void *arg)
{
	const char *name;
	const char *value;
	size_t length;

	*used = 0;
	while (measure(bytes + *used, n - *used, &length)) {
		const uint8_t *message = bytes + *used;

		if (length == 0) {
			return REPLY_GOOD;
		}
		*used += length;
		if (message[0] == 'E') {
			return reply->resets > 0 || reply->begun ? REPLY_BAD : REPLY_ENDED;
		}
		if (message[0] == 'S' ? !take_parameter(message, length, &name, &value) ||
		                                !parameter(arg, name, value)
		                      : !belongs(reply, message, length)) {
			return REPLY_BAD;
		}
	}
	return REPLY_BAD;
}

/* ---- the start of a session ---- */

/* Where the parameter is, or where it is to be put, and how long it is there; false: nowhere.
 */
static bool find(const uint8_t *start, uint32_t n, const char *wanted, size_t *at,
                 size_t *length)
{
	size_t place = 0;
	bool found = false;
	const char *name;
	const char *value;

	for (*at = 0; *at < n; *at += *length) {
		if (!measure(start + *at, n - *at, length) || *length == 0) {
			return false;
		}
		if (take_parameter(start + *at, *length, &name, &value) &&
		    strcmp(name, wanted) == 0) {
			return true;
		}
		if (!found && start[*at] != 'S' && start[*at] != 'R' && start[*at] != 'v') {
			place = *at;
			found = true;
		}
	}
	*at = place;
	*length = 0;
	return found;
}

bool reply_start_differs(const uint8_t *start, uint32_t n, const char *name, const char *value)
{
	const char *told_name;
	const char *told;
	size_t at;
	size_t length;

	return find(start, n, name, &at, &length) && length > 0 &&
	       take_parameter(start + at, length, &told_name, &told) &&
	       strcmp(told, value) != 0;
}

bool reply_start_set(uint8_t *start, uint32_t *n, size_t size, const char *name,
                     const char *value)
{
	size_t name_len = strlen(name) + 1;
	size_t value_len = strlen(value) + 1;
	size_t whole = HEAD + name_len + value_len;
	size_t at;
	size_t old;

	if (!find(start, *n, name, &at, &old) || whole > REPLY_MESSAGE_MAX ||
	    *n - old + whole > size) {
		return false;
	}
	memmove(start + at + whole, start + at + old, *n - at - old);
	start[at] = 'S';
	put_u32(start + at + 1, (uint32_t)(whole - 1));
	memcpy(start + at + HEAD, name, name_len);
	memcpy(start + at + HEAD + name_len, value, value_len);
	*n = (uint32_t)(*n - old + whole);
	return true;
}
