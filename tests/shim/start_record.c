/* SPDX-License-Identifier: PostgreSQL */
/*
 * Records a connection's start and plays it into another one: libpq must find all as in the
 * real one. The server is named by the only argument, a connection string.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/select.h>
#include <unistd.h>

#include "base/fd.h"
#include "share/start_record.h"
#include "share/start_tape.h"

/* ---- what hooks/socket_calls.c does ---- */

#define NEXT(name) ((start_##name *)(uintptr_t)dlsym(RTLD_NEXT, #name))
#define FROM       __builtin_return_address(0)
#define SHOWN      __attribute__((visibility("default")))

static bool bound_past_us;

SHOWN int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	return start_tape != NULL && !bound_past_us
	               ? start_tape_connect(NEXT(connect), FROM, fd, address, len)
	               : NEXT(connect)(fd, address, len);
}

SHOWN ssize_t send(int fd, const void *bytes, size_t count, int flags)
{
	return start_tape != NULL ? start_tape_send(NEXT(send), FROM, fd, bytes, count, flags)
	                          : NEXT(send)(fd, bytes, count, flags);
}

SHOWN ssize_t recv(int fd, void *bytes, size_t count, int flags)
{
	return start_tape != NULL ? start_tape_recv(NEXT(recv), FROM, fd, bytes, count, flags)
	                          : NEXT(recv)(fd, bytes, count, flags);
}

/* ---- with a server ---- */

static const struct libpq *real;
static const char *conninfo;

static struct keeper_record *record_connection(PGconn **conn)
{
	struct start_tape *tape = start_tape_blank(real);
	struct keeper_record *record;

	assert_non_null(tape);
	start_tape = tape;
	*conn = real->PQconnectdb(conninfo);
	start_tape = NULL;
	if (real->PQstatus(*conn) != CONNECTION_OK) {
		fail_msg("%s", real->PQerrorMessage(*conn));
	}
	record = start_record_make(tape, real, *conn);
	start_tape_free(tape);
	return record;
}

/* Gives the connection back, but not the session. */
static int let_go(PGconn *conn)
{
	int server = fcntl(real->PQsocket(conn), F_DUPFD_CLOEXEC, 100);
	int dead = fd_dead_socket();

	assert_true(server >= 0);
	dup3(dead, real->PQsocket(conn), O_CLOEXEC);
	close(dead);
	real->PQfinish(conn);
	return server;
}

static const char *text(const char *value)
{
	return value != NULL ? value : "(none)";
}

/* What a program can ask of a connection, but for its descriptor. */
static void describe(PGconn *conn, char *to, size_t size)
{
	static const char *const parameters[] = {"server_version",
	                                         "server_encoding",
	                                         "client_encoding",
	                                         "is_superuser",
	                                         "session_authorization",
	                                         "DateStyle",
	                                         "IntervalStyle",
	                                         "TimeZone",
	                                         "integer_datetimes",
	                                         "standard_conforming_strings",
	                                         "application_name",
	                                         "in_hot_standby",
	                                         "default_transaction_read_only",
	                                         "scram_iterations",
	                                         "search_path"};
	int (*protocol)(const PGconn *conn);
	int (*full_protocol)(const PGconn *conn);
	int n = 0;

	*(void **)&protocol = dlsym(RTLD_DEFAULT, "PQprotocolVersion");
	*(void **)&full_protocol = dlsym(RTLD_DEFAULT, "PQfullProtocolVersion");
	n += snprintf(to + n, size - n, "%s %s %s %s %s %d %d %d %d %d '%s' %d\n",
	              text(PQdb(conn)), text(PQuser(conn)), text(PQhost(conn)),
	              text(PQport(conn)), text(PQoptions(conn)), PQserverVersion(conn),
	              PQbackendPID(conn), PQclientEncoding(conn),
	              PQconnectionNeedsPassword(conn), protocol(conn), PQerrorMessage(conn),
	              full_protocol != NULL ? full_protocol(conn) : 0);
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		n += snprintf(to + n, size - n, "%s=%s\n", parameters[i],
		              text(PQparameterStatus(conn, parameters[i])));
	}
	assert_in_range(n, 1, size - 1);
}

static void assert_selects(PGconn *conn, const char *statement, const char *value)
{
	PGresult *result = PQexec(conn, statement);

	assert_string_equal(PQresultErrorMessage(result), "");
	assert_string_equal(PQgetvalue(result, 0, 0), value);
	PQclear(result);
}

