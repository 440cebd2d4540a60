/* SPDX-License-Identifier: PostgreSQL */
/* target_session_attrs of a session. */
#include "session/opened/target_attrs.h"

#include <string.h>

#include "base/text/hash.h"

static const struct {
	char word[16];
	enum target_attrs_kind attributes;
} words[] = {
	{"any", TARGET_ATTRS_ANY},
	{"read-write", TARGET_ATTRS_READ_WRITE},
	{"read-only", TARGET_ATTRS_READ_ONLY},
	{"primary", TARGET_ATTRS_PRIMARY},
	{"standby", TARGET_ATTRS_STANDBY},
	{"prefer-standby", TARGET_ATTRS_AS_OPENED},
};

static const char read_only_parameter[] = "default_transaction_read_only";
static const char standby_parameter[] = "in_hot_standby";

static bool is_on(const struct libpq *libpq, const PGconn *conn, const char *parameter)
{
	const char *value = libpq->PQparameterStatus(conn, parameter);

	return value != NULL && strcmp(value, "on") == 0;
}

static bool is_reported(const struct libpq *libpq, const PGconn *conn)
{
	return libpq->PQparameterStatus(conn, read_only_parameter) != NULL &&
	       libpq->PQparameterStatus(conn, standby_parameter) != NULL;
}

static const char *or_empty(const char *text)
{
	return text != NULL ? text : "";
}

static uint64_t add_field(uint64_t hash, const char *field)
{
	return hash_bytes(hash, or_empty(field), strlen(or_empty(field)) + 1);
}

/* The host by name; its address only where the program listed addresses. */
static uint64_t place_of(const struct libpq *libpq, const PGconn *conn, bool by_address)
{
	uint64_t place = add_field(0, libpq->PQhost(conn));

	place = add_field(place, libpq->PQport(conn));
	if (by_address && libpq->PQhostaddr != NULL) {
		place = add_field(place, libpq->PQhostaddr(conn));
	}
	return place | 1;
}

static const char *option(const PQconninfoOption *options, const char *keyword)
{
	for (; options != NULL && options->keyword != NULL; options++) {
		if (strcmp(options->keyword, keyword) == 0) {
			return or_empty(options->val);
		}
	}
	return "";
}

/* False: a value that is not known here. */
static bool read_attributes(struct target_attrs *attrs, const char *word)
{
	attrs->attributes = TARGET_ATTRS_ANY;
	if (word[0] == '\0') {
		return true;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i].word, word) == 0) {
			attrs->attributes = words[i].attributes;
			return true;
		}
	}
	return false;
}

enum drop_reason target_attrs_note(struct target_attrs *attrs, const struct libpq *libpq,
                                   PGconn *conn)
{
	PQconninfoOption *options = libpq->PQconninfo(conn);
	const char *balance = option(options, "load_balance_hosts");
	enum drop_reason why = DROP_NONE;

	attrs->was_standby = is_on(libpq, conn, standby_parameter);
	attrs->place = place_of(libpq, conn, option(options, "hostaddr")[0] != '\0');
	if (options == NULL || (balance[0] != '\0' && strcmp(balance, "disable") != 0)) {
		why = DROP_NOT_POOLED;
	} else if (!read_attributes(attrs, option(options, "target_session_attrs")) ||
	           (attrs->attributes != TARGET_ATTRS_ANY && !is_reported(libpq, conn))) {
		why = DROP_ATTRIBUTES;
	}
	libpq->PQconninfoFree(options);
	return why;
}

bool target_attrs_satisfied(const struct target_attrs *attrs, const struct libpq *libpq,
                            const PGconn *conn)
{
	bool standby;
	bool read_only;

	/* Nearly always, and the look-up of what the server reports is slow. */
	if (attrs->attributes == TARGET_ATTRS_ANY) {
		return true;
	}
	standby = is_on(libpq, conn, standby_parameter);
	read_only = standby || is_on(libpq, conn, read_only_parameter);
	switch (attrs->attributes) {
	case TARGET_ATTRS_ANY:
		return true;
	case TARGET_ATTRS_READ_WRITE:
		return !read_only;
	case TARGET_ATTRS_READ_ONLY:
		return read_only;
	case TARGET_ATTRS_PRIMARY:
		return !standby;
	case TARGET_ATTRS_STANDBY:
		return standby;
	case TARGET_ATTRS_AS_OPENED:
		return standby == attrs->was_standby;
	}
	return false;
}
