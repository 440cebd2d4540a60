/* SPDX-License-Identifier: PostgreSQL */
/* Writes JSON, piece by piece, to standard output. */
#include "leaks/report/json_writer.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/terminal_text.h"

#define INDENT 2

static void put_string(const char *s)
{
	putchar('"');
	while (*s != '\0') {
		unsigned code;
		size_t n = terminal_text_utf8(s, &code);

		if (n == 0) {
			fputs("\\ufffd", stdout);
			s++;
		} else if (code < ' ' || (code >= 0x7f && code <= 0x9f) || code == '"' ||
		           code == '\\') {
			printf("\\u%04x", code);
			s += n;
		} else {
			fwrite(s, 1, n, stdout);
			s += n;
		}
	}
	putchar('"');
}

/* What goes before a value: the comma behind the last one, a line of its own, the key. */
static void begin(struct json *json, const char *key)
{
	if (json->follows) {
		putchar(',');
	}
	if (json->depth > 0) {
		printf("\n%*s", json->depth * INDENT, "");
	}
	if (key != NULL) {
		put_string(key);
		fputs(": ", stdout);
	}
	json->follows = true;
}

void json_open(struct json *json, const char *key, char bracket)
{
	begin(json, key);
	putchar(bracket);
	json->depth++;
	json->follows = false;
}

void json_close(struct json *json, char bracket)
{
	json->depth--;
	if (json->follows) {
		printf("\n%*s", json->depth * INDENT, "");
	}
	putchar(bracket);
	json->follows = true;
	if (json->depth == 0) {
		putchar('\n');
	}
}

void json_str(struct json *json, const char *key, const char *value)
{
	begin(json, key);
	put_string(value);
}

void json_u64(struct json *json, const char *key, uint64_t value)
{
	begin(json, key);
	printf("%" PRIu64, value);
}

void json_i64(struct json *json, const char *key, int64_t value)
{
	begin(json, key);
	printf("%" PRId64, value);
}

void json_bool(struct json *json, const char *key, bool value)
{
	begin(json, key);
	fputs(value ? "true" : "false", stdout);
}
