/* SPDX-License-Identifier: PostgreSQL */
/*
 * soak WAY SEED [NAME]: leases of six identities, one after the other, until SIGTERM. Each
 * looks for what others have left in its session, leaves secrets of its own and misbehaves now
 * and then.
 *
 * WAY: threads     six threads, by PQconnectdb
 *      steps       two threads, by PQconnectStart
 *      forks       children of 300 leases each
 *      coroutines  four of one thread, which switch between any two of their calls
 * NAME: begins the application_names; without it the process id, so that no other process has
 * them.
 *
 * Prints at the end, of all its threads and children: leases, failed connects that a server
 * that is away explains, those that nothing explains, leases that the server ended, wrong
 * answers, foreign state, foreign cancels. What should not be is a line on stderr at once, too.
 * This long because each program here is one file.
 */
#include "plain.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define CHILD_LEASES 300
#define COROUTINES   4
#define STACK_BYTES  (256 * 1024)

enum count { LEASES, FAILED, REFUSED, ENDED, WRONG, FOREIGN, CANCELLED, COUNTS };
static const char *const count_names[COUNTS] = {"leases", "failed",  "refused",  "ended",
                                                "wrong",  "foreign", "cancelled"};

/* What makes sessions differ. */
static const struct identity {
	const char *user, *database, *options, *work_mem, *seqscan, *path;
} identities[] = {
	{"app", "app", "", "4MB", "on", "\"$user\", public"},
	{"other", "app", "", "4MB", "on", "\"$user\", public"},
	{"app", "second", "", "4MB", "on", "\"$user\", public"},
	{"app", "app", "-c enable_seqscan=off", "4MB", "off", "\"$user\", public"},
	{"app", "app", "-c search_path=pg_catalog", "4MB", "on", "pg_catalog"},
	{"other", "second", "-c work_mem=8MB", "8MB", "on", "\"$user\", public"},
};
#define IDENTITIES (sizeof(identities) / sizeof(identities[0]))

struct worker {
	unsigned long long random;
	long number;  /* of its lease */
	int in_steps; /* how it connects */
	int keeps;    /* whether it finishes some later */
	PGconn *kept;
	int cancels; /* whether this lease has asked for it */
	ucontext_t context;
	int done;
};

static atomic_long *counts; /* shared with children */
static volatile sig_atomic_t ending;
static char name[64];
static ucontext_t main_context;
static struct worker *running; /* as a coroutine */

/* ---- what a worker does all the time --------------------------------------------------- */

static void count(enum count what)
{
	atomic_fetch_add(&counts[what], 1);
}

static void amiss(enum count what, const char *where, const char *got, const char *expected)
{
	count(what);
	fprintf(stderr, "soak: %s: %s: \"%s\", not \"%s\"\n", count_names[what], where, got,
	        expected);
}

static unsigned below(struct worker *self, unsigned limit)
{
	self->random = self->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(self->random >> 33) % limit;
}

/* Lets the other coroutines go on. */
static void yield(void)
{
	struct worker *self = running;

	if (self != NULL) {
		running = NULL;
		swapcontext(&self->context, &main_context);
	}
}

/*
 * After a statement that failed. A connection whose server has crashed libpq calls good, since
 * 14, until it fails once more.
 */
static int is_open(PGconn *conn, int ask)
{
	if (ask && PQstatus(conn) == CONNECTION_OK) {
		PQclear(PQexec(conn, ""));
	}
	return PQstatus(conn) == CONNECTION_OK;
}

/* True: as it should be. False: the server or the network has ended the session, or this lease
 * has cancelled. */
static int came(struct worker *self, PGconn *conn, const PGresult *result, const char *what)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	switch (PQresultStatus(result)) {
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
		return 1;
	default:
		if (state != NULL && strcmp(state, "57014") == 0) {
			if (!self->cancels) {
				amiss(CANCELLED, what, PQresultErrorMessage(result),
				      "an answer");
			}
		} else if ((state == NULL || strncmp(state, "57P0", 4) != 0) &&
		           is_open(conn, state == NULL)) {
			amiss(WRONG, what, PQresultErrorMessage(result), "success");
		}
		return 0;
	}
}

static int do_all(struct worker *self, PGconn *conn, const char *statements)
{
	PGresult *result = PQexec(conn, statements);
	int done = came(self, conn, result, statements);

	PQclear(result);
	yield();
	return done;
}

/* ---- connecting -------------------------------------------------------------------------- */

