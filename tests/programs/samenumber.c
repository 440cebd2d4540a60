/* SPDX-License-Identifier: PostgreSQL */
/*
 * Asynchronous connects that wait for the session of another connection of the program, while a
 * thread takes and closes descriptors. Prints how many there were, and of how many the socket
 * had another number in the end than in the beginning.
 *
 *   samenumber ROUNDS
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <libpq-fe.h>

#define TAKEN 8

static atomic_bool over;

static void *take_and_close(void *arg)
{
	while (!atomic_load(&over)) {
		int fds[TAKEN];

		for (int i = 0; i < TAKEN; i++) {
			fds[i] = dup(STDERR_FILENO);
		}
		for (int i = 0; i < TAKEN; i++) {
			close(fds[i]);
		}
	}
	return arg;
}

/* Until it is connected, failed, or for `ms` there was nothing to do. */
static PostgresPollingStatusType drive(PGconn *conn, PostgresPollingStatusType wants, int ms)
{
	while (wants != PGRES_POLLING_OK && wants != PGRES_POLLING_FAILED) {
		struct pollfd p = {.fd = PQsocket(conn),
		                   .events = wants == PGRES_POLLING_READING ? POLLIN : POLLOUT};

		if (poll(&p, 1, ms) == 0) {
			break;
		}
		wants = PQconnectPoll(conn);
	}
	return wants;
}

/* True: its number changed. */
static int has_another_number(void)
{
	PGconn *holder = PQconnectdb("");
	PGconn *conn = PQconnectStart("");
	int number = PQsocket(conn);
	PostgresPollingStatusType wants = drive(conn, PGRES_POLLING_WRITING, 10);
	int changed;

	PQfinish(holder);
	if (drive(conn, wants, -1) != PGRES_POLLING_OK) {
		fprintf(stderr, "%s", PQerrorMessage(conn));
		exit(1);
	}
	changed = PQsocket(conn) != number;
	PQfinish(conn);
	return changed;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1;
	int changed = 0;
	pthread_t thief;

	pthread_create(&thief, NULL, take_and_close, NULL);
	for (int i = 0; i < rounds; i++) {
		changed += has_another_number();
	}
	atomic_store(&over, true);
	pthread_join(thief, NULL);
	printf("%d rounds, %d changed\n", rounds, changed);
	return 0;
}
