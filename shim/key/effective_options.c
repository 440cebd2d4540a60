/* SPDX-License-Identifier: PostgreSQL */
/* Asking libpq for the effective value of every option. */
#include "key/effective_options.h"

#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/text/path.h"
#include "key/home_folder.h"

/* libpq counts hosts and their addresses before it does anything else. */
static const char spoilt_hosts[] = "host=a hostaddr='0.0.0.1,0.0.0.2'";

/* With a user it does not yet look into the password database for the name. */
static const char spoilt_hosts_and_user[] = "host=a hostaddr='0.0.0.1,0.0.0.2' user=''";

/* With a password it does not look into a file for one. */
static const char spoilt_sslmode[] = "password=x sslmode=none_such";

/* NULL: libpq refuses even to merge them. */
static PQconninfoOption *ask(const struct conninfo *ci, const char *spoilt)
{
	const struct libpq *libpq = ci->libpq;
	char *text = conninfo_given_text(ci, spoilt);
	PQconninfoOption *options = NULL;
	PGconn *conn;

	if (text == NULL) {
		return NULL;
	}
	lock_assert_none();
	conn = libpq->PQconnectStart(text);
	explicit_bzero(text, strlen(text));
	free(text);
	if (conn != NULL) {
		/* An unknown libpq may have begun to connect. */
		if (libpq->PQstatus(conn) == CONNECTION_BAD) {
			options = libpq->PQconninfo(conn);
		}
		libpq->PQfinish(conn);
	}
	return options;
}

static bool is_empty(const char *value)
{
	return value == NULL || value[0] == '\0';
}

/*
 * Whether it is a list of the same options, and libpq has merged them: else none has a value,
 * while even sslmode has a default.
 */
static bool is_merged(const struct conninfo *ci, const PQconninfoOption *answer)
{
	bool any = false;
	size_t row = 0;

	while (row < ci->count && answer[row].keyword != NULL &&
	       strcmp(answer[row].keyword, ci->options[row].keyword) == 0) {
		any = any || answer[row].val != NULL;
		row++;
	}
	return any && row == ci->count;
}

bool effective_options_merge(struct conninfo *ci)
{
	size_t user = conninfo_row(ci, "user");

	ci->merged = ask(ci, user < ci->count && ci->given[user] == NULL ? spoilt_hosts_and_user
	                                                                 : spoilt_hosts);
	if (ci->merged == NULL || !is_merged(ci, ci->merged)) {
		return false;
	}
	for (size_t row = 0; row < ci->count; row++) {
		/* PQconninfo leaves some out: they are as given. */
		ci->values[row] =
			ci->merged[row].val != NULL ? ci->merged[row].val : ci->given[row];
	}
	return true;
}

static void locate(struct conninfo *ci, const char *keyword)
{
	size_t row = conninfo_row(ci, keyword);

	if (row < ci->count) {
		ci->values[row] = ci->located[row].val;
	}
}

/* Else the environment's may change before a session is opened. */
static void keep_service(struct conninfo *ci)
{
	size_t row = conninfo_row(ci, "service");

	if (row < ci->count && ci->values[row] == NULL) {
		ci->values[row] = conninfo_service(ci);
	}
}

/*
 * libpq looks into the one in the home folder if there is no password. Where it would ask the
 * password database for that folder, we have asked instead, and name the file.
 */
static bool find_passfile(struct conninfo *ci)
{
	size_t row = conninfo_row(ci, "passfile");
	char *home;

	if (row == ci->count || !is_empty(ci->values[row]) ||
	    conninfo_value(ci, "password")[0] != '\0' ||
	    (home = home_folder_find(ci->libpq)) == NULL) {
		return true;
	}
	ci->passfile = path_join(home, ".pgpass");
	free(home);
	if (!home_folder_by_variable(ci->libpq)) {
		ci->values[row] = ci->passfile;
	}
	return ci->passfile != NULL;
}

bool effective_options_guess(struct conninfo *ci)
{
	for (size_t row = 0; row < ci->count; row++) {
		const char *variable = ci->options[row].envvar;

		ci->values[row] = ci->given[row];
		if (ci->values[row] == NULL && variable != NULL) {
			ci->values[row] = getenv(variable);
		}
	}
	return find_passfile(ci);
}

bool effective_options_rest(struct conninfo *ci)
{
	ci->located = ask(ci, spoilt_sslmode);
	if (ci->located == NULL || !is_merged(ci, ci->located)) {
		return false;
	}
	locate(ci, "host");
	locate(ci, "hostaddr");
	locate(ci, "user");
	keep_service(ci);
	return conninfo_value(ci, "user")[0] != '\0' && find_passfile(ci);
}
