/* SPDX-License-Identifier: PostgreSQL */
/*
 * changes variable|file NAME TEXT connect|poll: connects, and when libpq calls connect(2) or
 * poll(2) for the first time, another part of the program, to which its own function of that
 * name has switched, sets the variable or writes the file. Then it connects with that, and
 * twice more with what was there before. Prints what each session says of itself, or that there
 * is none.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plain.h"

static int is_file;
static const char *what;
static const char *text; /* NULL: it has been done */
static const char *when;
static char before[256];

static void change(const char *to)
{
	FILE *f;

	if (!is_file) {
		setenv(what, to, 1);
		return;
	}
	f = fopen(what, "w");
	if (f == NULL || fputs(to, f) < 0 || fclose(f) != 0) {
		exit(98);
	}
}

static void note_before(void)
{
	const char *value = is_file ? NULL : getenv(what);
	FILE *f = is_file ? fopen(what, "r") : NULL;

	if (value != NULL) {
		snprintf(before, sizeof(before), "%s", value);
	}
	if (f != NULL) {
		before[fread(before, 1, sizeof(before) - 1, f)] = '\0';
		fclose(f);
	}
}

static void come_by(const char *function)
{
	if (text != NULL && strcmp(function, when) == 0) {
		change(text);
		text = NULL;
	}
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	come_by("connect");
	return (int)syscall(SYS_connect, fd, address, len);
}

int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	const struct timespec timeout = {.tv_sec = timeout_ms / 1000,
	                                 .tv_nsec = timeout_ms % 1000 * 1000000L};

	come_by("poll");
	return (int)syscall(SYS_ppoll, fds, count, timeout_ms < 0 ? NULL : &timeout, NULL, 0);
}

static void use(void)
{
	PGconn *conn = PQconnectdb("");
	PGresult *result = PQexec(conn, "SELECT current_setting('application_name')");

	puts(PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : "no session");
	PQclear(result);
	PQfinish(conn);
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		return 97;
	}
	is_file = strcmp(argv[1], "file") == 0;
	what = argv[2];
	note_before();
	text = argv[3];
	when = argv[4];
	use();
	use();
	change(before);
	use();
	use();
	return 0;
}
