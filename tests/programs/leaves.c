/* SPDX-License-Identifier: PostgreSQL */
/*
 * leaves PLACE WAY LIMIT: calls of libpq's that are left for good, LIMIT + 1 times.
 *
 * PLACE  opening   PQconnectdb, to a server that does not answer (a socket of our own)
 *        waiting   PQconnectdb, with LIMIT connections taken
 *        checking  PQconnectdb, where the backend of the idle session is stopped
 *        query     PQexec, of a query that takes long
 *        finish    PQfinish, from an event procedure
 * WAY    jump      siglongjmp() from a signal handler (or from the event procedure)
 *        cancel    the thread is cancelled; another thread finishes what it used
 *        stay      siglongjmp() in another thread, which then does something else for good
 *
 * The moment is when the thread sleeps in poll(2). At the end LIMIT connections are taken
 * again, and one of them is forgotten where `leaks` follows.
 */
#include "plain.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <libpq-events.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX        16
#define DEADLINE_S 20

static sigjmp_buf outside;
static PGconn *held[MAX];
static PGconn *volatile used;
static char silent[128];
static int limit;
static const char *way;
static atomic_bool stays;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void pause_briefly(void)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	nanosleep(&moment, NULL); /* sleeps because the kernel is asked over and over */
}

/* ---- the moment ---------------------------------------------------------------------- */

/* In poll(2), as the kernel says. */
static bool polls(pid_t tid)
{
	char path[64];
	char text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	fd = open(path, O_RDONLY);
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0) {
		text[0] = '\0';
	}
	close(fd);
	return strtol(text, NULL, 10) == SYS_poll && text[0] != '\0' && text[0] != 'r';
}

static void await_poll(pid_t tid)
{
	double deadline = now() + DEADLINE_S;
	int seen = 0;

	while (seen < 20 && now() < deadline) {
		seen = polls(tid) ? seen + 1 : 0;
		pause_briefly();
	}
	if (seen < 20) {
		fprintf(stderr, "it does not wait\n");
		exit(97);
	}
}

static void leave(int number)
{
	(void)number;
	siglongjmp(outside, 1);
}

static void *interrupt_main(void *arg)
{
	await_poll(getpid());
	kill(getpid(), SIGALRM);
	return arg;
}

/* ---- the places ---------------------------------------------------------------------- */

static int leave_finish(PGEventId id, void *info, void *arg)
{
	(void)info;
	(void)arg;
	if (id == PGEVT_CONNDESTROY) {
		siglongjmp(outside, 1);
	}
	return 1;
}

static void call(const char *place)
{
	if (strcmp(place, "opening") == 0) {
		PQconnectdb(silent);
	} else if (strcmp(place, "query") == 0) {
		PQclear(PQexec(used, "SELECT pg_sleep(3)"));
	} else if (strcmp(place, "finish") == 0) {
		PQfinish(used);
	} else {
		PQconnectdb("");
	}
}

static void jump_out(const char *place)
{
	pthread_t interrupter;

	if (sigsetjmp(outside, 1) == 0) {
		if (strcmp(place, "finish") != 0) {
			pthread_create(&interrupter, NULL, interrupt_main, NULL);
			pthread_detach(interrupter);
		}
		call(place);
		printf("came back\n");
	}
}

static volatile pid_t caller_tid;

static void *call_in_thread(void *place)
{
	caller_tid = (pid_t)syscall(SYS_gettid);
	call(place);
	return NULL;
}

static void *leave_and_stay(void *place)
{
	if (sigsetjmp(outside, 1) == 0) {
		call_in_thread(place);
		printf("came back\n");
	}
	caller_tid = 0;
	pause();
	return NULL;
}

static void stay_out(const char *place)
{
	pthread_t caller;

	caller_tid = 0;
	pthread_create(&caller, NULL, leave_and_stay, (void *)place);
	while (caller_tid == 0) {
		pause_briefly();
	}
	await_poll(caller_tid);
	pthread_kill(caller, SIGALRM);
	while (caller_tid != 0) {
		pause_briefly();
	}
}

static void cancel_out(const char *place)
{
	pthread_t caller;
	void *result;

	caller_tid = 0;
	pthread_create(&caller, NULL, call_in_thread, (void *)place);
	while (caller_tid == 0) {
		pause_briefly();
	}
	await_poll(caller_tid);
	pthread_cancel(caller);
	pthread_join(caller, &result);
	if (result != PTHREAD_CANCELED) {
		printf("came back\n");
	}
}

/* A server's socket that nobody accepts from. */
static void be_silent(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 64) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
		exit(96);
	}
	snprintf(silent, sizeof(silent), "host=127.0.0.1 port=%d connect_timeout=60",
	         ntohs(address.sin_port));
}

/* ---- all of it ------------------------------------------------------------------------- */

static void take_all(const char *conninfo)
{
	double began = now();
	bool distinct = true;

	for (int i = 0; i < limit; i++) {
		held[i] = PQconnectdb(conninfo);
		if (PQstatus(held[i]) != CONNECTION_OK) {
			die("take", held[i]);
		}
		for (int j = 0; j < i; j++) {
			distinct = distinct && PQbackendPID(held[j]) != PQbackendPID(held[i]);
		}
	}
	printf("%d taken, %s, %s\n", limit, distinct ? "each another" : "some the same",
	       now() - began < 3 ? "at once" : "late");
}

static void give_all(int from)
{
	for (int i = from; i < limit; i++) {
		printf("%d\n", ask(held[i], "SELECT 7"));
		PQfinish(held[i]);
	}
}

static void once(const char *place)
{
	int stopped = 0;

	if (strcmp(place, "waiting") == 0) {
		take_all("");
	} else if (strcmp(place, "checking") == 0) {
		stopped = touch();
		kill(stopped, SIGSTOP);
	} else if (strcmp(place, "query") == 0 || strcmp(place, "finish") == 0) {
		used = open_database();
	}
	if (strcmp(place, "finish") == 0) {
		PQregisterEventProc(used, leave_finish, "leave", NULL);
	}
	if (strcmp(way, "cancel") == 0) {
		cancel_out(place);
	} else if (strcmp(way, "stay") == 0) {
		stay_out(place);
	} else {
		jump_out(place);
	}
	printf("left\n");
	if (strcmp(place, "waiting") == 0) {
		give_all(0);
	} else if (strcmp(place, "query") == 0) {
		PQfinish(used);
	}
	if (stopped != 0) {
		kill(stopped, SIGCONT);
	}
}

/* A thread that has used libpq, and might do so again. */
static void *stay(void *arg)
{
	touch();
	stays = true;
	pause();
	return arg;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = leave};
	const char *place = argc > 1 ? argv[1] : "";
	pthread_t other;

	setbuf(stdout, NULL);
	way = argc > 2 ? argv[2] : "";
	limit = argc > 3 ? atoi(argv[3]) : 1;
	/* Where no other thread could give anything back a connect is refused at once. */
	pthread_create(&other, NULL, stay, NULL);
	while (!stays) {
		pause_briefly();
	}
	sigaction(SIGALRM, &action, NULL);
	be_silent();
	for (int i = 0; i <= limit; i++) {
		once(place);
	}
	take_all(strcmp(place, "opening") == 0 && argc > 4 ? silent : "");
	give_all(argc > 4 ? 1 : 0);
	return 0;
}
