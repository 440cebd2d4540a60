/* SPDX-License-Identifier: PostgreSQL */
/*
 * exits WAY [STATUS [STATE [HOST]]]: leaves connections in a state and ends in a way. For some
 * ways HOST is something else.
 *
 * STATE: idle      two connections, finished (the default)
 *        busy      finished with a transaction open and much to discard
 *        leased    one finished, one not
 *        second    one to HOST, finished, and then one as the environment says
 *        none      never connected
 */
#include "plain.h"

#include <alloca.h>
#include <dlfcn.h>
#include <err.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

int __cxa_atexit(void (*function)(void *), void *arg, void *dso);
extern void *__dso_handle;

static int status;
static const char *first_host;
static PGconn *kept;

/* ---- states ------------------------------------------------------------------------ */

static void make_idle(void)
{
	PGconn *first = open_database();
	PGconn *second = open_database();

	ask(first, "SELECT 1");
	PQfinish(second);
	PQfinish(first);
}

static void make_busy(void)
{
	PGconn *conn = open_database();
	char query[64];

	for (int i = 0; i < 50; i++) {
		snprintf(query, sizeof(query), "CREATE TEMP TABLE t%d (a text)", i);
		PQclear(PQexec(conn, query));
	}
	ask(conn, "BEGIN");
	ask(conn, "SELECT 1");
	PQfinish(conn);
}

static void make_leased(void)
{
	PGconn *conn = open_database();

	kept = open_second();
	ask(kept, "SELECT 1");
	PQfinish(conn);
}

static void make_second(void)
{
	char conninfo[256];
	PGconn *conn;

	snprintf(conninfo, sizeof(conninfo), "sslmode=disable host=%s", first_host);
	conn = PQconnectdb(conninfo);
	printf("%d\n", ask(conn, "SELECT 1"));
	PQfinish(conn);
	conn = open_database();
	printf("%d\n", ask(conn, "SELECT 2"));
	PQfinish(conn);
}

static void make_none(void)
{
}

/* ---- ways ---------------------------------------------------------------------------- */

static void by_return(void)
{
}

static void by_exit(void)
{
	exit(status);
}

static void *exit_here(void *arg)
{
	(void)arg;
	exit(status);
}

static void by_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, exit_here, NULL);
	for (;;) {
		pause();
	}
}

static void by__exit(void)
{
	fflush(NULL);
	_exit(status);
}

static void by__Exit(void)
{
	fflush(NULL);
	_Exit(status);
}

static void print_quickly(void)
{
	printf("quick\n");
	fflush(stdout);
}

static void by_quick_exit(void)
{
	at_quick_exit(print_quickly);
	quick_exit(status);
}

static void by_abort(void)
{
	abort();
}

static void by_kill(void)
{
	fflush(NULL);
	raise(SIGKILL);
}

static void by_term(void)
{
	fflush(NULL);
	raise(SIGTERM);
}

static void end_here(int number)
{
	(void)number;
	exit(status);
}

static void end_suddenly_here(int number)
{
	(void)number;
	_exit(status);
}

static void by_handler_exit(void)
{
	signal(SIGUSR1, end_here);
	raise(SIGUSR1);
}

static void by_handler__exit(void)
{
	signal(SIGUSR1, end_suddenly_here);
	raise(SIGUSR1);
}

/* A thread waits, in a pool that is full, for a connection that never comes. */
static void *wait_in_line(void *arg)
{
	(void)arg;
	PQfinish(open_database());
	return NULL;
}

static void by_exit_while_waiting(void)
{
	pthread_t thread;
	PGconn *conn;

	kept = open_database();
	conn = kept;
	pthread_create(&thread, NULL, wait_in_line, NULL);
	/* Time for the other thread to get there. */
	for (int i = 0; i < 500; i++) {
		ask(conn, "SELECT 1");
	}
	exit(status);
}

/* ---- what is left to exit handlers ------------------------------------------------------ */

static void finish_kept(void)
{
	printf("finished at exit: %d\n", ask(kept, "SELECT 8"));
	PQfinish(kept);
	kept = NULL;
}

static void connect_at_exit(void)
{
	PGconn *conn = open_database();

	printf("connected at exit: %d\n", ask(conn, "SELECT 9"));
	PQfinish(conn);
}

static void finish_cxx(void *arg)
{
	PQfinish(*(PGconn **)arg);
}

static void by_atexit_after(void)
{
	kept = open_second();
	atexit(finish_kept);
	atexit(connect_at_exit);
	exit(status);
}

static void by_atexit_before(void)
{
	atexit(finish_kept);
	atexit(connect_at_exit);
	kept = open_second();
	make_idle();
	exit(status);
}

/* As a C++ object with static storage, built before or after the first connect. */
static void by_cxx_destructor(void)
{
	static PGconn *early;
	static PGconn *late;

	__cxa_atexit(finish_cxx, &early, &__dso_handle);
	early = open_second();
	late = open_second();
	__cxa_atexit(finish_cxx, &late, &__dso_handle);
	exit(status);
}

static PGconn *for_destructor;

__attribute__((destructor)) static void finish_in_destructor(void)
{
	if (for_destructor != NULL) {
		printf("finished in the destructor: %d\n", ask(for_destructor, "SELECT 10"));
		PQfinish(for_destructor);
		connect_at_exit();
	}
}