static void assert_cancels(PGconn *conn)
{
	PGcancel *cancel = PQgetCancel(conn);
	char error[256] = "";
	PGresult *result;

	assert_int_equal(PQsendQuery(conn, "SELECT pg_sleep(60)"), 1);
	/* A cancel that comes before the statement has no effect. */
	for (int i = 0; i < 600 && PQisBusy(conn); i++) {
		struct timeval pause = {.tv_usec = 100000};
		fd_set readable;

		assert_int_equal(PQcancel(cancel, error, sizeof(error)), 1);
		FD_ZERO(&readable);
		FD_SET(PQsocket(conn), &readable);
		select(PQsocket(conn) + 1, &readable, NULL, NULL, &pause);
		PQconsumeInput(conn);
	}
	result = PQgetResult(conn);
	assert_string_equal(PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
	PQclear(result);
	assert_null(PQgetResult(conn));
	PQfreeCancel(cancel);
}

/* An empty query is in flight, once. */
static void assert_ping(PGconn *conn)
{
	PGresult *result = PQgetResult(conn);

	assert_int_equal(PQresultStatus(result), PGRES_EMPTY_QUERY);
	PQclear(result);
	assert_null(PQgetResult(conn));
}

static void test_a_played_start_is_as_a_real_one(void **state)
{
	char before[2048];
	char after[2048];
	char pid[16];
	struct start_play play = {.ping = false};
	struct sockaddr_storage peer = {0};
	struct sockaddr_storage peer_after = {0};
	socklen_t len = sizeof(peer);
	PGconn *conn;
	struct keeper_record *record = record_connection(&conn);
	int server;

	(void)state;
	assert_non_null(record);
	describe(conn, before, sizeof(before));
	assert_int_equal(PQconnectionUsedPassword(conn), record->used_password);
	assert_int_equal(getpeername(PQsocket(conn), (struct sockaddr *)&peer, &len), 0);
	snprintf(pid, sizeof(pid), "%d", PQbackendPID(conn));
	server = let_go(conn);
	for (int i = 0; i < 3; i++) {
		play.ping = i == 2;
		conn = start_record_play(record, real, conninfo, server, &play);
		assert_non_null(conn);
		assert_int_equal(PQstatus(conn), CONNECTION_OK);
		if (play.ping) {
			assert_ping(conn);
		}
		describe(conn, after, sizeof(after));
		assert_string_equal(after, before);
		len = sizeof(peer_after);
		assert_int_equal(
			getpeername(PQsocket(conn), (struct sockaddr *)&peer_after, &len), 0);
		assert_memory_equal(&peer, &peer_after, sizeof(peer));
		assert_selects(conn, "SELECT pg_backend_pid()", pid);
		assert_cancels(conn);
		close(server);
		server = let_go(conn);
	}
	close(server);
	free(record);
}

/* Another startup packet, or another address: the session is not given away. */
static void test_another_start_is_not_played(void **state)
{
	PGconn *conn;
	struct keeper_record *record = record_connection(&conn);
	int server = let_go(conn);
	char other[1024];
	struct start_play play = {.ping = false};

	(void)state;
	snprintf(other, sizeof(other), "%s application_name=other", conninfo);
	assert_null(start_record_play(record, real, other, server, &play));
	snprintf(other, sizeof(other), "%s port=1", conninfo);
	assert_null(start_record_play(record, real, other, server, &play));
	assert_null(start_tape);
	close(server);
	free(record);
}

/* Then it begins a connection of its own, and the session is left as it was. */
static void test_a_libpq_that_is_bound_past_us(void **state)
{
	PGconn *conn;
	struct keeper_record *record = record_connection(&conn);
	int server = let_go(conn);
	struct start_play play = {.ping = false};

	(void)state;
	bound_past_us = true;
	assert_null(start_record_play(record, real, conninfo, server, &play));
	assert_false(play.met);
	bound_past_us = false;
	conn = start_record_play(record, real, conninfo, server, &play);
	assert_true(play.met);
	assert_int_equal(PQstatus(conn), CONNECTION_OK);
	assert_selects(conn, "SELECT 1", "1");
	PQfinish(conn);
	close(server);
	free(record);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_played_start_is_as_a_real_one),
		cmocka_unit_test(test_another_start_is_not_played),
		cmocka_unit_test(test_a_libpq_that_is_bound_past_us),
	};
	Dl_info info;
	void *map;

	if (argc != 2 ||
	    dladdr1((void *)(uintptr_t)PQlibVersion, &info, &map, RTLD_DL_LINKMAP) == 0 ||
	    (real = libpq_at(map)) == NULL) {
		return 2;
	}
	conninfo = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
