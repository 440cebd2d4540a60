/* SPDX-License-Identifier: PostgreSQL */
/* Keeping PQescapeString and PQescapeBytea, which take no connection, right. */
#include "session/opened/escaping.h"

#include <string.h>

#include "base/text/hash.h"

/*
 * A backslash for the one setting; for the other, a character for each two encodings that libpq
 * treats differently. Newer libpqs replace what is no character: the first line tells all
 * encodings apart for them. Older ones skip as many bytes as the first one announces, quotes
 * included.
 */
static const char probe[] = "\\\xa0\x80\xa1~\x80\x8e\xa1~\xe3\x81\x82~"
			    "\x81\x30''~\x8f''~\x8e'''~\xa1'~\xe0''~";

/*
 * Tells UTF-8 from all others: newer libpqs replace what is no character by bytes that they use
 * for UTF-8 alone, and to older ones only there the first byte announces three.
 */
static const char probe_of_utf8[] = "\\\xe0''";

#define ESCAPED_SIZE (2 * sizeof(probe))

static const char *probe_for(const struct escaping *escaping)
{
	return escaping->encoding == LIBPQ_UTF8 ? probe_of_utf8 : probe;
}

struct escaping escaping_settings(const struct libpq *libpq, const PGconn *conn)
{
	const char *value = libpq->PQparameterStatus(conn, "standard_conforming_strings");

	return (struct escaping){.encoding = libpq->PQclientEncoding(conn),
	                         .std_strings = value != NULL && strcmp(value, "on") == 0};
}

bool escaping_holds(const struct escaping *escaping, const struct libpq *libpq,
                    const PGconn *conn)
{
	struct escaping now = escaping_settings(libpq, conn);

	return escaping->encoding == now.encoding && escaping->std_strings == now.std_strings;
}

bool escaping_learn(struct escaping *escaping, const struct libpq *libpq, PGconn *conn)
{
	char escaped[ESCAPED_SIZE];
	const char *text;
	size_t len;
	int error;

	if (escaping->known && escaping_holds(escaping, libpq, conn)) {
		return false;
	}
	*escaping = escaping_settings(libpq, conn);
	text = probe_for(escaping);
	len = libpq->PQescapeStringConn(conn, escaped, text, strlen(text), &error);
	escaping->print = hash_bytes(0, escaped, len);
	escaping->known = true;
	return true;
}

bool escaping_is_of_process(const struct escaping *escaping, const struct libpq *libpq)
{
	char escaped[ESCAPED_SIZE];
	const char *text = probe_for(escaping);
	size_t len = libpq->PQescapeString(escaped, text, strlen(text));

	return hash_bytes(0, escaped, len) == escaping->print;
}

bool escaping_must_not_return(const struct escaping *opened, const struct libpq *libpq,
                              const PGconn *conn)
{
	struct escaping now = escaping_settings(libpq, conn);

	return now.std_strings != opened->std_strings ||
	       (!now.std_strings && now.encoding != opened->encoding);
}

void escaping_detour(const struct escaping *escaping, const char *statements[2])
{
	static const char others[2][2][80] = {
		{"SET client_encoding = 'SQL_ASCII'; SET standard_conforming_strings = on",
	         "SET client_encoding = 'SQL_ASCII'; SET standard_conforming_strings = off"},
		{"SET client_encoding = 'UTF8'; SET standard_conforming_strings = on",
	         "SET client_encoding = 'UTF8'; SET standard_conforming_strings = off"},
	};
	bool is_sql_ascii = escaping->encoding == 0;

	statements[0] = others[is_sql_ascii][escaping->std_strings];
	statements[1] = "RESET client_encoding; RESET standard_conforming_strings";
}
