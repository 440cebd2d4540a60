/* SPDX-License-Identifier: PostgreSQL */
/* newer_program use|stale|cancel|password: a program for libpq 17. */
#include "../plain.h"

PGresult *PQclosePrepared(PGconn *conn, const char *stmt);
PGresult *PQclosePortal(PGconn *conn, const char *portal);
int PQsendClosePrepared(PGconn *conn, const char *stmt);
int PQsendClosePortal(PGconn *conn, const char *portal);
int PQsendPipelineSync(PGconn *conn);
PGresult *PQchangePassword(PGconn *conn, const char *user, const char *passwd);
struct pg_cancel_conn *PQcancelCreate(PGconn *conn);
int PQcancelBlocking(struct pg_cancel_conn *cancel);
void PQcancelFinish(struct pg_cancel_conn *cancel);

static void drain(PGconn *conn)
{
	PGresult *result;

	while ((result = PQgetResult(conn)) != NULL) {
		show(result);
	}
}

static void use(void)
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

static void use_cancel(void)
{
	PGconn *conn = open_database();
	struct pg_cancel_conn *cancel = PQcancelCreate(conn);

	PQfinish(conn);
	conn = open_database();
	PQsendQuery(conn, "SELECT pg_sleep(0.5), 'finished'");
	printf("%d\n", PQcancelBlocking(cancel));
	drain(conn);
	PQcancelFinish(cancel);
	PQfinish(conn);
}

static void change_password(void)
{
	PGconn *idle = open_database();
	PGconn *conn = open_database();

	PQfinish(idle);
	show(PQchangePassword(conn, "app", "secret"));
	PQfinish(conn);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "stale") == 0) {
		use_stale();
	} else if (argc > 1 && strcmp(argv[1], "cancel") == 0) {
		use_cancel();
	} else if (argc > 1 && strcmp(argv[1], "password") == 0) {
		change_password();
	} else {
		use();
		use();
	}
	return 0;
}
