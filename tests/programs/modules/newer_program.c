/* SPDX-License-Identifier: PostgreSQL */
/*
 * newer_program use|stale|rows|cancel|cancel_after|cancel_under_way|cancel_given_up|password: a
 * program for libpq 17.
 */
#include "../plain.h"

#include <poll.h>

PGresult *PQclosePrepared(PGconn *conn, const char *stmt);
PGresult *PQclosePortal(PGconn *conn, const char *portal);
int PQsendClosePrepared(PGconn *conn, const char *stmt);
int PQsendClosePortal(PGconn *conn, const char *portal);
int PQsendPipelineSync(PGconn *conn);
PGresult *PQchangePassword(PGconn *conn, const char *user, const char *passwd);
int PQsetChunkedRowsMode(PGconn *conn, int chunkSize);
struct pg_cancel_conn *PQcancelCreate(PGconn *conn);
int PQcancelStart(struct pg_cancel_conn *cancel);
int PQcancelBlocking(struct pg_cancel_conn *cancel);
PostgresPollingStatusType PQcancelPoll(struct pg_cancel_conn *cancel);
ConnStatusType PQcancelStatus(const struct pg_cancel_conn *cancel);
int PQcancelSocket(const struct pg_cancel_conn *cancel);
char *PQcancelErrorMessage(const struct pg_cancel_conn *cancel);
void PQcancelReset(struct pg_cancel_conn *cancel);
void PQcancelFinish(struct pg_cancel_conn *cancel);

static void drain(PGconn *conn)
{
	PGresult *result;

	while ((result = PQgetResult(conn)) != NULL) {
		show(result);
	}
}

static void use_once(void)
{
	PGconn *conn = open_database();

	PQclear(PQprepare(conn, "one", "SELECT 1", 0, NULL));
	PQclear(PQprepare(conn, "two", "SELECT 2", 0, NULL));
	show(PQclosePrepared(conn, "one"));
	printf("%d\n", PQsendClosePrepared(conn, "two"));
	drain(conn);
	run(conn, "BEGIN");
	run(conn, "DECLARE three CURSOR FOR SELECT 3");
	run(conn, "DECLARE four CURSOR FOR SELECT 4");
	show(PQclosePortal(conn, "three"));
	printf("%d\n", PQsendClosePortal(conn, "four"));
	drain(conn);
	PQfinish(conn);
}

static void use(void)
{
	use_once();
	use_once();
}

/* What it has finished may be somebody else's by now. */
static void use_stale(void)
{
	PGconn *conn = open_database();

	PQfinish(conn);
	printf("%d %d %d %d %d %d\n", PQclosePrepared(conn, "one") != NULL,
	       PQsendClosePrepared(conn, "one"), PQclosePortal(conn, "one") != NULL,
	       PQsendClosePortal(conn, "one"), PQsendPipelineSync(conn),
	       PQcancelCreate(conn) != NULL);
}

/* Nothing of it is left for who comes after. */
static void use_rows(void)
{
	PGconn *conn = open_database();

	PQsendQuery(conn, "SELECT generate_series(1, 3)");
	printf("%d\n", PQsetChunkedRowsMode(conn, 2));
	drain(conn);
	PQfinish(conn);
	conn = open_database();
	run(conn, "SELECT generate_series(1, 3)");
	PQsendQuery(conn, "SELECT generate_series(1, 3)");
	printf("%d\n", PQsetChunkedRowsMode(conn, 2));
	PQclear(PQgetResult(conn));
	PQfinish(conn);
	conn = open_database();
	run(conn, "SELECT generate_series(1, 3)");
	PQfinish(conn);
}

/* ---- cancelling ------------------------------------------------------------------------ */

/* As libpq's documentation has it. Says how it went. */
static void cancel_in_steps(struct pg_cancel_conn *cancel)
{
	PostgresPollingStatusType wants = PGRES_POLLING_WRITING;

	printf("started %d\n", PQcancelStart(cancel));
	printf("status %d\n", PQcancelStatus(cancel) == CONNECTION_MADE);
	while (wants != PGRES_POLLING_OK && wants != PGRES_POLLING_FAILED) {
		struct pollfd p = {.fd = PQcancelSocket(cancel),
		                   .events = wants == PGRES_POLLING_READING ? POLLIN : POLLOUT};

		if (poll(&p, 1, 10000) != 1 || (p.revents & POLLNVAL)) {
			printf("no socket that would become ready\n");
			break;
		}
		wants = PQcancelPoll(cancel);
	}
	printf("%d, status %d, %s\n", wants == PGRES_POLLING_OK, PQcancelStatus(cancel),
	       PQcancelErrorMessage(cancel));
}

