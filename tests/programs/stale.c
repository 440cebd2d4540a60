/* SPDX-License-Identifier: PostgreSQL */
/*
 * stale MODE: goes on using a connection that it has finished, which no program should.
 *
 *   use     everything that sends or reads, after a finish
 *   twice   finishes a second time
 *   steps   no misuse: connects in steps, which may lead to a connection finished before
 */
#include <libpq-events.h>
#include <stdbool.h>

#include "plain.h"

static int watch(PGEventId id, void *info, void *arg)
{
	(void)id;
	(void)info;
	(void)arg;
	return 1;
}

static void receive(void *arg, const PGresult *result)
{
	(void)arg;
	printf("received %s", PQresultErrorMessage(result));
}

static void process(void *arg, const char *message)
{
	(void)arg;
	printf("processed %s", message);
}

__attribute__((noinline)) static void finish_here(PGconn *conn)
{
	PQfinish(conn);
	printf("finished\n");
}

__attribute__((noinline)) static void use_here(PGconn *conn)
{
	PGresult *result = PQexec(conn, "CREATE TABLE never (a int)");

	printf("PQexec %s\n", result == NULL ? "NULL" : "a result");
}

static void use_all(PGconn *conn)
{
	char *buffer = NULL;
	int number;

	use_here(conn);
	printf("PQexecParams %d\n",
	       PQexecParams(conn, "SELECT 1", 0, NULL, NULL, NULL, NULL, 0) != NULL);
	printf("PQprepare %d\n", PQprepare(conn, "p", "SELECT 1", 0, NULL) != NULL);
	printf("PQexecPrepared %d\n",
	       PQexecPrepared(conn, "p", 0, NULL, NULL, NULL, 0) != NULL);
	printf("PQdescribePrepared %d\n", PQdescribePrepared(conn, "p") != NULL);
	printf("PQdescribePortal %d\n", PQdescribePortal(conn, "p") != NULL);
	printf("PQfn %d\n", PQfn(conn, 1598, &number, &number, 1, NULL, 0) != NULL);
	printf("PQsendQuery %d\n", PQsendQuery(conn, "SELECT 1"));
	printf("PQsendQueryParams %d\n",
	       PQsendQueryParams(conn, "SELECT 1", 0, NULL, NULL, NULL, NULL, 0));
	printf("PQsendPrepare %d\n", PQsendPrepare(conn, "p", "SELECT 1", 0, NULL));
	printf("PQsendQueryPrepared %d\n",
	       PQsendQueryPrepared(conn, "p", 0, NULL, NULL, NULL, 0));
	printf("PQsendDescribePrepared %d\n", PQsendDescribePrepared(conn, "p"));
	printf("PQsendDescribePortal %d\n", PQsendDescribePortal(conn, "p"));
	printf("PQpipelineSync %d\n", PQpipelineSync(conn));
	printf("PQsendFlushRequest %d\n", PQsendFlushRequest(conn));
	printf("PQflush %d\n", PQflush(conn));
	printf("PQputCopyData %d\n", PQputCopyData(conn, "x", 1));
	printf("PQputCopyEnd %d\n", PQputCopyEnd(conn, NULL));
	printf("PQgetCopyData %d\n", PQgetCopyData(conn, &buffer, 1));
	printf("PQconsumeInput %d\n", PQconsumeInput(conn));
	printf("PQisBusy %d\n", PQisBusy(conn));
	printf("PQgetResult %d\n", PQgetResult(conn) != NULL);
	printf("PQnotifies %d\n", PQnotifies(conn) != NULL);
	printf("PQsetClientEncoding %d\n", PQsetClientEncoding(conn, "LATIN1"));
	printf("lo_creat %d\n", (int)lo_creat(conn, 0));
	printf("PQgetCancel %d\n", PQgetCancel(conn) != NULL);
	PQsetNoticeReceiver(conn, receive, NULL);
	PQsetNoticeProcessor(conn, process, NULL);
	printf("PQregisterEventProc %d\n", PQregisterEventProc(conn, watch, "stale", NULL));
	PQtrace(conn, stdout);
	printf("PQresetStart %d\n", PQresetStart(conn));
	printf("PQresetPoll %d\n", PQresetPoll(conn) != PGRES_POLLING_FAILED);
	PQreset(conn);
}

/* What a connection after it is like. */
static void look_around(void)
{
	PGconn *conn = open_database();

	run(conn, "SELECT current_setting('client_encoding') AS encoding");
	run(conn, "SELECT to_regclass('never') AS never");
	run(conn, "DO $$ BEGIN RAISE NOTICE 'noticed'; END $$");
	PQfinish(conn);
}

static void misuse(void)
{
	PGconn *conn = open_database();

	finish_here(conn);
	use_all(conn);
	look_around();
}

static void finish_twice(void)
{
	PGconn *conn = open_database();

	finish_here(conn);
	finish_here(conn);
	look_around();
}

/* Asks what may be asked of a connection that is being made. */
static void connect_in_steps(bool registers)
{
	PGconn *conn = PQconnectStart("");

	printf("flush %d\n", PQflush(conn));
	PQsetNoticeProcessor(conn, process, NULL);
	if (registers) {
		PQregisterEventProc(conn, watch, "watch", NULL);
	}
	while (PQconnectPoll(conn) != PGRES_POLLING_OK) {
		if (PQstatus(conn) == CONNECTION_BAD) {
			die("steps", conn);
		}
	}
	run(conn, "DO $$ BEGIN RAISE NOTICE 'noticed'; END $$");
	PQfinish(conn);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	setbuf(stdout, NULL);
	if (strcmp(mode, "use") == 0) {
		misuse();
	} else if (strcmp(mode, "twice") == 0) {
		finish_twice();
	} else if (strcmp(mode, "steps") == 0) {
		PQfinish(open_database());
		connect_in_steps(false);
		connect_in_steps(true);
		connect_in_steps(false);
	}
	return 0;
}
