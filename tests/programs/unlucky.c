/* SPDX-License-Identifier: PostgreSQL */
/*
 * unlucky SCENE...: does what SCENE says, and goes on whatever fails: a line for each answer,
 * or for the error in its place. From the line "again" on nothing is made to fail any more
 * (inject_over of modules/inject.c): a session is used twice there, and the descriptors are
 * counted.
 *
 * Scenes: once, steps, line (a full pool, in steps), wait (the same, blocking), state, cancel,
 * fork, exec, leak, threads, many.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 20000

static void complain(const char *message)
{
	printf("error: %s\n", message != NULL && *message != '\0'
	                              ? strtok(strdup(message), "\n")
	                              : "nothing is said");
}

static int is_open(PGconn *conn)
{
	if (PQstatus(conn) == CONNECTION_OK) {
		return 1;
	}
	complain(PQerrorMessage(conn));
	return 0;
}

static void ask(PGconn *conn, const char *query)
{
	PGresult *result = PQexec(conn, query);

	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1) {
		printf("%s\n", PQgetvalue(result, 0, 0));
	} else if (PQresultStatus(result) == PGRES_COMMAND_OK) {
		printf("%s\n", PQcmdStatus(result));
	} else {
		complain(result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(conn));
	}
	PQclear(result);
}

static void use(PGconn *conn)
{
	if (is_open(conn)) {
		ask(conn, "SELECT 1");
	}
}

static void use_once(void)
{
	PGconn *conn = PQconnectdb("");

	use(conn);
	PQfinish(conn);
}

static void once(void)
{
	use_once();
	use_once();
}

/* ---- in steps ------------------------------------------------------------------- */

static void wait_for(PGconn *conn, PostgresPollingStatusType what)
{
	struct pollfd p = {.fd = PQsocket(conn),
	                   .events = what == PGRES_POLLING_READING ? POLLIN : POLLOUT};

	if (poll(&p, 1, PATIENCE_MS) == 0) {
		printf("nothing comes\n");
		exit(3);
	}
}

static int is_over(PostgresPollingStatusType what)
{
	return what == PGRES_POLLING_OK || what == PGRES_POLLING_FAILED;
}

static void connect_on(PGconn *conn)
{
	PostgresPollingStatusType what = PGRES_POLLING_WRITING;

	while (conn != NULL && PQstatus(conn) != CONNECTION_BAD && !is_over(what)) {
		wait_for(conn, what);
		what = PQconnectPoll(conn);
	}
}

static void in_steps(void)
{
	PGconn *conn = PQconnectStart("");

	connect_on(conn);
	use(conn);
	PQfinish(conn);
}

static void steps(void)
{
	in_steps();
	in_steps();
}

/* The second one begins while the first one is open. */
static void line(void)
{
	PGconn *first = PQconnectdb("");
	PGconn *second = PQconnectStart("");

	if (second != NULL && PQstatus(second) != CONNECTION_BAD) {
		wait_for(second, PGRES_POLLING_WRITING);
		PQconnectPoll(second);
	}
	use(first);
	PQfinish(first);
	connect_on(second);
	use(second);
	PQfinish(second);
}

/* ---- threads ------------------------------------------------------------------------ */

static void *use_in_thread(void *arg)
{
	(void)arg;
	use_once();
	return NULL;
}

static void in_threads(int count)
{
	pthread_t threads[8];

	for (int i = 0; i < count; i++) {
		pthread_create(&threads[i], NULL, use_in_thread, NULL);
	}
	for (int i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
	}
}

static void threads(void)
{
	in_threads(4);
}

static void wait_in_line(void)
{
	PGconn *conn = PQconnectdb("");
	pthread_t thread;

	pthread_create(&thread, NULL, use_in_thread, NULL);
	use(conn);
	ask(conn, "SELECT 1 FROM pg_sleep(0.02)");
	PQfinish(conn);
	pthread_join(thread, NULL);
}

/* ---- what is left behind ------------------------------------------------------------- */

static void state(void)
{
	static const char *const statements[] = {"SET search_path = nowhere", "BEGIN",
	                                         "CREATE TEMP TABLE t (a int)", "LISTEN x"};

	for (int i = 0; i < 4; i++) {
		PGconn *conn = PQconnectdb("");

		if (is_open(conn)) {
			ask(conn, statements[i]);
		}
		PQfinish(conn);
	}
	use_once();
}

static void cancel(void)
{
	PGconn *conn = PQconnectdb("");
	PGcancel *cancel = PQstatus(conn) == CONNECTION_OK ? PQgetCancel(conn) : NULL;
	char error[256] = "";

	if (is_open(conn) && cancel == NULL) {
		complain("no cancel object");
	} else if (cancel != NULL && !PQcancel(cancel, error, sizeof(error))) {
		complain(error);
	} else if (cancel != NULL) {
		printf("cancelled\n");
	}
	PQfinish(conn);
	PQfreeCancel(cancel);
	use_once();
}

static void many(void)
{
	for (int i = 0; i < 8; i++) {
		use_once();
	}
}

/* One that finishes what it takes there, and so forgets the other. */
static void leak(void)
{
	PGconn *conn = NULL;

	for (int i = 0; i < 2; i++) {
		PQfinish(conn);
		conn = PQconnectdb("");
		use(conn);
	}
}

/* ---- processes -------------------------------------------------------------------------- */

static void forks(void)
{
	int status = 0;
	pid_t child;

	use_once();
	fflush(stdout);
	child = fork();
	if (child == 0) {
		once();
		exit(0);
	}
	waitpid(child, &status, 0);
	printf("child %d\n", status);
	use_once();
}

static void exec(char *self)
{
	use_once();
	fflush(stdout);
	execl(self, self, "once", (char *)NULL);
}

/* ---- and then -------------------------------------------------------------------------------
 */

static void count_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++) {
		count += fcntl(fd, F_GETFD) >= 0;
	}
	printf("descriptors %d\n", count);
}

static void again(void)
{
	void (*over)(void);
	int pids[2];

	*(void **)&over = dlsym(RTLD_DEFAULT, "inject_over");
	if (over != NULL) {
		over();
	}
	printf("again\n");
	for (int i = 0; i < 2; i++) {
		PGconn *conn = PQconnectdb("");

		use(conn);
		pids[i] = PQbackendPID(conn);
		PQfinish(conn);
	}
	printf("%s\n", pids[0] == pids[1] ? "pooled" : "not pooled");
	count_descriptors();
}

static const struct {
	const char *name;
	void (*play)(void);
} scenes[] = {
	{"once", once},       {"steps", steps},   {"line", line}, {"wait", wait_in_line},
	{"state", state},     {"cancel", cancel}, {"many", many}, {"leak", leak},
	{"threads", threads}, {"fork", forks},
};

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		for (size_t k = 0; k < sizeof(scenes) / sizeof(scenes[0]); k++) {
			if (strcmp(argv[i], scenes[k].name) == 0) {
				scenes[k].play();
			}
		}
		if (strcmp(argv[i], "exec") == 0) {
			exec(argv[0]);
		}
	}
	again();
	return 0;
}
