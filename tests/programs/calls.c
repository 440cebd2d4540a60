/* SPDX-License-Identifier: PostgreSQL */
/*
 * calls MODE: uses one part of libpq, three times over, each time on a connection of its
 * own, and prints what it sees. Nothing it prints differs from one connection to the next.
 */
#include "plain.h"

#include <libpq/libpq-fs.h>
#include <poll.h>
#include <signal.h>
#include <sys/time.h>

/* ---- statements -------------------------------------------------------------------- */

static void use_exec(void)
{
	PGconn *conn = open_database();
	const char *values[] = {"42", NULL};

	run(conn, "SELECT 1 AS one, 'two' AS two, NULL AS three");
	run(conn,
	    "CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1), (2); SELECT * FROM t");
	run(conn, "");
	show(PQexecParams(conn, "SELECT $1::int + 1 AS n, $2 AS nothing", 2, NULL, values, NULL,
	                  NULL, 0));
	run(conn, "SET application_name = 'calls'; SET TimeZone = 'Asia/Tokyo'");
	run(conn, "SELECT current_setting('application_name')");
	printf("%s %d\n", PQparameterStatus(conn, "TimeZone"), PQserverVersion(conn) > 0);
	PQfinish(conn);
	conn = open_database();
	run(conn, "SELECT current_setting('application_name'), to_regclass('t')");
	printf("%s\n", PQparameterStatus(conn, "TimeZone"));
	run(conn, "BEGIN");
	run(conn, "CREATE TABLE never (a int)");
	printf("transaction status %d\n", PQtransactionStatus(conn));
	PQfinish(conn);
}

static void use_prepared(void)
{
	PGconn *conn = open_database();
	const char *values[] = {"20", "22"};

	show(PQprepare(conn, "sum", "SELECT $1::int + $2::int AS sum", 2, NULL));
	show(PQexecPrepared(conn, "sum", 2, values, NULL, NULL, 0));
	show(PQdescribePrepared(conn, "sum"));
	run(conn, "SELECT name, statement FROM pg_prepared_statements");
	PQfinish(conn);
}

static void use_copy(void)
{
	PGconn *conn = open_database();
	char *line;

	run(conn, "CREATE TEMP TABLE fruit (name text, n int)");
	run(conn, "COPY fruit FROM STDIN");
	for (int i = 0; i < 3; i++) {
		char row[32];

		snprintf(row, sizeof(row), "apple%d\t%d\n", i, i);
		printf("put %d\n", PQputCopyData(conn, row, (int)strlen(row)));
	}
	printf("end %d\n", PQputCopyEnd(conn, NULL));
	show(PQgetResult(conn));
	show(PQgetResult(conn));
	run(conn, "COPY fruit TO STDOUT");
	while (PQgetCopyData(conn, &line, 0) > 0) {
		printf("got %s", line);
		PQfreemem(line);
	}
	show(PQgetResult(conn));
	show(PQgetResult(conn));
	PQfinish(conn);
	/* And one that is given up half-way. */
	conn = open_database();
	run(conn, "COPY (SELECT generate_series(1, 100000)) TO STDOUT");
	printf("got %d\n", PQgetCopyData(conn, &line, 0));
	PQfreemem(line);
	PQfinish(conn);
}

static void use_single_rows(void)
{
	PGconn *conn = open_database();
	PGresult *result;

	printf("send %d\n", PQsendQuery(conn, "SELECT generate_series(1, 3) AS n"));
	printf("mode %d\n", PQsetSingleRowMode(conn));
	while ((result = PQgetResult(conn)) != NULL) {
		show(result);
	}
	PQfinish(conn);
}

static void use_pipeline(void)
{
	PGconn *conn = open_database();

	printf("enter %d\n", PQenterPipelineMode(conn));
	for (int i = 0; i < 2; i++) {
		PQsendQueryParams(conn, "SELECT 7 AS n", 0, NULL, NULL, NULL, NULL, 0);
	}
	printf("sync %d\n", PQpipelineSync(conn));
	for (int i = 0; i < 2; i++) {
		show(PQgetResult(conn));
		show(PQgetResult(conn));
	}
	show(PQgetResult(conn));
	printf("exit %d\n", PQexitPipelineMode(conn));
	PQfinish(conn);
}

