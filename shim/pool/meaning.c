/* SPDX-License-Identifier: PostgreSQL */
/* What a connect depends on beyond its words. */
#include "pool/meaning.h"

#include <langinfo.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/program.h"
#include "pool/environment.h"

/*
 * The effective ids matter to nearly every identity: whether a socket may be connected to
 * and who its peer is, which files can be read, whose tickets Kerberos uses, even though the
 * program says neither; only a password over TCP with no file and no TLS is beyond them, and
 * that the server does not ask for tickets is not known before.
 */
void meaning_put_process(struct blob *b, const struct libpq *libpq)
{
	struct {
		const struct libpq *libpq;
		uid_t uid;
		gid_t gid;
	} process = {libpq, geteuid(), getegid()};

	blob_bytes(b, &process, sizeof(process));
}

static bool is_option_variable(const struct conninfo *ci, const char *variable)
{
	size_t len = strcspn(variable, "=");

	for (size_t row = 0; row < ci->count; row++) {
		const char *name = ci->defaults[row].envvar;

		if (name != NULL && strlen(name) == len && strncmp(name, variable, len) == 0) {
			return true;
		}
	}
	return false;
}

/*
 * Home folders libpq may use: $HOME's since version 15, the password database's before.
 * Both where they differ; the password database's is in `buf`.
 */
struct homes {
	const char *paths[3]; /* NULL after the last */
	char buf[4096];
};

static void find_homes(struct homes *homes)
{
	struct passwd pw;
	struct passwd *found = NULL;
	const char *home = getenv("HOME");
	size_t count = home != NULL && home[0] != '\0' ? 1 : 0;

	homes->paths[0] = home;
	if (getpwuid_r(geteuid(), &pw, homes->buf, sizeof(homes->buf), &found) == 0 &&
	    found != NULL && (count == 0 || strcmp(found->pw_dir, home) != 0)) {
		homes->paths[count++] = found->pw_dir;
	}
	homes->paths[count] = NULL;
}

/*
 * What libpq fills in while it connects, and PQconninfo shows from then on: programs that
 * connect again with what it says (psql's \c) mean the same. False: nothing, or not known.
 */
static bool put_filled_in(struct blob *b, const struct conninfo *ci, const char *keyword,
                          const struct homes *homes)
{
	const char *user = conninfo_value(ci, "user");

	if (conninfo_value(ci, keyword)[0] != '\0' ||
	    conninfo_value(ci, "service")[0] != '\0') {
		return false;
	}
	if (strcmp(keyword, "dbname") == 0 && user[0] != '\0') {
		blob_field(b, user);
		return true;
	}
	if (strcmp(keyword, "passfile") == 0 && conninfo_value(ci, "password")[0] == '\0' &&
	    homes->paths[0] != NULL && homes->paths[1] == NULL) {
		char path[4096];
		struct text t;

		text_init(&t, path, sizeof(path));
		text_str(&t, homes->paths[0]);
		text_str(&t, "/.pgpass");
		blob_field(b, path);
		return !t.cut;
	}
	return false;
}

void meaning_put(struct blob *b, const struct libpq *libpq, const struct conninfo *ci,
                 const struct watch_list *watches)
{
	struct homes homes;

	find_homes(&homes);
	meaning_put_process(b, libpq);
	/* An empty value and none mean the same, but PQconninfo tells them apart. */
	for (size_t row = 0; row < ci->count; row++) {
		if (!put_filled_in(b, ci, ci->defaults[row].keyword, &homes)) {
			blob_field(b, ci->given[row] != NULL ? ci->given[row]
			                                     : ci->defaults[row].val);
		}
	}
	if (strcmp(conninfo_value(ci, "client_encoding"), "auto") == 0) {
		blob_field(b, nl_langinfo(CODESET));
	}
	for (char *const *e = program_environ(); *e != NULL; e++) {
		if (environment_steers(*e) && !is_option_variable(ci, *e)) {
			blob_field(b, *e);
		}
	}
	watch_describe(watches, b);
}

static bool is_socket_only(const struct conninfo *ci)
{
	const char *host = conninfo_value(ci, "host");

	if (conninfo_value(ci, "hostaddr")[0] != '\0') {
		return false;
	}
	/* Any element of the list that is not a path is a network host. */
	while (*host != '\0') {
		if (*host != '/' && *host != '@' && *host != ',') {
			return false;
		}
		host += strcspn(host, ",");
		host += *host == ',';
	}
	return true;
}

