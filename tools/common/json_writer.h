/* SPDX-License-Identifier: PostgreSQL */
/*
 * Writes JSON, piece by piece, to a stream.
 *
 *   struct json json = {.to = stdout};
 *
 *   json_open(&json, NULL, '{');
 *   json_u64(&json, "count", 3);
 *   json_open(&json, "places", '[');  ...  json_close(&json, ']');
 *   json_close(&json, '}');
 *
 * Commas and line breaks are added where needed. In an array `key` is NULL. Strings may be any
 * bytes: those that are not UTF-8 become U+FFFD. In what is written neither an element of HTML
 * can end nor a comment begin: < > & and the line separators U+2028, U+2029 are escaped.
 */
#ifndef PQPOOL_TOOLS_COMMON_JSON_WRITER_H
#define PQPOOL_TOOLS_COMMON_JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	FILE *to;
	bool dense;   /* without line breaks and indents */
	bool follows; /* something stands before, at this level */
	int depth;
};

void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);
void json_str(struct json *json, const char *key, const char *value);
void json_u64(struct json *json, const char *key, uint64_t value);
/* A number with three decimals. */
void json_thousandths(struct json *json, const char *key, uint64_t value);
void json_i64(struct json *json, const char *key, int64_t value);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);

#endif
