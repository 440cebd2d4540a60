/* SPDX-License-Identifier: PostgreSQL */
/* What a connect depends on beyond its words. */
#include "key/inputs.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/config/program.h"
#include "base/text/path.h"
#include "key/environment.h"
#include "key/home_folder.h"

/*
 * The effective ids matter to nearly every identity: whether a socket may be connected to
 * and who its peer is, which files can be read, whose tickets Kerberos uses, even though the
 * program says neither; only a password over TCP with no file and no TLS is beyond them, and
 * that the server does not ask for tickets is not known before.
 */
void inputs_put_process(struct keybuf *b, const struct libpq *libpq)
{
	struct {
		const struct libpq *libpq;
		uid_t uid;
		gid_t gid;
	} process = {libpq, geteuid(), getegid()};

	keybuf_bytes(b, &process, sizeof(process));
}

static bool is_option_variable(const PQconninfoOption *options, const char *variable)
{
	size_t len = strcspn(variable, "=");

	for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
		if (o->envvar != NULL && strlen(o->envvar) == len &&
		    strncmp(o->envvar, variable, len) == 0) {
			return true;
		}
	}
	return false;
}

/* What steers a connect and is no option: libpq and what is behind it read it as they go. */
static void put_variables(struct keybuf *b, const PQconninfoOption *options)
{
	for (char *const *e = program_environ(); *e != NULL; e++) {
		if (environment_steers(*e) && !is_option_variable(options, *e)) {
			keybuf_field(b, *e);
		}
	}
}

/*
 * What libpq fills in while it connects, and PQconninfo shows from then on: programs that
 * connect again with what it says (psql's \\c) mean the same. Others stay as they are.
 */
static const char *filled_in(const struct conninfo *ci, size_t row)
{
	const char *keyword = ci->options[row].keyword;
	const char *value = ci->values[row];

	if (value != NULL && value[0] != '\0') {
		return value;
	}
	if (strcmp(keyword, "dbname") == 0) {
		return conninfo_value(ci, "user");
	}
	if (strcmp(keyword, "passfile") == 0) {
		return ci->passfile;
	}
	/* Since version 16. */
	return strcmp(keyword, "sslcertmode") == 0 ? "allow" : value;
}

void inputs_put(struct keybuf *b, const struct conninfo *ci)
{
	/* An empty value and none mean the same, but PQconninfo tells them apart. */
	for (size_t row = 0; row < ci->count; row++) {
		keybuf_field(b, filled_in(ci, row));
	}
	keybuf_bytes(b, &ci->home_unknown, sizeof(ci->home_unknown));
}

bool inputs_follows_locale(const struct conninfo *ci)
{
	return strcmp(conninfo_value(ci, "client_encoding"), "auto") == 0;
}

