/* SPDX-License-Identifier: PostgreSQL */
/*
 * A name service module that keeps its users in PostgreSQL, made as libnss-pgsql2 is: it
 * connects within a lock of its own that a thread cannot take twice. NSS_ASKED is a file to
 * which each question adds a byte, NSS_CONNINFO what to connect with; without it nothing is
 * known of anybody.
 */
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <nss.h>
#include <pthread.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void count(void)
{
	const char *path = getenv("NSS_ASKED");
	int fd = path != NULL ? open(path, O_WRONLY | O_APPEND) : -1;

	if (fd >= 0) {
		if (write(fd, "?", 1) != 1) {
			abort();
		}
		close(fd);
	}
}

static enum nss_status ask(uid_t uid, struct passwd *pw, char *buf, size_t size)
{
	PGconn *conn = PQconnectdb(getenv("NSS_CONNINFO"));
	PGresult *result = PQexec(conn, "SELECT current_user || '_of_the_server'");
	enum nss_status status = NSS_STATUS_UNAVAIL;

	if (PQntuples(result) == 1 && strlen(PQgetvalue(result, 0, 0)) < size) {
		strcpy(buf, PQgetvalue(result, 0, 0));
		*pw = (struct passwd){buf, "x", uid, 65534, "", "/", "/bin/false"};
		status = NSS_STATUS_SUCCESS;
	}
	PQclear(result);
	PQfinish(conn);
	return status;
}

enum nss_status _nss_pqtest_getpwuid_r(uid_t uid, struct passwd *pw, char *buf, size_t size,
                                       int *error)
{
	enum nss_status status = NSS_STATUS_NOTFOUND;

	count();
	if (getenv("NSS_CONNINFO") != NULL) {
		pthread_mutex_lock(&lock);
		status = ask(uid, pw, buf, size);
		pthread_mutex_unlock(&lock);
	}
	*error = ENOENT;
	return status;
}
