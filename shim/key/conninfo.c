/* SPDX-License-Identifier: PostgreSQL */
/*
 * The arguments of a connect function as one list of options, and as a connection string: the
 * functions that take arrays skip empty values, and could not repeat "host=''".
 */
#include "key/conninfo.h"

#include <stdlib.h>
#include <string.h>

#include "base/text/keybuf.h"
#include "base/text/strbuf.h"

/*
 * Marks a number of ours, without changing it: it is recognised on any connection, also on one
 * that failed and that we do not know.
 */
static const char our_sign[] = " +";

static const char uri_prefixes[][16] = {"postgresql://", "postgres://"};

/* By libpq's own rule, for a dbname. */
static bool is_connection_string(const char *dbname)
{
	for (size_t i = 0; i < sizeof(uri_prefixes) / sizeof(uri_prefixes[0]); i++) {
		if (strncmp(dbname, uri_prefixes[i], strlen(uri_prefixes[i])) == 0) {
			return true;
		}
	}
	return strchr(dbname, '=') != NULL;
}

size_t conninfo_row(const struct conninfo *ci, const char *keyword)
{
	size_t row = 0;

	while (row < ci->count && strcmp(ci->options[row].keyword, keyword) != 0) {
		row++;
	}
	return row;
}

static bool give(struct conninfo *ci, const char *keyword, const char *value)
{
	size_t row = conninfo_row(ci, keyword);

	if (row == ci->count) {
		return false;
	}
	ci->given[row] = value;
	return true;
}

static bool give_if_set(struct conninfo *ci, const char *keyword, const char *value)
{
	return value == NULL || value[0] == '\0' || give(ci, keyword, value);
}

/* The options of a connection string win over what was given before. */
static bool give_parsed(struct conninfo *ci, const char *conninfo, PQconninfoOption **parsed)
{
	char *error = NULL;

	*parsed = ci->libpq->PQconninfoParse(conninfo, &error);
	if (error != NULL) {
		ci->libpq->PQfreemem(error);
	}
	if (*parsed == NULL) {
		return false;
	}
	for (const PQconninfoOption *o = *parsed; o->keyword != NULL; o++) {
		if (o->val != NULL && !give(ci, o->keyword, o->val)) {
			return false;
		}
	}
	return true;
}

/*
 * Left to right, later ones win, empty ones are skipped. Only the first dbname may
 * be expanded, and if that is no connection string, none is.
 */
static bool read_params(struct conninfo *ci, const struct connect_call *call)
{
	bool first_dbname = call->expand_dbname != 0;

	if (call->keywords == NULL || call->values == NULL) {
		return false;
	}
	for (size_t i = 0; call->keywords[i] != NULL; i++) {
		const char *keyword = call->keywords[i];
		const char *value = call->values[i];
		bool is_dbname = strcmp(keyword, "dbname") == 0;

		if (value == NULL || value[0] == '\0') {
			first_dbname = first_dbname && !(is_dbname && value != NULL);
			continue;
		}
		if (is_dbname && first_dbname && is_connection_string(value)) {
			if (!give_parsed(ci, value, &ci->parsed)) {
				return false;
			}
		} else if (!give(ci, keyword, value)) {
			return false;
		}
		first_dbname = first_dbname && !is_dbname;
	}
	return true;
}

static bool read_login(struct conninfo *ci, const char *const *login)
{
	const char *dbname = login[LOGIN_DBNAME];

	if (dbname != NULL && is_connection_string(dbname)) {
		if (!give_parsed(ci, dbname, &ci->parsed)) {
			return false;
		}
	} else if (!give_if_set(ci, "dbname", dbname)) {
		return false;
	}
	/* The tty argument is ignored by libpq, too. */
	return give_if_set(ci, "host", login[LOGIN_HOST]) &&
	       give_if_set(ci, "port", login[LOGIN_PORT]) &&
	       give_if_set(ci, "options", login[LOGIN_OPTIONS]) &&
	       give_if_set(ci, "user", login[LOGIN_USER]) &&
	       give_if_set(ci, "password", login[LOGIN_PASSWORD]);
}

static bool read_call(struct conninfo *ci, const struct connect_call *call)
{
	switch (call->function) {
	case CONNECT_STRING:
		return call->conninfo != NULL && give_parsed(ci, call->conninfo, &ci->parsed);
	case CONNECT_PARAMS:
		return read_params(ci, call);
	case CONNECT_LOGIN:
		return read_login(ci, call->login);
	}
	return false;
}

/* By a connection string, so that libpq reads host and port itself. */
static bool apply_route(struct conninfo *ci, const char *route)
{
	const char *colon = strrchr(route, ':');
	const char *bracket = route[0] == '[' ? strchr(route, ']') : NULL;
	const char *host = bracket != NULL ? route + 1 : route;
	size_t host_len = bracket != NULL ? (size_t)(bracket - route - 1)
	                  : colon != NULL ? (size_t)(colon - route)
	                                  : strlen(route);
	char buf[512];
	struct strbuf t;

	strbuf_init(&t, buf, sizeof(buf));
	strbuf_str(&t, "hostaddr='' host='");
	strbuf_bytes(&t, host, host_len);
	strbuf_char(&t, '\'');
	if (colon != NULL && (bracket == NULL || colon > bracket)) {
		strbuf_str(&t, " port='");
		strbuf_str(&t, colon + 1);
		strbuf_char(&t, '\'');
	}
	return !t.cut && give_parsed(ci, buf, &ci->routed);
}

