/* SPDX-License-Identifier: PostgreSQL */
/* Calls as programs spell them, and files for them in a folder; after cmocka.h. */
#ifndef PQPOOL_TESTS_SPELLINGS_H
#define PQPOOL_TESTS_SPELLINGS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/libpq/caller.h"
#include "key/identity.h"

static const struct libpq *libpq;
static char folder[] = "/tmp/pqpool-identity-XXXXXX";
static char passfile[64];
static char servicefile[64];

static inline void write_file(const char *path, const char *content)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(content, f);
	fclose(f);
	chmod(path, 0600);
}

static inline int prepare(void **state)
{
	(void)state;
	/* A call, so that the linker does not leave libpq out. */
	if (PQlibVersion() == 0) {
		return -1;
	}
	libpq = libpq_of_caller((const void *)prepare).libpq;
	if (libpq == NULL || mkdtemp(folder) == NULL) {
		return -1;
	}
	snprintf(passfile, sizeof(passfile), "%s/pgpass", folder);
	snprintf(servicefile, sizeof(servicefile), "%s/services", folder);
	return setenv("HOME", folder, 1);
}

static inline int tidy_up(void **state)
{
	(void)state;
	unlink(passfile);
	unlink(servicefile);
	return rmdir(folder);
}

static inline struct spelling *by_string(const char *conninfo)
{
	struct connect_call call = {.function = CONNECT_STRING, .conninfo = conninfo};

	return identity_resolve(libpq, &call);
}

static inline struct spelling *by_params(const char *const *keywords, const char *const *values,
                                         int expand)
{
	struct connect_call call = {.function = CONNECT_PARAMS,
	                            .keywords = keywords,
	                            .values = values,
	                            .expand_dbname = expand};

	return identity_resolve(libpq, &call);
}

static inline struct spelling *by_login(const char *host, const char *port, const char *dbname,
                                        const char *user, const char *password)
{
	struct connect_call call = {.function = CONNECT_LOGIN,
	                            .login = {[LOGIN_HOST] = host,
	                                      [LOGIN_PORT] = port,
	                                      [LOGIN_DBNAME] = dbname,
	                                      [LOGIN_USER] = user,
	                                      [LOGIN_PASSWORD] = password}};

	return identity_resolve(libpq, &call);
}

/* Compares and gives back; the identities live on only in the table of spellings. */
static inline bool same(struct spelling *a, struct spelling *b)
{
	bool equal;

	assert_non_null(a);
	assert_non_null(b);
	equal = a->identity == b->identity;
	spelling_release(a);
	spelling_release(b);
	return equal;
}

#endif
