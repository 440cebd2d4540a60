/* SPDX-License-Identifier: PostgreSQL */
/*
 * Connects as it is told to, and says what the shim takes the call for. Reads fields that end
 * with a NUL, the first of which is a command:
 *
 *   env NAME=VALUE, unset NAME
 *   string CONNINFO, params EXPAND COUNT KEYWORD VALUE ..., login and its seven arguments
 *       the call; a field of one byte 1 is a null pointer. Writes the number of its identity, 0
 *       if it is not to be pooled
 *   bare     makes the call; writes what libpq says of the connection
 *   pooled   connects as the shim opens a session for the call; likewise
 *
 * Each answer is a line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/libpq/caller.h"
#include "key/identity.h"

#define OPTIONS_MAX 64

static const struct libpq *libpq;
static struct connect_call call;
static struct spelling *spelling;
static char *fields[2 * OPTIONS_MAX + 2]; /* of the call */
static const char *keywords[OPTIONS_MAX + 1];
static const char *values[OPTIONS_MAX + 1];

/* Their numbers are their places; each is kept, so that none is made at the address of another.
 */
static struct identity *identities[1 << 16];
static size_t identity_count;

static char *take(void)
{
	char *field = NULL;
	size_t size = 0;

	if (getdelim(&field, &size, '\0', stdin) <= 0) {
		exit(feof(stdin) ? 0 : 1);
	}
	return field;
}

static const char *take_of_call(size_t i)
{
	free(fields[i]);
	fields[i] = take();
	return strcmp(fields[i], "\1") == 0 ? NULL : fields[i];
}

static void take_params(void)
{
	char *expand = take();
	char *count = take();
	size_t n = strtoul(count, NULL, 10);

	if (n > OPTIONS_MAX) {
		exit(1);
	}
	for (size_t i = 0; i < n; i++) {
		keywords[i] = take_of_call(2 * i);
		values[i] = take_of_call(2 * i + 1);
	}
	keywords[n] = values[n] = NULL;
	call = (struct connect_call){.function = CONNECT_PARAMS,
	                             .keywords = keywords,
	                             .values = values,
	                             .expand_dbname = atoi(expand)};
	free(expand);
	free(count);
}

static void take_login(void)
{
	call = (struct connect_call){.function = CONNECT_LOGIN};
	for (size_t i = 0; i < LOGIN_ARGUMENTS; i++) {
		call.login[i] = take_of_call(i);
	}
}

static size_t number_of(struct identity *identity)
{
	size_t i = 0;

	while (i < identity_count && identities[i] != identity) {
		i++;
	}
	if (i == identity_count && i < sizeof(identities) / sizeof(identities[0])) {
		identity_hold(identity);
		identities[identity_count++] = identity;
	}
	return i + 1;
}

static void resolve(void)
{
	if (spelling != NULL) {
		spelling_release(spelling);
	}
	spelling = identity_resolve(libpq, &call);
	printf("%zu\n", spelling != NULL ? number_of(spelling->identity) : 0);
}

static void put(const char *text)
{
	for (; text != NULL && *text != '\0'; text++) {
		printf(*text > ' ' && *text < 0x7f && *text != '\\' ? "%c" : "\\x%02x",
		       (unsigned char)*text);
	}
	putchar(' ');
}

static void describe(PGconn *conn)
{
	PQconninfoOption *options = PQconninfo(conn);

	conninfo_hide(libpq, options);
	printf("status=%d ", PQstatus(conn));
	put(PQerrorMessage(conn));
	printf("options: ");
	for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++) {
		printf("%s%s", o->keyword, o->val != NULL ? "=" : "");
		put(o->val);
	}
	printf("server=");
	put(PQparameterStatus(conn, "server_version"));
	printf("encoding=%d\n", PQclientEncoding(conn));
	PQconninfoFree(options);
	PQfinish(conn);
}

static void obey(const char *command)
{
	if (strcmp(command, "env") == 0) {
		putenv(take()); /* kept: it is the environment's */
	} else if (strcmp(command, "unset") == 0) {
		char *name = take();

		unsetenv(name);
		free(name);
	} else if (strcmp(command, "string") == 0) {
		call = (struct connect_call){.function = CONNECT_STRING,
		                             .conninfo = take_of_call(0)};
		resolve();
	} else if (strcmp(command, "params") == 0) {
		take_params();
		resolve();
	} else if (strcmp(command, "login") == 0) {
		take_login();
		resolve();
	} else if (strcmp(command, "bare") == 0) {
		describe(conninfo_connect(libpq, &call));
	} else if (strcmp(command, "pooled") == 0) {
		describe(PQconnectdb(spelling->conninfo));
	}
	fflush(stdout);
}

int main(void)
{
	libpq = libpq_of_caller((const void *)main).libpq;
	if (libpq == NULL) {
		return 1;
	}
	for (;;) {
		char *command = take();

		obey(command);
		free(command);
	}
}