static void by_destructor(void)
{
	for_destructor = open_second();
	exit(status);
}

/* A thread finishes what it holds in the middle of its work, while another one is exiting. */
static pthread_barrier_t meeting;
static pthread_t worker;

static void *work_on(void *arg)
{
	PGconn *conn = open_database();

	(void)arg;
	pthread_barrier_wait(&meeting); /* it holds a connection */
	pthread_barrier_wait(&meeting); /* and the exit has begun */
	PQfinish(conn);
	PQfinish(open_database());
	return NULL;
}

static void let_worker_finish(void)
{
	PQfinish(kept);
	pthread_barrier_wait(&meeting);
	pthread_join(worker, NULL);
}

static void by_return_from_main_while_working(void)
{
	kept = open_second();
	atexit(let_worker_finish);
	pthread_barrier_init(&meeting, NULL, 2);
	pthread_create(&worker, NULL, work_on, NULL);
	pthread_barrier_wait(&meeting);
}

/* A function that finishes in the middle, and at exit, too. */
static void finish_if_kept(void)
{
	if (kept != NULL) {
		PQfinish(kept);
		kept = NULL;
	}
}

static void by_shared_function(void)
{
	kept = open_database();
	atexit(finish_if_kept);
	for (int i = 0; i < 3; i++) {
		finish_if_kept();
		kept = open_database();
	}
}

static __attribute__((noinline)) void finish_deeper(size_t bytes)
{
	volatile char *room = alloca(bytes);

	room[0] = 0;
	finish_if_kept();
	room[bytes - 1] = 0;
}

static void finish_512_deeper(void)
{
	finish_deeper(512);
}

/* The same function finishes in the middle, HOST bytes deeper in the stack, and at exit. */
static void by_same_height(void)
{
	atexit(finish_512_deeper);
	for (int i = 0; i < 3; i++) {
		kept = open_database();
		finish_deeper((size_t)atoi(first_host));
	}
	kept = open_database();
}

/* ---- exits that the C library makes, and handlers of other kinds --------------------- */

static void by_errx(void)
{
	kept = open_database();
	atexit(finish_kept);
	errx(status, "the end");
}

static void finish_by_status(int ended_with, void *arg)
{
	printf("ends with %d\n", ended_with);
	PQfinish(arg);
}

static void by_on_exit(void)
{
	on_exit(finish_by_status, open_database());
}

static void *keep_one(void *arg)
{
	kept = open_database();
	atexit(finish_kept);
	if (arg != NULL) {
		pthread_join(*(pthread_t *)arg, NULL);
	}
	return NULL;
}

/* The thread that ends has never connected, and the handler is newer than the pool. */
static void by_return_of_another(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, keep_one, NULL);
	pthread_join(thread, NULL);
}

static void by_last_thread(void)
{
	static pthread_t first;
	pthread_t thread;

	first = pthread_self();
	pthread_create(&thread, NULL, keep_one, &first);
	pthread_exit(NULL);
}

/* The exit handler of a library runs when that is unloaded, which is not the end. HOST: its
 * path. */
static void by_unloading(void)
{
	void *library = dlopen(first_host, RTLD_NOW);
	void (*open_one)(void);

	*(void **)&open_one = dlsym(library, "open_one");
	touch();
	open_one();
	dlclose(library);
	kept = open_database();
	touch();
	finish_if_kept();
}

struct choice {
	const char *name;
	void (*use)(void);
};

static const struct choice states[] = {{"idle", make_idle},     {"busy", make_busy},
                                       {"leased", make_leased}, {"second", make_second},
                                       {"none", make_none},     {NULL, NULL}};

static const struct choice ways[] = {{"return", by_return},
                                     {"exit", by_exit},
                                     {"thread", by_thread},
                                     {"_exit", by__exit},
                                     {"_Exit", by__Exit},
                                     {"quick_exit", by_quick_exit},
                                     {"abort", by_abort},
                                     {"kill", by_kill},
                                     {"term", by_term},
                                     {"handler_exit", by_handler_exit},
                                     {"handler__exit", by_handler__exit},
                                     {"exit_while_waiting", by_exit_while_waiting},
                                     {"atexit_after", by_atexit_after},
                                     {"atexit_before", by_atexit_before},
                                     {"cxx_destructor", by_cxx_destructor},
                                     {"destructor", by_destructor},
                                     {"while_working", by_return_from_main_while_working},
                                     {"shared_function", by_shared_function},
                                     {"same_height", by_same_height},
                                     {"errx", by_errx},
                                     {"on_exit", by_on_exit},
                                     {"return_of_another", by_return_of_another},
                                     {"last_thread", by_last_thread},
                                     {"unloading", by_unloading},
                                     {NULL, NULL}};

static void use(const struct choice *choices, const char *name)
{
	while (choices->name != NULL && strcmp(choices->name, name) != 0) {
		choices++;
	}
	if (choices->name == NULL) {
		exit(64);
	}
	choices->use();
}

int main(int argc, char **argv)
{
	status = argc > 2 ? atoi(argv[2]) : 0;
	first_host = argc > 4 ? argv[4] : "";
	use(states, argc > 3 ? argv[3] : "idle");
	printf("buffered, and written at exit\n");
	use(ways, argc > 1 ? argv[1] : "return");
	return status;
}