static void use_large_object(void)
{
	PGconn *conn = open_database();
	char buf[16] = "";
	Oid oid;
	int fd;

	run(conn, "BEGIN");
	oid = lo_creat(conn, INV_READ | INV_WRITE);
	fd = lo_open(conn, oid, INV_READ | INV_WRITE);
	printf("open %d\n", fd);
	printf("write %d\n", lo_write(conn, fd, "hello large", 11));
	printf("seek %d\n", lo_lseek(conn, fd, 6, SEEK_SET));
	printf("read %d", lo_read(conn, fd, buf, sizeof(buf) - 1));
	printf(" %s\n", buf);
	printf("close %d\n", lo_close(conn, fd));
	printf("unlink %d\n", lo_unlink(conn, oid));
	run(conn, "COMMIT");
	PQfinish(conn);
}

/* ---- what the server says of its own accord ------------------------------------------ */

static void print_notice(void *arg, const char *message)
{
	printf("[%s] %s", (const char *)arg, message);
}

static void use_notices(void)
{
	char name[] = "mine";
	PGconn *conn = open_database();

	run(conn, "DO $$ BEGIN RAISE NOTICE 'to stderr'; END $$");
	PQsetNoticeProcessor(conn, print_notice, name);
	run(conn, "DO $$ BEGIN RAISE WARNING 'to the processor'; END $$");
	run(conn, "ROLLBACK");
	/* The stack that this points to is gone before the connection is used again. */
	PQfinish(conn);
}

static void connect_in_notice(void *arg, const char *message)
{
	PGconn *other = open_database();

	printf("inner %d %s", ask(other, "SELECT 12"), message);
	PQfinish(other);
	*(int *)arg += 1;
}

static void use_connect_in_notice(void)
{
	int notices = 0;
	PGconn *conn = open_database();

	PQsetNoticeProcessor(conn, connect_in_notice, &notices);
	run(conn, "DO $$ BEGIN RAISE NOTICE 'a'; RAISE NOTICE 'b'; END $$");
	printf("%d notices\n", notices);
	PQfinish(conn);
}

static void use_notify(void)
{
	PGconn *hearer = open_database();
	PGconn *caller = open_database();
	PGnotify *notify;

	run(hearer, "LISTEN calls");
	run(caller, "NOTIFY calls, 'hello'");
	run(caller, "NOTIFY calls, 'unread'");
	run(hearer, "SELECT 1");
	notify = PQnotifies(hearer);
	printf("%s %s %d\n", notify->relname, notify->extra,
	       notify->be_pid == PQbackendPID(caller));
	PQfreemem(notify);
	PQfinish(hearer);
	run(caller, "NOTIFY calls, 'nobody listens'");
	PQfinish(caller);
	hearer = open_database();
	run(hearer, "SELECT 2");
	printf("notified %d\n", PQnotifies(hearer) != NULL);
	PQfinish(hearer);
}

/* ---- errors --------------------------------------------------------------------------- */

static void use_errors(void)
{
	PGconn *conn = open_database();

	printf("message <%s>\n", PQerrorMessage(conn));
	run(conn, "SELECT 1/0 FROM");
	run(conn, "SELECT 1/0");
	PQsetErrorVerbosity(conn, PQERRORS_TERSE);
	PQsetErrorContextVisibility(conn, PQSHOW_CONTEXT_ALWAYS);
	run(conn, "SELEC");
	printf("message %s", PQerrorMessage(conn));
	run(conn, "BEGIN");
	run(conn, "SELECT * FROM no_such_table");
	run(conn, "SELECT 1");
	printf("transaction status %d\n", PQtransactionStatus(conn));
	show(PQexecPrepared(conn, "not prepared", 0, NULL, NULL, NULL, 0));
	PQfinish(conn);
}

/* ---- connecting ------------------------------------------------------------------------- */

static void wait_for(PGconn *conn, PostgresPollingStatusType wanted)
{
	struct pollfd p = {.fd = PQsocket(conn),
	                   .events = wanted == PGRES_POLLING_READING ? POLLIN : POLLOUT};

	while (poll(&p, 1, -1) < 0) {
	}
}

