/* SPDX-License-Identifier: PostgreSQL */
/*
 * midway CALL ends|returns: forks in the middle of a call, from a callback of the program's.
 * midway handler ends|returns|looks: does so from a signal handler, which interrupts anything;
 * or does not fork, and only looks.
 *
 * The child works with what it has inherited and with connections of its own: there and then,
 * or when it has come back from where it was made. Other threads are in the middle of calls
 * of their own meanwhile. Prints how many times that went well, up to the first when it did
 * not.
 */
#include <fcntl.h>
#include <libpq-events.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plain.h"

#define THREADS  4
#define CHILDREN 15
#define TICKS    100
#define OPENED   64

static PGconn *inherited[2];
static atomic_int stop;
static int wanted;
static int good;
static int bad;
static int looks;
static int returns;
static int is_child;

/* ---- what the other threads do --------------------------------------------------------- */

static void *cycle(void *arg)
{
	while (!stop) {
		touch();
	}
	return arg;
}

/* By turns, for what a thread asks for again is remembered. */
static void look(void)
{
	PQstatus(inherited[0]);
	PQstatus(inherited[1]);
}

static void *keep_looking(void *arg)
{
	while (!stop) {
		look();
	}
	return arg;
}

/* ---- what the child does --------------------------------------------------------------- */

/* As a signal handler may that knows libpq: nothing here allocates. */
static int all_is_well(void)
{
	int well = 1;

	for (int i = 0; i < 2; i++) {
		well &= PQstatus(inherited[i]) == CONNECTION_OK;
		well &= PQsocket(inherited[i]) >= 0;
		well &= PQerrorMessage(inherited[i])[0] == '\0';
		well &= PQtransactionStatus(inherited[i]) == PQTRANS_IDLE;
	}
	return well;
}

static void work(void)
{
	if (!all_is_well() || touch() <= 0) {
		_exit(1);
	}
}

static void work_if_child(void)
{
	if (is_child) {
		work();
		work();
		exit(0);
	}
}

static void count(int well)
{
	*(well ? &good : &bad) += 1;
}

static int is_over(void)
{
	return is_child || good == wanted || bad > 0;
}

/* True in the child. */
static int make_child(void)
{
	pid_t child = fork();
	int status = -1;

	if (child == 0) {
		is_child = 1;
		alarm(20);
		return 1;
	}
	while (waitpid(child, &status, 0) < 0) {
	}
	count(status == 0);
	return 0;
}

/* ---- callbacks ------------------------------------------------------------------------ */

static int opened[OPENED];

/* Pipes that nobody writes to any more, at numbers that programs seldom come to. */
static void open_some(void)
{
	int ends[2];

	if (pipe(ends) != 0) {
		_exit(1);
	}
	close(ends[1]);
	for (int i = 0; i < OPENED; i++) {
		opened[i] = fcntl(ends[0], F_DUPFD, 200);
	}
}

static int are_still_open(void)
{
	int n = 0;

	for (int i = 0; i < OPENED; i++) {
		n += fcntl(opened[i], F_GETFD) >= 0;
	}
	return n == OPENED;
}

static void call_back(void)
{
	if (is_over() || !make_child()) {
		return;
	}
	open_some();
	if (!returns) {
		work();
		_exit(0);
	}
}

static int at_event(PGEventId id, void *info, void *arg)
{
	(void)info;
	if (id == *(PGEventId *)arg) {
		call_back();
	}
	return 1;
}

static void at_notice(void *arg, const char *message)
{
	(void)arg;
	(void)message;
	call_back();
}

static void watch(PGconn *conn, PGEventId id)
{
	static PGEventId ids[PGEVT_RESULTDESTROY + 1];

	ids[id] = id;
	PQregisterEventProc(conn, at_event, "midway", &ids[id]);
}

/*
 * Two of them: the end of the first is still to be seen when the second is finished. What the
 * child has opened by then stays open.
 */