static void watch_option(struct watch_list *w, const struct conninfo *ci, const char *keyword,
                         const char *const *homes, const char *fallback)
{
	const char *path = conninfo_value(ci, keyword);

	if (path[0] != '\0') {
		watch_add(w, path);
		return;
	}
	for (; *homes != NULL; homes++) {
		watch_add_in(w, *homes, fallback);
	}
}

static void watch_service(struct watch_list *w, const char *const *homes)
{
	const char *file = getenv("PGSERVICEFILE");
	const char *dir = getenv("PGSYSCONFDIR");

	if (file != NULL && file[0] != '\0') {
		watch_add(w, file);
	} else {
		for (; *homes != NULL; homes++) {
			watch_add_in(w, *homes, ".pg_service.conf");
		}
	}
	if (dir != NULL && dir[0] != '\0') {
		watch_add_in(w, dir, "pg_service.conf");
	}
	/* Where builds of libpq look else: Debian's, the source's own default. */
	watch_add(w, "/etc/postgresql-common/pg_service.conf");
	watch_add(w, "/etc/pg_service.conf");
	watch_add(w, "/usr/local/pgsql/etc/pg_service.conf");
}

static void watch_network(struct watch_list *w, const struct conninfo *ci,
                          const char *const *homes)
{
	const char *cache = getenv("KRB5CCNAME");

	if (strcmp(conninfo_value(ci, "sslmode"), "disable") != 0) {
		watch_option(w, ci, "sslcert", homes, ".postgresql/postgresql.crt");
		watch_option(w, ci, "sslkey", homes, ".postgresql/postgresql.key");
		watch_option(w, ci, "sslrootcert", homes, ".postgresql/root.crt");
		watch_option(w, ci, "sslcrl", homes, ".postgresql/root.crl");
	}
	if (cache == NULL) {
		char path[64];
		struct text t;

		text_init(&t, path, sizeof(path));
		text_str(&t, "/tmp/krb5cc_");
		text_u64(&t, geteuid());
		watch_add(w, path);
	} else if (cache[0] == '/' || strncmp(cache, "FILE:", 5) == 0) {
		watch_add(w, cache[0] == '/' ? cache : cache + 5);
	}
}

void meaning_watch(struct watch_list *w, const struct conninfo *ci)
{
	struct homes found;
	const char *const *homes = found.paths;

	find_homes(&found);
	if (conninfo_value(ci, "service")[0] != '\0') {
		watch_service(w, homes);
	}
	if (conninfo_value(ci, "password")[0] == '\0') {
		watch_option(w, ci, "passfile", homes, ".pgpass");
	}
	if (!is_socket_only(ci)) {
		watch_network(w, ci, homes);
	}
}

static bool is_replication(const struct conninfo *ci)
{
	static const char no[][8] = {"", "0", "false", "off", "no", "f", "n"};
	const char *value = conninfo_value(ci, "replication");

	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		if (strcasecmp(value, no[i]) == 0) {
			return false;
		}
	}
	return true;
}

/* Each connect is to go to another host. */
static bool is_balanced(const struct conninfo *ci)
{
	const char *value = conninfo_value(ci, "load_balance_hosts");

	return value[0] != '\0' && strcmp(value, "disable") != 0;
}

/*
 * Who it is authorised as is asked anew for each connect, of a person even, or of a hook of the
 * program's; never where this option is not set.
 */
static bool is_authorised_anew(const struct conninfo *ci)
{
	return conninfo_value(ci, "oauth_issuer")[0] != '\0';
}

bool meaning_is_shared(const struct conninfo *ci)
{
	return !is_replication(ci) && !is_balanced(ci) && !is_authorised_anew(ci);
}

static const char *or_else(const char *value, const char *fallback)
{
	return value[0] != '\0' ? value : fallback;
}

void meaning_label(struct text *t, const struct conninfo *ci)
{
	const char *user = conninfo_value(ci, "user");
	const char *service = conninfo_value(ci, "service");

	text_str(t, user);
	text_char(t, '@');
	text_str(t, or_else(conninfo_value(ci, "host"),
	                    or_else(conninfo_value(ci, "hostaddr"), "local")));
	text_char(t, ':');
	text_str(t, or_else(conninfo_value(ci, "port"), "5432"));
	text_char(t, '/');
	text_str(t, or_else(conninfo_value(ci, "dbname"), user));
	if (service[0] != '\0') {
		text_str(t, " service=");
		text_str(t, service);
	}
}