static PostgresPollingStatusType drive(PGconn *conn,
                                       PostgresPollingStatusType (*step)(PGconn *))
{
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;

	while (status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
		wait_for(conn, status);
		status = step(conn);
	}
	return status;
}

static void use_async(void)
{
	PGconn *conn = PQconnectStart("application_name=async");

	printf("polled %d\n", drive(conn, PQconnectPoll));
	printf("status %d\n", PQstatus(conn));
	printf("nonblocking %d\n", PQsetnonblocking(conn, 1));
	printf("send %d\n", PQsendQuery(conn, "SELECT current_setting('application_name')"));
	while (PQflush(conn) > 0) {
		wait_for(conn, PGRES_POLLING_WRITING);
	}
	while (PQisBusy(conn)) {
		wait_for(conn, PGRES_POLLING_READING);
		PQconsumeInput(conn);
	}
	show(PQgetResult(conn));
	printf("more %d\n", PQgetResult(conn) != NULL);
	PQfinish(conn);
	/* And one that is given up on its way. */
	conn = PQconnectStart("");
	wait_for(conn, PGRES_POLLING_WRITING);
	PQconnectPoll(conn);
	PQfinish(conn);
}

static void use_ping(void)
{
	const char *const keywords[] = {"port", NULL};
	const char *const values[] = {"1", NULL};

	printf("%d %d %d\n", PQping(""), PQping("host=127.0.0.1 port=1"),
	       PQpingParams(keywords, values, 0));
	printf("%d\n", PQping("no conninfo"));
}

static void use_reset(void)
{
	PGconn *conn = open_database();
	int before = PQbackendPID(conn);

	run(conn, "SET application_name = 'before'");
	PQreset(conn);
	printf("status %d, another backend %d\n", PQstatus(conn), PQbackendPID(conn) != before);
	run(conn, "SELECT current_setting('application_name') AS name");
	before = PQbackendPID(conn);
	printf("start %d\n", PQresetStart(conn));
	printf("polled %d, ", drive(conn, PQresetPoll));
	printf("another backend %d\n", PQbackendPID(conn) != before);
	run(conn, "SELECT pg_terminate_backend(pg_backend_pid())");
	printf("status %d\n", PQstatus(conn));
	PQreset(conn);
	run(conn, "SELECT 3 AS three");
	PQfinish(conn);
}

/* ---- cancelling ----------------------------------------------------------------------- */

static PGcancel *volatile cancel;
static volatile sig_atomic_t cancelled;

static void cancel_query(int signum)
{
	char error[128];

	(void)signum;
	cancelled += PQcancel(cancel, error, sizeof(error));
}

/* Again and again, for the first may come before the query has begun. */
static void set_alarm(int every_ms)
{
	struct itimerval timer = {.it_interval.tv_usec = every_ms * 1000,
	                          .it_value.tv_usec = every_ms * 1000};

	setitimer(ITIMER_REAL, &timer, NULL);
}

static void use_cancel(void)
{
	struct sigaction action = {.sa_handler = cancel_query, .sa_flags = SA_RESTART};
	PGconn *conn = open_database();
	PGresult *result;

	cancel = PQgetCancel(conn);
	cancelled = 0;
	sigaction(SIGALRM, &action, NULL);
	set_alarm(50);
	result = PQexec(conn, "SELECT pg_sleep(60)");
	set_alarm(0);
	show(result);
	printf("cancelled %d\n", cancelled > 0);
	PQfreeCancel(cancel);
	run(conn, "SELECT 4 AS four");
	PQfinish(conn);
}

static const struct {
	const char *name;
	void (*use)(void);
} modes[] = {
	{"exec", use_exec},         {"prepared", use_prepared},
	{"copy", use_copy},         {"single_rows", use_single_rows},
	{"pipeline", use_pipeline}, {"large_object", use_large_object},
	{"notices", use_notices},   {"connect_in_notice", use_connect_in_notice},
	{"notify", use_notify},     {"errors", use_errors},
	{"async", use_async},       {"ping", use_ping},
	{"reset", use_reset},       {"cancel", use_cancel},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, argv[1]) == 0) {
			for (int round = 0; round < 3; round++) {
				modes[i].use();
			}
			return 7;
		}
	}
	return 64;
}
