/* SPDX-License-Identifier: PostgreSQL */
/*
 * hammer [SECONDS [SEED]]: threads connect, misbehave and finish, as fast as they can, in
 * a pool that is too small for them; meanwhile backends are terminated, statements
 * cancelled, sockets broken, connections handed from thread to thread, and children forked.
 *
 * Whatever happens, each lease must begin on a session that nobody else has, that works
 * (unless its backend was terminated this moment), that no cancel request hits, and that
 * is as new; and nothing may be left leased in the end. This long because what the threads do,
 * and what must hold of it, is one table of workers.
 */
#include <errno.h>
#include <libpq-events.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS    8
#define IDENTITIES 3
#define OWNED_MAX  64
#define LIMIT      3 /* PQPOOL_SIZE and PQPOOL_MAX_OVERFLOW below */

struct worker {
	pthread_t thread;
	unsigned seed;
	atomic_int backend; /* of its last lease: somebody's victim */
	pthread_mutex_t lock;
	PGcancel *cancel; /* of a lease, which may be over */
	PGconn *gift;     /* to be finished by whoever finds it */
	int gift_owned;
};

static struct worker workers[THREADS];
static atomic_bool stop;
static atomic_int wrong;
static atomic_long leases, refused, terminated, children;

static pthread_mutex_t owned_lock = PTHREAD_MUTEX_INITIALIZER;
static int owned[OWNED_MAX];

static const char *const names[IDENTITIES] = {"red", "green", "blue"};

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	atomic_fetch_add(&wrong, 1);
}

static unsigned roll(struct worker *worker, unsigned sides)
{
	return (unsigned)rand_r(&worker->seed) % sides;
}

static struct worker *somebody(struct worker *worker)
{
	return &workers[roll(worker, THREADS)];
}

/* ---- nobody else has it --------------------------------------------------------------- */

static int own(int backend)
{
	int place = -1;

	pthread_mutex_lock(&owned_lock);
	for (int i = 0; i < OWNED_MAX; i++) {
		if (owned[i] == backend) {
			complain("backend %d is leased twice", backend);
		}
		if (owned[i] == 0) {
			place = i;
		}
	}
	if (place < 0) {
		complain("more leases than there can be");
		place = 0;
	}
	owned[place] = backend;
	pthread_mutex_unlock(&owned_lock);
	return place;
}

static void disown(int place)
{
	pthread_mutex_lock(&owned_lock);
	owned[place] = 0;
	pthread_mutex_unlock(&owned_lock);
}

/* ---- it is as new ----------------------------------------------------------------------- */

static const char question[] =
	"SELECT pg_backend_pid(), current_setting('application_name'),"
	" (SELECT count(*) FROM pg_prepared_statements),"
	" (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = "
	"pg_backend_pid()),"
	" (SELECT count(*) FROM pg_cursors), (SELECT count(*) FROM pg_listening_channels()),"
	" to_regclass('pg_temp.mine')";

static int is_new(PGconn *conn, PGresult *result, const char *name)
{
	return atoi(PQgetvalue(result, 0, 0)) == PQbackendPID(conn) &&
	       strcmp(PQgetvalue(result, 0, 1), name) == 0 &&
	       atoi(PQgetvalue(result, 0, 2)) == 0 && atoi(PQgetvalue(result, 0, 3)) == 0 &&
	       atoi(PQgetvalue(result, 0, 4)) == 0 && atoi(PQgetvalue(result, 0, 5)) == 0 &&
	       PQgetisnull(result, 0, 6);
}

static int failed_fairly(PGconn *conn, PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return PQstatus(conn) != CONNECTION_OK &&
	       (state == NULL || strcmp(state, "57014") != 0);
}

static int inspect(PGconn *conn, const char *name)
{
	PGresult *result;
	int good = 0;

	if (PQtransactionStatus(conn) != PQTRANS_IDLE || PQisnonblocking(conn) ||
	    PQpipelineStatus(conn) != PQ_PIPELINE_OFF || PQnotifies(conn) != NULL ||
	    PQerrorMessage(conn)[0] != '\0') {
		complain("not as new on the client's side: %s", PQerrorMessage(conn));
	}
	result = PQexec(conn, question);
	if (PQresultStatus(result) == PGRES_TUPLES_OK) {
		good = is_new(conn, result, name);
		if (!good) {
			complain("not as new: %s %s", PQgetvalue(result, 0, 1), name);
		}
	} else if (failed_fairly(conn, result)) {
		atomic_fetch_add(&terminated, 1);
	} else {
		complain("the first statement failed: %s", PQresultErrorMessage(result));
	}
	PQclear(result);
	return good;
}

/* ---- what threads do with it --------------------------------------------------------- */

static void execute(PGconn *conn, const char *query)
{
	PQclear(PQexec(conn, query));
}