static bool read_all(struct conninfo *ci, const struct connect_call *call, const char *route)
{
	size_t row;

	while (ci->options[ci->count].keyword != NULL) {
		ci->count++;
	}
	ci->given = calloc(ci->count, sizeof(*ci->given));
	ci->values = calloc(ci->count, sizeof(*ci->values));
	if (ci->given == NULL || ci->values == NULL || !read_call(ci, call)) {
		return false;
	}
	row = conninfo_row(ci, "user");
	if (row < ci->count && ci->given[row] == NULL) {
		ci->given[row] = call->user;
	}
	return route == NULL || apply_route(ci, route);
}

PQconninfoOption *conninfo_template(const struct libpq *libpq)
{
	char *error = NULL;
	PQconninfoOption *options = libpq->PQconninfoParse("", &error);

	if (error != NULL) {
		libpq->PQfreemem(error);
	}
	return options;
}

bool conninfo_read(struct conninfo *ci, const struct libpq *libpq,
                   const struct connect_call *call, const char *route)
{
	*ci = (struct conninfo){.libpq = libpq, .options = conninfo_template(libpq)};
	if (ci->options == NULL) {
		return false;
	}
	if (!read_all(ci, call, route)) {
		conninfo_free(ci);
		return false;
	}
	return true;
}

/* There may be a password in them, which libpq does not wipe. */
static void free_options(const struct libpq *libpq, PQconninfoOption *options)
{
	for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++) {
		if (o->val != NULL) {
			explicit_bzero(o->val, strlen(o->val));
		}
	}
	if (options != NULL) {
		libpq->PQconninfoFree(options);
	}
}

void conninfo_free(struct conninfo *ci)
{
	free((void *)ci->given);
	free((void *)ci->values);
	free(ci->passfile);
	free_options(ci->libpq, ci->parsed);
	free_options(ci->libpq, ci->routed);
	free_options(ci->libpq, ci->merged);
	free_options(ci->libpq, ci->located);
	ci->libpq->PQconninfoFree(ci->options);
}

const char *conninfo_value(const struct conninfo *ci, const char *keyword)
{
	size_t row = conninfo_row(ci, keyword);

	return row < ci->count && ci->values[row] != NULL ? ci->values[row] : "";
}

const char *conninfo_service(const struct conninfo *ci)
{
	size_t row = conninfo_row(ci, "service");

	if (row == ci->count || ci->given[row] != NULL) {
		return row == ci->count ? NULL : ci->given[row];
	}
	return ci->options[row].envvar != NULL ? getenv(ci->options[row].envvar) : NULL;
}

static void put_option(struct keybuf *b, const char *keyword, const char *value)
{
	keybuf_text(b, keyword);
	keybuf_text(b, "='");
	for (const char *c = value; *c != '\0'; c++) {
		if (*c == '\'' || *c == '\\') {
			keybuf_bytes(b, "\\", 1);
		}
		keybuf_bytes(b, c, 1);
	}
	keybuf_text(b, "' ");
}

static char *text_of(const struct conninfo *ci, const char *const *values, const char *more)
{
	char buf[512];
	struct keybuf b;
	char *text = NULL;

	keybuf_init(&b, buf, sizeof(buf));
	for (size_t row = 0; row < ci->count; row++) {
		if (values[row] != NULL) {
			put_option(&b, ci->options[row].keyword, values[row]);
		}
	}
	keybuf_text(&b, more);
	keybuf_bytes(&b, "", 1);
	if (!b.failed) {
		text = malloc(b.len);
		if (text != NULL) {
			memcpy(text, b.data, b.len);
		}
	}
	keybuf_wipe(&b);
	return text;
}

char *conninfo_given_text(const struct conninfo *ci, const char *more)
{
	return text_of(ci, ci->given, more);
}

char *conninfo_text(const struct conninfo *ci, int64_t connect_timeout_s)
{
	char buf[64];
	struct strbuf t;

	strbuf_init(&t, buf, sizeof(buf));
	if (connect_timeout_s > 0 && conninfo_value(ci, "connect_timeout")[0] == '\0') {
		strbuf_str(&t, "connect_timeout='");
		strbuf_str(&t, our_sign);
		strbuf_i64(&t, connect_timeout_s);
		strbuf_char(&t, '\'');
	}
	return text_of(ci, ci->values, buf);
}

void conninfo_hide(const struct libpq *libpq, PQconninfoOption *options)
{
	for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++) {
		if (strcmp(o->keyword, "connect_timeout") == 0 && o->val != NULL &&
		    strncmp(o->val, our_sign, strlen(our_sign)) == 0) {
			libpq->PQfreemem(o->val);
			o->val = NULL;
		}
	}
}

PGconn *conninfo_connect(const struct libpq *libpq, const struct connect_call *call)
{
	const char *const *login = call->login;

	switch (call->function) {
	case CONNECT_STRING:
		return libpq->PQconnectdb(call->conninfo);
	case CONNECT_PARAMS:
		return libpq->PQconnectdbParams(call->keywords, call->values,
		                                call->expand_dbname);
	case CONNECT_LOGIN:
		return libpq->PQsetdbLogin(login[LOGIN_HOST], login[LOGIN_PORT],
		                           login[LOGIN_OPTIONS], login[LOGIN_TTY],
		                           login[LOGIN_DBNAME], login[LOGIN_USER],
		                           login[LOGIN_PASSWORD]);
	}
	return NULL;
}

PGconn *conninfo_start(const struct libpq *libpq, const struct connect_call *call)
{
	if (call->function == CONNECT_STRING) {
		return libpq->PQconnectStart(call->conninfo);
	}
	return libpq->PQconnectStartParams(call->keywords, call->values, call->expand_dbname);
}