static void use_finish(void)
{
	PGconn *first = open_database();
	PGconn *second = open_database();

	watch(first, PGEVT_RESULTCOPY);
	watch(second, PGEVT_CONNDESTROY);
	PQfinish(first);
	PQfinish(second);
	if (is_child && !are_still_open()) {
		_exit(1);
	}
}

static void use_reset(void)
{
	PGconn *conn = open_database();

	watch(conn, PGEVT_CONNRESET);
	PQreset(conn);
	work_if_child();
	PQfinish(conn);
}

/* While it connects. */
static void use_early_reset(void)
{
	PGconn *conn = PQconnectStart("");

	watch(conn, PGEVT_CONNRESET);
	PQreset(conn);
	work_if_child();
	PQfinish(conn);
}

/* Of a role that has a setting which the server complains of. */
static void use_connect(void)
{
	PGconn *conn = PQconnectStart("user=noisy");
	PostgresPollingStatusType wants = PGRES_POLLING_WRITING;

	PQsetNoticeProcessor(conn, at_notice, NULL);
	while (wants != PGRES_POLLING_OK && wants != PGRES_POLLING_FAILED) {
		struct pollfd p = {.fd = PQsocket(conn),
		                   .events = wants == PGRES_POLLING_READING ? POLLIN : POLLOUT};

		poll(&p, 1, -1);
		wants = PQconnectPoll(conn);
		work_if_child();
	}
	PQfinish(conn);
}

static void use_exec(void)
{
	PGconn *conn = open_database();

	PQsetNoticeProcessor(conn, at_notice, NULL);
	PQclear(PQexec(conn, "DO $$ BEGIN RAISE NOTICE 'now'; END $$"));
	PQfinish(conn);
}

/* ---- a signal handler -------------------------------------------------------------------- */

static void at_tick(int number)
{
	(void)number;
	if (is_over()) {
		return;
	}
	if (looks) {
		count(all_is_well());
	} else if (make_child() && (!all_is_well() || !returns)) {
		_exit(!all_is_well());
	}
}

static void use_handler(void)
{
	const struct itimerval often = {{0, 1000}, {0, 1000}};
	const struct itimerval never = {{0, 0}, {0, 0}};
	struct sigaction action = {.sa_handler = at_tick, .sa_flags = SA_RESTART};

	sigaction(SIGPROF, &action, NULL);
	setitimer(ITIMER_PROF, &often, NULL);
	while (!is_over()) {
		look();
	}
	setitimer(ITIMER_PROF, &never, NULL);
}

/* --------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*use)(void);
} calls[] = {
	{"finish", use_finish},   {"reset", use_reset}, {"early_reset", use_early_reset},
	{"connect", use_connect}, {"exec", use_exec},   {"handler", use_handler},
};

static void use(const char *name)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		while (strcmp(calls[i].name, name) == 0 && !is_over()) {
			calls[i].use();
			work_if_child();
		}
	}
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	sigset_t ticks;

	if (argc != 3) {
		return 64;
	}
	wanted = strcmp(argv[1], "handler") == 0 ? TICKS : CHILDREN;
	looks = strcmp(argv[2], "looks") == 0;
	returns = strcmp(argv[2], "returns") == 0;
	inherited[0] = open_database();
	inherited[1] = open_database();
	/* The handler is this thread's. */
	sigemptyset(&ticks);
	sigaddset(&ticks, SIGPROF);
	pthread_sigmask(SIG_BLOCK, &ticks, NULL);
	for (int i = 0; i < THREADS; i++) {
		pthread_create(&threads[i], NULL, i == 0 ? cycle : keep_looking, NULL);
	}
	pthread_sigmask(SIG_UNBLOCK, &ticks, NULL);
	use(argv[1]);
	stop = 1;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
	}
	PQfinish(inherited[0]);
	PQfinish(inherited[1]);
	printf("%d times well\n", good);
	return 0;
}