static void cancel_at_once(struct pg_cancel_conn *cancel)
{
	printf("%d\n", PQcancelBlocking(cancel));
	printf("status %d, %s\n", PQcancelStatus(cancel), PQcancelErrorMessage(cancel));
}

static int begun;

static void note_begin(void *arg, const char *message)
{
	(void)arg;
	(void)message;
	begun = 1;
}

/* A request that comes before the query does nothing. Where it meets it is left to chance. */
static void send_query(PGconn *conn, const char *query)
{
	struct pollfd p = {.fd = PQsocket(conn), .events = POLLIN};

	begun = 0;
	PQsetNoticeProcessor(conn, note_begin, NULL);
	PQsetErrorContextVisibility(conn, PQSHOW_CONTEXT_NEVER);
	PQsendQuery(conn, query);
	while (!begun && poll(&p, 1, 10000) == 1 && PQconsumeInput(conn) && PQisBusy(conn)) {
	}
}

static void try_both_ways(struct pg_cancel_conn *cancel, PGconn *conn, const char *query)
{
	send_query(conn, query);
	cancel_at_once(cancel);
	drain(conn);
	PQcancelReset(cancel);
	send_query(conn, query);
	cancel_in_steps(cancel);
	drain(conn);
}

static void use_cancel(void)
{
	PGconn *conn = open_database();
	struct pg_cancel_conn *cancel = PQcancelCreate(conn);

	try_both_ways(cancel, conn,
	              "DO 'BEGIN RAISE NOTICE $$begun$$;"
	              " PERFORM pg_sleep(60); END'");
	PQcancelFinish(cancel);
	PQfinish(conn);
	PQfinish(open_database());
}

/* Of a connection that was finished, and whose session is another's by then. */
static void use_cancel_after(void)
{
	PGconn *conn = open_database();
	struct pg_cancel_conn *cancel = PQcancelCreate(conn);

	PQfinish(conn);
	conn = open_database();
	try_both_ways(cancel, conn,
	              "DO 'BEGIN RAISE NOTICE $$begun$$;"
	              " PERFORM pg_sleep(0.2); END'");
	printf("once more %d\n", PQcancelStart(cancel));
	printf("bad %d\n", PQcancelStatus(cancel) == CONNECTION_BAD);
	printf("failed %d\n", PQcancelPoll(cancel) == PGRES_POLLING_FAILED);
	printf("said why %d\n", PQcancelErrorMessage(cancel)[0] != '\0');
	printf("and again %d\n", PQcancelBlocking(cancel));
	PQcancelReset(cancel);
	cancel_in_steps(cancel);
	PQcancelFinish(cancel);
	PQfinish(conn);
}

/* It goes on when the connection is finished, and may reach the server any time. */
static void use_cancel_under_way(void)
{
	PGconn *conn = open_database();
	struct pg_cancel_conn *cancel = PQcancelCreate(conn);

	printf("%d\n", PQcancelStart(cancel));
	PQfinish(conn);
	while (PQcancelPoll(cancel) != PGRES_POLLING_OK) {
	}
	PQcancelFinish(cancel);
}

static void use_cancel_given_up(void)
{
	PGconn *conn = open_database();
	struct pg_cancel_conn *cancel = PQcancelCreate(conn);

	printf("%d\n", PQcancelStart(cancel));
	PQcancelFinish(cancel);
	PQfinish(conn);
}

/* ---------------------------------------------------------------------------------------- */

static void change_password(void)
{
	PGconn *idle = open_database();
	PGconn *conn = open_database();

	PQfinish(idle);
	show(PQchangePassword(conn, "app", "secret"));
	PQfinish(conn);
}

static const struct {
	const char *name;
	void (*use)(void);
} modes[] = {
	{"use", use},
	{"stale", use_stale},
	{"rows", use_rows},
	{"cancel", use_cancel},
	{"cancel_after", use_cancel_after},
	{"cancel_under_way", use_cancel_under_way},
	{"cancel_given_up", use_cancel_given_up},
	{"password", change_password},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, argv[1]) == 0) {
			modes[i].use();
			return 0;
		}
	}
	return 64;
}
