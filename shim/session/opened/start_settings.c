/* SPDX-License-Identifier: PostgreSQL */
/* The settings that a connection begins with. */
#include "session/opened/start_settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/text/hash.h"
#include "base/text/strbuf.h"

/* Those that a pooler keeps for its client. */
static const char *const names[] = {
	"client_encoding",
	"DateStyle",
	"IntervalStyle",
	"TimeZone",
	"standard_conforming_strings",
	"application_name",
};

/* Whatever standard_conforming_strings says. False: it cannot be written alike for both. */
static bool put_literal(struct strbuf *t, const char *value)
{
	strbuf_char(t, '\'');
	for (; *value != '\0'; value++) {
		if (*value == '\\') {
			return false;
		}
		if (*value == '\'') {
			strbuf_char(t, '\'');
		}
		strbuf_char(t, *value);
	}
	strbuf_char(t, '\'');
	return true;
}

/* The statement for what they are now. By names that no object in the search path can shadow.
 */
static bool write(char text[START_SETTINGS_TEXT], const struct libpq *libpq, const PGconn *conn)
{
	const char *between = "SELECT ";
	struct strbuf t;

	strbuf_init(&t, text, START_SETTINGS_TEXT);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = libpq->PQparameterStatus(conn, names[i]);

		if (value == NULL) {
			continue;
		}
		strbuf_str(&t, between);
		strbuf_str(&t, "pg_catalog.set_config('");
		strbuf_str(&t, names[i]);
		strbuf_str(&t, "', ");
		if (!put_literal(&t, value)) {
			return false;
		}
		strbuf_str(&t, ", false)");
		between = ", ";
	}
	strbuf_str(&t, " WHERE pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.<>) ");
	strbuf_i64(&t, libpq->PQbackendPID(conn));
	return between[0] == ',' && !t.cut;
}

/* Of what they are now. */
static uint64_t fingerprint(const struct libpq *libpq, const PGconn *conn)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = libpq->PQparameterStatus(conn, names[i]);

		/* With its NUL: one that is not reported is not an empty one. */
		hash = hash_bytes(hash + i, value != NULL ? value : "",
		                  value != NULL ? strlen(value) + 1 : 0);
	}
	return hash;
}

void start_settings_note(struct start_settings *settings, const struct libpq *libpq,
                         const PGconn *conn)
{
	char text[START_SETTINGS_TEXT];

	start_settings_drop(settings);
	settings->text = write(text, libpq, conn) ? strdup(text) : NULL;
	settings->fingerprint = fingerprint(libpq, conn);
	settings->state = START_SETTINGS_UNKNOWN;
}

bool start_settings_question(struct start_settings *settings, const struct libpq *libpq,
                             const PGconn *conn, const char **question)
{
	if (settings->state == START_SETTINGS_UNKNOWN) {
		if (fingerprint(libpq, conn) == settings->fingerprint) {
			start_settings_drop(settings);
		} else {
			settings->state = START_SETTINGS_LOST;
		}
	}
	*question = settings->text;
	return settings->state != START_SETTINGS_LOST || settings->text != NULL;
}

void start_settings_drop(struct start_settings *settings)
{
	free(settings->text);
	*settings = (struct start_settings){0};
}
