/* SPDX-License-Identifier: PostgreSQL */
/* Writes JSON, piece by piece, to a stream. */
#include "common/json_writer.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/terminal_text.h"

#define INDENT 2

/* What may neither stand in a string nor be seen in a script of an HTML page. */
static bool is_escaped(unsigned code)
{
	return code < ' ' || (code >= 0x7f && code <= 0x9f) || code == '"' || code == '\\' ||
	       code == '<' || code == '>' || code == '&' || code == 0x2028 || code == 0x2029;
}

static void put_string(const struct json *json, const char *s)
{
	putc('"', json->to);
	while (*s != '\0') {
		unsigned code;
		size_t n = terminal_text_utf8(s, &code);

		if (n == 0) {
			fputs("\\ufffd", json->to);
			s++;
		} else if (is_escaped(code)) {
			fprintf(json->to, "\\u%04x", code);
			s += n;
		} else {
			fwrite(s, 1, n, json->to);
			s += n;
		}
	}
	putc('"', json->to);
}

/* What goes before a value: the comma behind the last one, a line of its own, the key. */
static void begin(struct json *json, const char *key)
{
	if (json->follows) {
		putc(',', json->to);
	}
	if (json->depth > 0 && !json->dense) {
		fprintf(json->to, "\n%*s", json->depth * INDENT, "");
	}
	if (key != NULL) {
		put_string(json, key);
		fputs(json->dense ? ":" : ": ", json->to);
	}
	json->follows = true;
}

void json_open(struct json *json, const char *key, char bracket)
{
	begin(json, key);
	putc(bracket, json->to);
	json->depth++;
	json->follows = false;
}

void json_close(struct json *json, char bracket)
{
	json->depth--;
	if (json->follows && !json->dense) {
		fprintf(json->to, "\n%*s", json->depth * INDENT, "");
	}
	putc(bracket, json->to);
	json->follows = true;
	if (json->depth == 0) {
		putc('\n', json->to);
	}
}

void json_str(struct json *json, const char *key, const char *value)
{
	begin(json, key);
	put_string(json, value);
}

void json_u64(struct json *json, const char *key, uint64_t value)
{
	begin(json, key);
	fprintf(json->to, "%" PRIu64, value);
}

void json_thousandths(struct json *json, const char *key, uint64_t value)
{
	begin(json, key);
	fprintf(json->to, "%" PRIu64 ".%03" PRIu64, value / 1000, value % 1000);
}

void json_i64(struct json *json, const char *key, int64_t value)
{
	begin(json, key);
	fprintf(json->to, "%" PRId64, value);
}

void json_bool(struct json *json, const char *key, bool value)
{
	begin(json, key);
	fputs(value ? "true" : "false", json->to);
}

void json_null(struct json *json, const char *key)
{
	begin(json, key);
	fputs("null", json->to);
}
