/* SPDX-License-Identifier: PostgreSQL */
/*
 * cancelling MODE [OFFSET]: what a cancel object is, and does.
 *
 *   layout   its bytes are those of an object that the real PQgetCancel makes, which lies
 * OFFSET from PQlibVersion past     one that was taken on a lease now over and freed past
 * everybody; another one, which the real PQgetCancel makes, comes to lie in its place storm a
 * signal handler uses objects all the time, while threads take and free others child    a
 * forked child uses what was taken before the fork request  PQrequestCancel on a connection in
 * use; request_late: on one that was finished
 */
#include "plain.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONTENT_BYTES 144 /* what the objects of all versions have in common */
#define THREADS       3
#define TAKEN         32
#define SIGNALS       400
#define TRIES         10000

static PGcancel *(*real_get)(PGconn *conn);

static PGcancel *get(PGconn *conn)
{
	PGcancel *cancel = PQgetCancel(conn);

	if (cancel == NULL) {
		die("PQgetCancel", conn);
	}
	return cancel;
}

/* Sends a long query, and waits until the server is at it. */
static void be_busy(PGconn *conn, PGconn *observer)
{
	char query[128];

	snprintf(query, sizeof(query),
	         "SELECT count(*) FROM pg_stat_activity"
	         " WHERE pid = %d AND wait_event = 'PgSleep'",
	         PQbackendPID(conn));
	if (!PQsendQuery(conn, "SELECT pg_sleep(1)::text || 'to the end' AS sleep")) {
		die("PQsendQuery", conn);
	}
	while (ask(observer, query) != 1) {
	}
}

static void show_rest(PGconn *conn)
{
	PGresult *result;

	while ((result = PQgetResult(conn)) != NULL) {
		show(result);
	}
}

static void send(PGcancel *cancel)
{
	char error[256] = "";
	int sent = PQcancel(cancel, error, sizeof(error));

	printf("sent %d%s\n", sent, error);
}

/* ---- what it is ---------------------------------------------------------------------- */

/* As far as malloc tells: it does not cut off what is too small for another piece. */
static int have_one_size(void *one, void *other)
{
	size_t a = malloc_usable_size(one);
	size_t b = malloc_usable_size(other);

	return (a > b ? a - b : b - a) < 4 * sizeof(void *);
}

static void layout(void)
{
	PGconn *conn = open_database();
	PGcancel *ours = get(conn);
	PGcancel *real = real_get(conn);
	int pid;

	memcpy(&pid, (char *)ours + CONTENT_BYTES - 2 * sizeof(pid), sizeof(pid));
	printf("bytes %d, size %d, pid %d\n", memcmp(ours, real, CONTENT_BYTES) == 0,
	       have_one_size(ours, real), pid == PQbackendPID(conn));
	PQfreeCancel(real);
	PQfreeCancel(ours);
	PQfinish(conn);
}

/* ---- another in its place ------------------------------------------------------------- */

static void past(void)
{
	PGconn *observer = open_database();
	PGconn *first = open_database();
	PGconn *conn = open_database();
	PGcancel *others[TRIES];
	PGcancel *cancel = get(first);
	void *old = cancel;
	int tries = 0;

	PQfinish(first);
	be_busy(conn, observer);
	free(cancel); /* as PQfreeCancel does */
	do {
		others[tries] = cancel = real_get(conn);
	} while (cancel != old && ++tries < TRIES);
	printf("in its place %d\n", cancel == old);
	send(cancel);
	show_rest(conn);
	PQfreeCancel(cancel);
	while (tries > 0) {
		PQfreeCancel(others[--tries]);
	}
	PQfinish(conn);
	PQfinish(observer);
}

/* ---- in a signal handler --------------------------------------------------------------- */

static PGcancel *kept[TAKEN];
static volatile sig_atomic_t signals;
static volatile sig_atomic_t failures;

static void use_kept(int signum)
{
	char error[256];

	(void)signum;
	for (int i = 0; i < TAKEN; i++) {
		failures += !PQcancel(kept[i], error, sizeof(error));
	}
	signals = signals + 1;
}

static void *take_and_free(void *unused)
{
	PGconn *conn = open_database();
	PGcancel *taken[TAKEN];

	while (signals < SIGNALS) {
		for (int i = 0; i < TAKEN; i++) {
			taken[i] = get(conn);
		}
		for (int i = 0; i < TAKEN; i++) {
			PQfreeCancel(taken[i]);
		}
	}
	printf("%d\n", ask(conn, "SELECT 42"));
	PQfinish(conn);
	return unused;
}

static void storm(void)
{
	struct sigaction action = {.sa_handler = use_kept, .sa_flags = SA_RESTART};
	struct itimerval timer = {{0, 2000}, {0, 2000}};
	PGconn *conn = open_database();
	pthread_t threads[THREADS];

	for (int i = 0; i < TAKEN; i++) {
		kept[i] = get(conn);
	}
	PQfinish(conn);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	for (int i = 0; i < THREADS; i++) {
		pthread_create(&threads[i], NULL, take_and_free, NULL);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
	}
	setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
	for (int i = 0; i < TAKEN; i++) {
		PQfreeCancel(kept[i]);
	}
	printf("failures %d\n", (int)failures);
}

/* ---- in a child ------------------------------------------------------------------------- */

static void use_in_child(PGcancel *live, PGcancel *inert)
{
	fflush(stdout);
	if (fork() == 0) {
		send(inert);
		send(live);
		PQfreeCancel(inert);
		PQfreeCancel(live);
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
}

static void child(void)
{
	PGconn *observer = open_database();
	PGconn *conn = open_database();
	PGcancel *inert = get(conn);
	PGcancel *live;

	PQfinish(conn);
	conn = open_database();
	live = get(conn);
	be_busy(conn, observer);
	use_in_child(live, inert);
	show_rest(conn);
	PQfreeCancel(live);
	PQfreeCancel(inert);
	PQfinish(conn);
	PQfinish(observer);
}

/* ---- the old way ----------------------------------------------------------------------- */

static void request(void)
{
	PGconn *observer = open_database();
	PGconn *conn = open_database();

	be_busy(conn, observer);
	printf("requested %d\n", PQrequestCancel(conn));
	show_rest(conn);
	PQfinish(conn);
	PQfinish(observer);
}

static void request_late(void)
{
	PGconn *conn = open_database();

	PQfinish(conn);
	printf("requested %d\n", PQrequestCancel(conn));
}

static const struct {
	const char *name;
	void (*act)(void);
} modes[] = {
	{"layout", layout}, {"past", past},       {"storm", storm},
	{"child", child},   {"request", request}, {"request_late", request_late},
};

int main(int argc, char **argv)
{
	*(void **)&real_get = (char *)PQlibVersion + (argc > 2 ? atol(argv[2]) : 0);
	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(argv[1], modes[i].name) == 0) {
			modes[i].act();
			return 0;
		}
	}
	return 98;
}
