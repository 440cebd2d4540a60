/* SPDX-License-Identifier: PostgreSQL */
/*
 * handles N: goes through N rounds of connecting, asking and finishing, while a signal handler
 * uses, connects and finishes connections of its own, whatever it interrupts. The signals are
 * somebody else's (modules/interrupt.c).
 */
#include "plain.h"

#include <signal.h>

static PGconn *volatile spare;
static volatile sig_atomic_t rounds;
static volatile int handled;

static void handle(int number)
{
	PGconn *conn = spare;

	(void)number;
	if (conn == NULL) {
		return;
	}
	spare = NULL;
	handled++;
	switch (handled % 3) {
	case 0:
		PQclear(PQexec(conn, "SET work_mem = '99MB'"));
		break;
	case 1:
		PQfinish(PQconnectdb(""));
		break;
	default:
		break;
	}
	PQfinish(conn);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = handle};
	int n = argc > 1 ? atoi(argv[1]) : 1;
	int wrong = 0;

	sigaction(SIGUSR1, &action, NULL);
	for (rounds = 0; rounds < n; rounds++) {
		PGconn *conn = open_database();

		if (spare == NULL) {
			spare = open_database();
		}
		wrong += ask(conn, "SELECT count(*) FROM pg_settings"
		                   " WHERE name = 'work_mem' AND setting = '101376'") != 0;
		PQfinish(conn);
	}
	if (spare != NULL) {
		PGconn *conn = spare;

		spare = NULL;
		PQfinish(conn);
	}
	printf("%d rounds, %d wrong\n", n, wrong);
	fprintf(stderr, "%d\n", handled);
	return 0;
}
