/* SPDX-License-Identifier: PostgreSQL */
/*
 * smallstack BYTES WHAT: does it in a thread whose stack has so many bytes.
 *
 * cycles    connects, works and finishes, five times
 * steps     the same by PQconnectStart and PQconnectPoll
 * wait      connects while the main thread has a connection, which it keeps
 * fork      cycles, and its child, too
 * exit      connects, and ends the program
 */
#include "plain.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static void work(PGconn *conn)
{
	printf("%d\n", ask(conn, "SELECT 6 * 7"));
	PQfinish(conn);
}

static void *cycles(void *arg)
{
	for (int i = 0; i < 5; i++) {
		work(open_database());
	}
	return arg;
}

static PGconn *open_by_steps(void)
{
	PGconn *conn = PQconnectStart("");
	PostgresPollingStatusType wants = PGRES_POLLING_WRITING;

	while (wants == PGRES_POLLING_READING || wants == PGRES_POLLING_WRITING) {
		struct pollfd ready = {.fd = PQsocket(conn),
		                       .events = wants == PGRES_POLLING_READING ? POLLIN
		                                                                : POLLOUT};

		poll(&ready, 1, -1);
		wants = PQconnectPoll(conn);
	}
	return conn;
}

static void *steps(void *arg)
{
	for (int i = 0; i < 5; i++) {
		work(open_by_steps());
	}
	return arg;
}

static void *connect_and_see(void *arg)
{
	PGconn *conn = PQconnectdb("");

	printf("%s\n",
	       PQstatus(conn) == CONNECTION_OK || strstr(PQerrorMessage(conn), "became free")
	               ? "answered"
	               : PQerrorMessage(conn));
	PQfinish(conn);
	return arg;
}

static void *fork_too(void *arg)
{
	int status;
	pid_t child;

	cycles(arg);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		cycles(arg);
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, &status, 0);
	printf("child: %d\n", status);
	return arg;
}

static void *end_all(void *arg)
{
	work(open_database());
	open_database();
	fflush(stdout);
	exit(arg != NULL);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void *(*run)(void *arg);
	} modes[] = {{"cycles", cycles},
	             {"steps", steps},
	             {"wait", connect_and_see},
	             {"fork", fork_too},
	             {"exit", end_all}};
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	for (size_t i = 0; argc == 3 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, argv[2]) == 0 &&
		    pthread_attr_setstacksize(&attributes, (size_t)atol(argv[1])) == 0) {
			PGconn *held = i == 2 ? open_database() : NULL;

			pthread_create(&thread, &attributes, modes[i].run, NULL);
			pthread_join(thread, NULL);
			PQfinish(held);
			return 0;
		}
	}
	return 64;
}