static void ignore(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

static void leave_state(struct worker *worker, PGconn *conn)
{
	static const char *const statements[] = {
		"SET application_name = 'other'",
		"CREATE TEMP TABLE mine (a int)",
		"PREPARE p AS SELECT 1",
		"SELECT pg_advisory_lock_shared(1)",
		"LISTEN here",
		"NOTIFY here",
		"DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 100)",
		"SET statement_timeout = '10s'",
	};

	for (int i = 0; i < 3; i++) {
		execute(conn,
		        statements[roll(worker, sizeof(statements) / sizeof(*statements))]);
	}
}

static void leave_transaction(struct worker *worker, PGconn *conn)
{
	execute(conn, "BEGIN");
	leave_state(worker, conn);
	if (roll(worker, 2) == 0) {
		execute(conn, "SELECT 1/0");
	}
}

static void leave_unread(struct worker *worker, PGconn *conn)
{
	switch (roll(worker, 3)) {
	case 0:
		PQsendQuery(conn, "SELECT generate_series(1, 1000)");
		break;
	case 1:
		execute(conn, "COPY (SELECT generate_series(1, 1000)) TO STDOUT");
		break;
	default:
		PQenterPipelineMode(conn);
		PQsendQueryParams(conn, "SELECT 1", 0, NULL, NULL, NULL, NULL, 0);
		break;
	}
}

static void break_connection(struct worker *worker, PGconn *conn)
{
	if (roll(worker, 2) == 0) {
		shutdown(PQsocket(conn), SHUT_RDWR);
	} else {
		execute(conn, "SELECT pg_terminate_backend(pg_backend_pid())");
	}
}

static void terminate_somebody(struct worker *worker, PGconn *conn)
{
	char query[96];

	snprintf(query, sizeof(query),
	         "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %d",
	         atomic_load(&somebody(worker)->backend));
	execute(conn, query);
}

/* Publishes a cancel object, in the place of one that may be of a lease long over. */
static void publish_cancel(struct worker *worker, PGconn *conn)
{
	PGcancel *old;

	pthread_mutex_lock(&worker->lock);
	old = worker->cancel;
	worker->cancel = PQgetCancel(conn);
	pthread_mutex_unlock(&worker->lock);
	PQfreeCancel(old);
	execute(conn, "SELECT pg_sleep(0.002)");
}

static void cancel_somebody(struct worker *worker)
{
	struct worker *victim = somebody(worker);
	char error[256];

	pthread_mutex_lock(&victim->lock);
	if (victim->cancel != NULL) {
		PQcancel(victim->cancel, error, sizeof(error));
	}
	pthread_mutex_unlock(&victim->lock);
}

static void misbehave(struct worker *worker, PGconn *conn)
{
	switch (roll(worker, 12)) {
	case 0:
		leave_transaction(worker, conn);
		break;
	case 1:
		leave_unread(worker, conn);
		break;
	case 2:
		break_connection(worker, conn);
		break;
	case 3:
		terminate_somebody(worker, conn);
		break;
	case 4:
	case 5:
		publish_cancel(worker, conn);
		break;
	case 6:
		cancel_somebody(worker);
		break;
	case 7:
		PQreset(conn);
		break;
	case 8:
		PQsetNoticeReceiver(conn, ignore, worker);
		PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
		PQsetnonblocking(conn, 1);
		break;
	default:
		leave_state(worker, conn);
		break;
	}
}

/* ---- finishing, here or elsewhere ----------------------------------------------------- */

static void finish(PGconn *conn, int place)
{
	disown(place);
	PQfinish(conn);
}

/* Takes what the worker was given, and leaves `conn` (may be NULL) in its place. */
static void exchange(struct worker *worker, PGconn *conn, int place)
{
	PGconn *found;
	int found_place;

	pthread_mutex_lock(&worker->lock);
	found = worker->gift;
	found_place = worker->gift_owned;
	worker->gift = conn;
	worker->gift_owned = place;
	pthread_mutex_unlock(&worker->lock);
	if (found != NULL) {
		finish(found, found_place);
	}
}

static int no_event(PGEventId id, void *info, void *arg)
{
	(void)id;
	(void)info;
	(void)arg;
	return 1;
}

/* Does to a connection on its way what programs seldom do; false if it is over with it. */
static bool disturb(struct worker *worker, PGconn *conn,
                    PostgresPollingStatusType (**step)(PGconn *conn),
                    PostgresPollingStatusType *wants)
{
	switch (roll(worker, 100)) {
	case 0:
		return false; /* given up on its way */
	case 1:
		PQreset(conn);
		return false;
	case 2:
		*step = PQresetPoll;
		*wants = PQresetStart(conn) ? PGRES_POLLING_WRITING : PGRES_POLLING_FAILED;
		return true;
	case 3:
		PQregisterEventProc(conn, no_event, "none", NULL);
		return true;
	default:
		return true;
	}
}

/* In one step, or in many. */
static PGconn *open_connection(struct worker *worker, const char *conninfo)
{
	PostgresPollingStatusType (*step)(PGconn * conn) = PQconnectPoll;
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;
	PGconn *conn;

	if (roll(worker, 2) == 0) {
		return PQconnectdb(conninfo);
	}
	conn = PQconnectStart(conninfo);
	while (status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
		struct pollfd p = {.events = POLLIN};

		if (!disturb(worker, conn, &step, &status)) {
			break;
		}
		p.fd = PQsocket(conn);
		p.events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT;
		if (poll(&p, 1, 20000) == 0) {
			complain("nothing happens on the way to a connection");
			break;
		}
		status = step(conn);
	}
	return conn;
}

/* One lease, on whatever it finds. */
static void use_connection(struct worker *worker)
{
	const char *name = names[roll(worker, IDENTITIES)];
	char conninfo[64];
	PGconn *conn;
	int place;

	snprintf(conninfo, sizeof(conninfo), "application_name=%s", name);
	conn = open_connection(worker, conninfo);
	if (PQstatus(conn) != CONNECTION_OK) {
		atomic_fetch_add(&refused, 1);
		PQfinish(conn);
		return;
	}
	place = own(PQbackendPID(conn));
	atomic_fetch_add(&leases, 1);
	if (inspect(conn, name)) {
		atomic_store(&worker->backend, PQbackendPID(conn));
		misbehave(worker, conn);
	}
	if (roll(worker, 10) == 0) {
		exchange(somebody(worker), conn, place);
	} else {
		finish(conn, place);
	}
}

/*
 * A fork waits until nobody is in a call. A child that was forked while another thread was in
 * one may wait for ever, and for nothing of the shim's: the allocators of gcc 12's
 * AddressSanitizer and ThreadSanitizer do not take their locks before a fork (seen: in malloc),
 * nor does libpq take the one that it sets up OpenSSL under (15: seen in PQconnectPoll).
 */
static pthread_rwlock_t at_work = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

static pid_t fork_now(void)
{
	pid_t child;

	pthread_rwlock_wrlock(&at_work);
	child = fork();
	pthread_rwlock_unlock(&at_work);
	return child;
}

static void fork_child(void)
{
	int status = -1;
	pid_t child = fork_now();

	if (child == 0) {
		PGconn *conn;

		alarm(60);
		conn = PQconnectdb("");
		PQclear(PQexec(conn, "SELECT 1"));
		PQfinish(conn);
		_exit(PQping("") == PQPING_OK ? 0 : 1);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
	}
	if (status != 0) {
		complain("a child ended with status %#x", (unsigned)status);
	}
	atomic_fetch_add(&children, 1);
}

static void *work(void *arg)
{
	struct worker *worker = arg;

	for (unsigned i = 0; !atomic_load(&stop); i++) {
		pthread_rwlock_rdlock(&at_work);
		use_connection(worker);
		exchange(worker, NULL, 0);
		pthread_rwlock_unlock(&at_work);
		if (worker == &workers[0] && i % 20 == 0) {
			fork_child();
		}
	}
	return NULL;
}

static void run_for(int seconds, unsigned seed)
{
	struct timespec rest = {.tv_sec = seconds};

	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].seed = seed + i;
		pthread_mutex_init(&workers[i].lock, NULL);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	nanosleep(&rest, NULL); /* sleeps because the others are at work */
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
	}
	for (int i = 0; i < THREADS; i++) {
		exchange(&workers[i], NULL, 0);
		PQfreeCancel(workers[i].cancel);
	}
}