/* Whether the server was away, or was just taken away, or has another password. */
static int is_explained(const char *message)
{
	static const char *const known[] = {"terminating connection",
	                                    "database system is",
	                                    "server closed the connection",
	                                    "could not receive",
	                                    "could not send",
	                                    "Connection refused",
	                                    "No such file",
	                                    "SSL SYSCALL",
	                                    "Connection reset",
	                                    "password authentication failed",
	                                    "SSL connection has been closed",
	                                    "SSL error: unexpected eof",
	                                    "Broken pipe",
	                                    "crash of another server process",
	                                    "server is silent",
	                                    "timeout expired"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strstr(message, known[i]) != NULL) {
			return 1;
		}
	}
	return 0;
}

static PGconn *take(struct worker *self, unsigned which)
{
	const struct identity *who = &identities[which];
	char conninfo[512];
	PGconn *conn;

	snprintf(conninfo, sizeof(conninfo),
	         "user=%s dbname=%s application_name=%s.%u options='%s'", who->user,
	         who->database, name, which, who->options);
	conn = self->in_steps ? open_in_steps(conninfo) : PQconnectdb(conninfo);
	yield();
	if (PQstatus(conn) == CONNECTION_OK) {
		return conn;
	}
	if (is_explained(PQerrorMessage(conn))) {
		count(FAILED);
	} else {
		amiss(REFUSED, "connect", PQerrorMessage(conn), "a connection");
	}
	PQfinish(conn);
	usleep(10000); /* sleeps because nothing tells when the server is there */
	return NULL;
}

/* ---- a lease ----------------------------------------------------------------------------- */

/*
 * Looks for what others left, and leaves a secret: as the search path, which any text may be.
 * (A setting of the program's own would be forgotten by no reset, so that each lease had a
 * session of its own.) With `closely` also where looking is dear.
 */
static int look(struct worker *self, PGconn *conn, unsigned which, const char *secret,
                int closely)
{
	const struct identity *who = &identities[which];
	char statement[1500], application[80];
	PGresult *result;
	int done;
	const char *expected[] = {secret,      "",        who->work_mem, who->seqscan,
	                          who->path,   who->user, who->user,     who->database,
	                          application, "",        "0",           "0",
	                          "0",         "",        "0",           secret};

	snprintf(application, sizeof(application), "%s.%u", name, which);
	snprintf(statement, sizeof(statement),
	         "SELECT '%s' AS answer, current_setting('soak.of', true) AS secret,"
	         " current_setting('work_mem') AS work_mem,"
	         " current_setting('enable_seqscan') AS seqscan,"
	         " current_setting('search_path') AS search_path, current_user AS role,"
	         " session_user AS session_role, current_database() AS database,"
	         " current_setting('application_name') AS application,"
	         " to_regclass('pg_temp.soak') AS temp_table,"
	         " (SELECT count(*) FROM pg_prepared_statements) AS prepared,"
	         " (SELECT count(*) FROM pg_cursors WHERE name <> '') AS cursors,"
	         " (SELECT count(*) FROM pg_listening_channels()) AS channels,"
	         " txid_current_if_assigned() AS transaction, %s AS locks,"
	         " set_config('search_path', '%s', false) AS planted, pg_backend_pid() AS "
	         "backend",
	         secret,
	         closely ? "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
	                   " AND pid = pg_backend_pid())"
	                 : "0",
	         secret);
	result = PQexec(conn, statement);
	done = came(self, conn, result, "look");
	for (int i = 0; done && i < (int)(sizeof(expected) / sizeof(expected[0])); i++) {
		if (strcmp(PQgetvalue(result, 0, i), expected[i]) != 0) {
			amiss(i == 0 ? WRONG : FOREIGN, PQfname(result, i),
			      PQgetvalue(result, 0, i), expected[i]);
		}
	}
	if (done &&
	    atoi(PQgetvalue(result, 0, PQfnumber(result, "backend"))) != PQbackendPID(conn)) {
		amiss(WRONG, "PQbackendPID",
		      PQgetvalue(result, 0, PQfnumber(result, "backend")),
		      "that of the session");
	}
	PQclear(result);
	yield();
	return done;
}