void inputs_put_surroundings(struct keybuf *b, const struct libpq *libpq,
                             const PQconninfoOption *options, bool follows_locale)
{
	inputs_put_process(b, libpq);
	keybuf_field(b, follows_locale ? nl_langinfo(CODESET) : NULL);
	put_variables(b, options);
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

/* The file that an option names, else the one that libpq takes from the home folder. */
static void watch_option(struct file_stamp_list *w, const struct conninfo *ci,
                         const char *keyword, const char *home, const char *fallback)
{
	const char *named = conninfo_value(ci, keyword);
	char *path = named[0] == '\0' && home != NULL ? path_join(home, fallback) : NULL;

	if (named[0] != '\0' || path != NULL) {
		file_stamp_add(w, named[0] != '\0' ? named : path);
	}
	free(path);
}

/* Folders in a list, as OpenSSL reads it. */
static void watch_folders(struct file_stamp_list *w, const char *list)
{
	while (*list != '\0') {
		size_t len = strcspn(list, ":");
		char *folder = path_part(list, len);

		if (folder == NULL) {
			w->failed = true;
			return;
		}
		if (len > 0) {
			file_stamp_add_contents(w, folder);
		}
		free(folder);
		list += len + (list[len] == ':');
	}
}

static const char *variable_or(const char *name, const char *(*fallback)(void))
{
	const char *value = getenv(name);

	if (value != NULL) {
		return value;
	}
	return fallback != NULL ? fallback() : "";
}

/* The roots that OpenSSL has of its own, which libpq 16 and later ask for by this name. */
static void watch_roots(struct file_stamp_list *w, const struct conninfo *ci, const char *home)
{
	const struct libpq *libpq = ci->libpq;
	const char *file;

	if (strcmp(conninfo_value(ci, "sslrootcert"), "system") != 0) {
		watch_option(w, ci, "sslrootcert", home, ".postgresql/root.crt");
		return;
	}
	file = variable_or("SSL_CERT_FILE", libpq->default_cert_file);
	if (file[0] != '\0') {
		file_stamp_add(w, file);
	}
	watch_folders(w, variable_or("SSL_CERT_DIR", libpq->default_cert_dir));
}

/* libpq looks for the home folder if it may want one of these from there. */
static bool needs_home(const struct conninfo *ci)
{
	return conninfo_value(ci, "sslcert")[0] == '\0' ||
	       conninfo_value(ci, "sslkey")[0] == '\0' ||
	       conninfo_value(ci, "sslrootcert")[0] == '\0' ||
	       (conninfo_value(ci, "sslcrl")[0] == '\0' &&
	        conninfo_value(ci, "sslcrldir")[0] == '\0');
}

static void watch_tls(struct file_stamp_list *w, struct conninfo *ci)
{
	/* Whether libpq will ask for it depends on the server: it is not asked for here. */
	char *home = needs_home(ci) ? home_folder_recall(ci->libpq) : NULL;

	ci->home_unknown = home == NULL && needs_home(ci);
	watch_option(w, ci, "sslcert", home, ".postgresql/postgresql.crt");
	watch_option(w, ci, "sslkey", home, ".postgresql/postgresql.key");
	watch_roots(w, ci, home);
	watch_option(w, ci, "sslcrl", home, ".postgresql/root.crl");
	if (conninfo_value(ci, "sslcrldir")[0] != '\0') {
		file_stamp_add_contents(w, conninfo_value(ci, "sslcrldir"));
	}
	free(home);
}

static void watch_tickets(struct file_stamp_list *w)
{
	const char *cache = getenv("KRB5CCNAME");

	if (cache == NULL) {
		char path[64];
		struct strbuf t;

		strbuf_init(&t, path, sizeof(path));
		strbuf_str(&t, "/tmp/krb5cc_");
		strbuf_u64(&t, geteuid());
		file_stamp_add(w, path);
	} else if (cache[0] == '/' || strncmp(cache, "FILE:", 5) == 0) {
		file_stamp_add(w, cache[0] == '/' ? cache : cache + 5);
	}
}

void inputs_watch(struct file_stamp_list *w, struct conninfo *ci)
{
	const char *passfile = conninfo_value(ci, "passfile");

	if (passfile[0] == '\0' && ci->passfile != NULL) {
		passfile = ci->passfile;
	}
	if (conninfo_value(ci, "password")[0] == '\0' && passfile[0] != '\0') {
		file_stamp_add(w, passfile);
	}
	if (is_socket_only(ci)) {
		return;
	}
	if (strcmp(conninfo_value(ci, "sslmode"), "disable") != 0) {
		watch_tls(w, ci);
	}
	watch_tickets(w);
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

bool inputs_is_shared(const struct conninfo *ci)
{
	return !is_replication(ci) && !is_balanced(ci) && !is_authorised_anew(ci);
}

static const char *or_else(const char *value, const char *fallback)
{
	return value[0] != '\0' ? value : fallback;
}

void inputs_label(struct strbuf *t, const struct conninfo *ci)
{
	const char *user = conninfo_value(ci, "user");
	const char *service = conninfo_value(ci, "service");

	strbuf_str(t, user);
	strbuf_char(t, '@');
	strbuf_str(t, or_else(conninfo_value(ci, "host"),
	                      or_else(conninfo_value(ci, "hostaddr"), "local")));
	strbuf_char(t, ':');
	strbuf_str(t, or_else(conninfo_value(ci, "port"), "5432"));
	strbuf_char(t, '/');
	strbuf_str(t, or_else(conninfo_value(ci, "dbname"), user));
	if (service[0] != '\0') {
		strbuf_str(t, " service=");
		strbuf_str(t, service);
	}
}