/* No room may have been lost: each pool lends what its limit says. */
static void lend_all(void)
{
	PGconn *all[IDENTITIES][LIMIT];

	for (int i = 0; i < IDENTITIES; i++) {
		char conninfo[64];

		snprintf(conninfo, sizeof(conninfo), "application_name=%s", names[i]);
		for (int j = 0; j < LIMIT; j++) {
			all[i][j] = PQconnectdb(conninfo);
			if (PQstatus(all[i][j]) != CONNECTION_OK) {
				complain("a room was lost: %s", PQerrorMessage(all[i][j]));
			}
		}
	}
	for (int i = 0; i < IDENTITIES * LIMIT; i++) {
		PQfinish(all[i / LIMIT][i % LIMIT]);
	}
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 8;
	unsigned seed = argc > 2 ? (unsigned)atoi(argv[2]) : (unsigned)getpid();

	setenv("PQPOOL_SIZE", "2", 1);
	setenv("PQPOOL_MAX_OVERFLOW", "1", 1);
	setenv("PQPOOL_TIMEOUT", "5", 1);
	setenv("PQPOOL_IDLE_TIMEOUT", "1", 1);
	setenv("PQPOOL_RECYCLE", "2", 1);
	setenv("PQPOOL_LEAK_EXITCODE", "3", 1);
	run_for(seconds, seed);
	lend_all();
	printf("seed %u: %ld leases, %ld refused, %ld terminated, %ld children, %d wrong\n",
	       seed, leases, refused, terminated, children, wrong);
	return wrong != 0 || leases == 0 || children == 0;
}
