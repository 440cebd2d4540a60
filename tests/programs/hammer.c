/* SPDX-License-Identifier: PostgreSQL */
/*
 * hammer THREADS TIMES [QUESTION]: that many threads, each of which connects, asks one
 * question, to which 42 is the answer, and finishes, that often and all at once. Prints how
 * many questions were answered.
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_barrier_t start;
static atomic_int answered;
static int times;
static const char *question = "SELECT 42";

static void *work(void *unused)
{
	pthread_barrier_wait(&start);
	for (int i = 0; i < times; i++) {
		PGconn *conn = PQconnectdb("");
		PGresult *result = PQexec(conn, question);

		if (PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "42") == 0) {
			atomic_fetch_add(&answered, 1);
		} else {
			fprintf(stderr, "hammer: %s", PQerrorMessage(conn));
		}
		PQclear(result);
		PQfinish(conn);
	}
	return unused;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 4;
	pthread_t *threads = calloc((size_t)count, sizeof(*threads));

	times = argc > 2 ? atoi(argv[2]) : 10;
	question = argc > 3 ? argv[3] : question;
	pthread_barrier_init(&start, NULL, (unsigned)count);
	for (int i = 0; i < count; i++) {
		if (pthread_create(&threads[i], NULL, work, NULL) != 0) {
			perror("hammer");
			return 1;
		}
	}
	for (int i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
	}
	free(threads);
	printf("%d\n", atomic_load(&answered));
	return 0;
}