/* The part of it that is cheap: the secret, and whose session this is. */
static int glance(struct worker *self, PGconn *conn, unsigned which, const char *secret)
{
	const char *path = identities[which].path;
	char statement[300];
	PGresult *result;
	int done;

	snprintf(statement, sizeof(statement),
	         "SELECT current_setting('search_path'), pg_backend_pid(),"
	         " set_config('search_path', '%s', false)",
	         secret);
	result = PQexec(conn, statement);
	done = came(self, conn, result, "glance");
	if (done && strcmp(PQgetvalue(result, 0, 0), path) != 0) {
		amiss(FOREIGN, "secret", PQgetvalue(result, 0, 0), path);
	}
	if (done && (atoi(PQgetvalue(result, 0, 1)) != PQbackendPID(conn) ||
	             strcmp(PQgetvalue(result, 0, 2), secret) != 0)) {
		amiss(WRONG, "glance", PQgetvalue(result, 0, 2), secret);
	}
	PQclear(result);
	yield();
	return done;
}

/* Its own secret is still there. */
static void look_again(struct worker *self, PGconn *conn, const char *secret)
{
	const char *values[] = {secret};
	PGresult *result = PQexecParams(conn, "SELECT $1::text, current_setting('search_path')",
	                                1, NULL, values, NULL, NULL, 0);

	if (came(self, conn, result, "look again") &&
	    (strcmp(PQgetvalue(result, 0, 0), secret) != 0 ||
	     strcmp(PQgetvalue(result, 0, 1), secret) != 0)) {
		amiss(WRONG, "look again", PQgetvalue(result, 0, 1), secret);
	}
	PQclear(result);
	yield();
}

static void dirty(struct worker *self, PGconn *conn, unsigned kind)
{
	static const char *const statements[] = {
		"CREATE TEMP TABLE soak AS SELECT 1 AS x",
		"PREPARE soak AS SELECT 1",
		"SET work_mem = '1234kB'; SET enable_seqscan = off; SET search_path = soak",
		"SET ROLE common; SET soak.of = 'others'",
		"SELECT pg_advisory_lock_shared(7)",
		"LISTEN soak; NOTIFY soak",
		"BEGIN; DECLARE soak CURSOR WITH HOLD FOR SELECT generate_series(1, 9); COMMIT",
		"SET application_name = 'soak'; SET SESSION CHARACTERISTICS AS TRANSACTION "
		"READ ONLY",
		"BEGIN; CREATE TEMP TABLE soak (x int)",
		"BEGIN; SELECT txid_current(); DECLARE soak CURSOR FOR SELECT "
		"generate_series(1, 9)",
	};

	do_all(self, conn, statements[kind % (sizeof(statements) / sizeof(statements[0]))]);
}

/* What it does last before it finishes; a cancel object that it uses afterwards, or NULL. */
static PGcancel *misbehave(struct worker *self, PGconn *conn, unsigned kind)
{
	PGcancel *cancel = NULL;
	char why[256];

	switch (kind) {
	case 0: /* a COPY that goes on */
		PQclear(PQexec(conn, "CREATE TEMP TABLE soak (x text)"));
		PQclear(PQexec(conn, "COPY soak FROM STDIN"));
		PQputCopyData(conn, "one\ntwo", 7);
		break;
	case 1:
		PQclear(PQexec(conn, "COPY (SELECT generate_series(1, 5000)) TO STDOUT"));
		break;
	case 2: /* results that nobody reads */
		PQsendQuery(conn, "SELECT generate_series(1, 3000); SELECT 2");
		break;
	case 3:
		PQsendQuery(conn, "SELECT pg_sleep(0.02)");
		break;
	case 4:
		if (has_pipelines() && PQenterPipelineMode(conn)) {
			PQsendQueryParams(conn, "SELECT 1", 0, NULL, NULL, NULL, NULL, 0);
			PQsendQueryParams(conn, "SELECT 1 / 0", 0, NULL, NULL, NULL, NULL, 0);
			PQpipelineSync(conn);
		}
		break;
	case 5: /* a cancel that may come during the next statement */
		self->cancels = 1;
		cancel = PQgetCancel(conn);
		PQsendQuery(conn, "SELECT pg_sleep(0.01)");
		PQcancel(cancel, why, sizeof(why));
		break;
	case 6:
	case 7:
		cancel = PQgetCancel(conn);
		break;
	case 8: /* a failed transaction */
		PQclear(PQexec(conn, "BEGIN; SELECT 1 / 0"));
		break;
	default:
		PQsetnonblocking(conn, 1);
		PQsendQuery(conn, "SELECT 1");
	}
	return cancel;
}

