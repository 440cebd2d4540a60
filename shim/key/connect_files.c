/* SPDX-License-Identifier: PostgreSQL */
/* The files that libpq reads while it connects. */
#include "key/connect_files.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text/path.h"
#include "base/text/strbuf.h"
#include "key/home_folder.h"

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
static void watch_option(struct file_stamp_list *files, const struct conninfo *ci,
                         const char *keyword, const char *home, const char *fallback)
{
	const char *named = conninfo_value(ci, keyword);
	char *path = named[0] == '\0' && home != NULL ? path_join(home, fallback) : NULL;

	if (named[0] != '\0' || path != NULL) {
		file_stamp_add(files, named[0] != '\0' ? named : path);
	}
	free(path);
}

/* Folders in a list, as OpenSSL reads it. */
static void watch_folders(struct file_stamp_list *files, const char *list)
{
	while (*list != '\0') {
		size_t len = strcspn(list, ":");
		char *folder = strndup(list, len);

		if (folder == NULL) {
			files->failed = true;
			return;
		}
		if (len > 0) {
			file_stamp_add_contents(files, folder);
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
static void watch_roots(struct file_stamp_list *files, const struct conninfo *ci,
                        const char *home)
{
	const struct libpq *libpq = ci->libpq;
	const char *file;

	if (strcmp(conninfo_value(ci, "sslrootcert"), "system") != 0) {
		watch_option(files, ci, "sslrootcert", home, ".postgresql/root.crt");
		return;
	}
	file = variable_or("SSL_CERT_FILE", libpq->default_cert_file);
	if (file[0] != '\0') {
		file_stamp_add(files, file);
	}
	watch_folders(files, variable_or("SSL_CERT_DIR", libpq->default_cert_dir));
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

static void watch_tls(struct file_stamp_list *files, struct conninfo *ci)
{
	/* Whether libpq will ask for it depends on the server: it is not asked for here. */
	char *home = needs_home(ci) ? home_folder_recall(ci->libpq) : NULL;

	ci->home_unknown = home == NULL && needs_home(ci);
	watch_option(files, ci, "sslcert", home, ".postgresql/postgresql.crt");
	watch_option(files, ci, "sslkey", home, ".postgresql/postgresql.key");
	watch_roots(files, ci, home);
	watch_option(files, ci, "sslcrl", home, ".postgresql/root.crl");
	if (conninfo_value(ci, "sslcrldir")[0] != '\0') {
		file_stamp_add_contents(files, conninfo_value(ci, "sslcrldir"));
	}
	free(home);
}

static void watch_tickets(struct file_stamp_list *files)
{
	const char *cache = getenv("KRB5CCNAME");

	if (cache == NULL) {
		char path[64];
		struct strbuf t;

		strbuf_init(&t, path, sizeof(path));
		strbuf_str(&t, "/tmp/krb5cc_");
		strbuf_u64(&t, geteuid());
		file_stamp_add(files, path);
	} else if (cache[0] == '/' || strncmp(cache, "FILE:", 5) == 0) {
		file_stamp_add(files, cache[0] == '/' ? cache : cache + 5);
	}
}

void connect_files_watch(struct file_stamp_list *files, struct conninfo *ci)
{
	const char *passfile = conninfo_value(ci, "passfile");

	if (passfile[0] == '\0' && ci->passfile != NULL) {
		passfile = ci->passfile;
	}
	if (conninfo_value(ci, "password")[0] == '\0' && passfile[0] != '\0') {
		file_stamp_add_for_password(files, passfile);
	}
	if (is_socket_only(ci)) {
		return;
	}
	if (strcmp(conninfo_value(ci, "sslmode"), "disable") != 0) {
		watch_tls(files, ci);
	}
	watch_tickets(files);
}