static void lease(struct worker *self)
{
	unsigned which = below(self, IDENTITIES), kind = below(self, 32);
	PGcancel *cancel = NULL;
	char secret[80], why[256];
	PGconn *conn = take(self, which);

	if (conn == NULL) {
		return;
	}
	self->cancels = 0;
	snprintf(secret, sizeof(secret), "%d.%p.%ld", (int)getpid(), (void *)self,
	         ++self->number);
	count(LEASES);
	if (kind == 31) {
		; /* sends nothing */
	} else if (!(kind < 8 ? look(self, conn, which, secret, kind == 0)
	                      : glance(self, conn, which, secret))) {
		count(ENDED);
	} else if (kind < 3) {
		look_again(self, conn, secret);
		dirty(self, conn, below(self, 10));
	} else if (kind < 5) {
		cancel = misbehave(self, conn, below(self, 10));
		yield();
	} else if (kind == 5 && self->keeps && self->kept == NULL) {
		self->kept = conn;
		return;
	}
	PQfinish(conn);
	yield();
	if (cancel !=
	    NULL) { /* it has no session any more, and must not reach the next one's */
		PQcancel(cancel, why, sizeof(why));
		PQfreeCancel(cancel);
	}
	if (self->kept != NULL && below(self, 50) == 0) {
		PQfinish(self->kept);
		self->kept = NULL;
	}
}

/* ---- ways ----------------------------------------------------------------------------------
 */

static void name_after_process(void)
{
	snprintf(name, sizeof(name), "soak.%d", (int)getpid());
}

static void end(int number)
{
	(void)number;
	ending = 1;
}

static void *work(void *worker)
{
	struct worker *self = worker;

	while (!ending) {
		lease(self);
	}
	PQfinish(self->kept);
	return NULL;
}

static void work_as_coroutine(void)
{
	struct worker *self = running;

	work(self);
	self->done = 1;
	for (;;) {
		yield();
	}
}

static void run_threads(struct worker *workers, int n)
{
	pthread_t threads[8];

	for (int i = 0; i < n; i++) {
		if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0) {
			exit(98);
		}
	}
	for (int i = 0; i < n; i++) {
		pthread_join(threads[i], NULL);
	}
}

static void run_coroutines(struct worker *workers)
{
	int left = COROUTINES;

	for (int i = 0; i < COROUTINES; i++) {
		getcontext(&workers[i].context);
		workers[i].context.uc_stack.ss_sp = malloc(STACK_BYTES);
		workers[i].context.uc_stack.ss_size = STACK_BYTES;
		makecontext(&workers[i].context, work_as_coroutine, 0);
	}
	while (left > 0) {
		left = 0;
		for (int i = 0; i < COROUTINES; i++) {
			if (!workers[i].done) {
				running = &workers[i];
				swapcontext(&main_context, &workers[i].context);
				left += !workers[i].done;
			}
		}
	}
}

static void run_forks(struct worker *self, int named)
{
	while (!ending) {
		pid_t child;

		lease(self); /* its session the child must not get */
		child = fork();
		if (child == 0) {
			if (!named) {
				name_after_process();
			}
			for (int i = 0; i < CHILD_LEASES && !ending; i++) {
				lease(self);
			}
			exit(0);
		}
		while (child > 0 && waitpid(child, NULL, 0) < 0) {
			if (ending) {
				kill(child, SIGTERM);
			}
		}
	}
}

int main(int argc, char **argv)
{
	struct sigaction on_end = {.sa_handler = end};
	struct worker *workers = calloc(8, sizeof(*workers));

	if (argc < 3) {
		return 2;
	}
	counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigaction(SIGTERM, &on_end, NULL);
	if (argc > 3) {
		snprintf(name, sizeof(name), "%s", argv[3]);
	} else {
		name_after_process();
	}
	for (int i = 0; i < 8; i++) {
		workers[i].random = (unsigned long long)atoll(argv[2]) * 8 + (unsigned)i;
		workers[i].in_steps = argv[1][0] == 's';
		workers[i].keeps = i == 0 && argv[1][0] == 't';
	}
	switch (argv[1][0]) {
	case 't':
		run_threads(workers, 6);
		break;
	case 's':
		run_threads(workers, 2);
		break;
	case 'c':
		run_coroutines(workers);
		break;
	default:
		run_forks(workers, argc > 3);
	}
	for (int i = 0; i < COUNTS; i++) {
		printf("%s=%ld ", count_names[i], atomic_load(&counts[i]));
	}
	printf("\n");
	return 0;
}
