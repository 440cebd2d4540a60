/* SPDX-License-Identifier: PostgreSQL */
/*
 * threadend threads: each thread connects, works and finishes, and does so again in each of the
 * rounds in which its keys' destructors are called, one of which was made before the first
 * connect, and one after it. Then a child of a thread does the same.
 */
#include "plain.h"

#include <limits.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_key_t keys[2];
static __thread unsigned calls;
static __thread long sum;

static void connect_once(void)
{
	PGconn *conn = open_database();

	sum += ask(conn, "SELECT 7");
	PQfinish(conn);
}

static void end(void *key)
{
	connect_once();
	if (++calls < 2 * PTHREAD_DESTRUCTOR_ITERATIONS) {
		pthread_setspecific(*(pthread_key_t *)key, key);
	} else {
		printf("%ld\n", sum);
	}
}

static void *work(void *arg)
{
	(void)arg;
	connect_once();
	for (int i = 0; i < 2; i++) {
		pthread_setspecific(keys[i], &keys[i]);
	}
	return NULL;
}

static void *fork_and_work(void *arg)
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		work(arg);
		pthread_exit(NULL);
	}
	waitpid(child, &status, 0);
	printf("child: %d\n", status);
	return work(arg);
}

int main(int argc, char **argv)
{
	pthread_t thread;

	pthread_key_create(&keys[0], end);
	connect_once();
	pthread_key_create(&keys[1], end);
	for (int i = 0; argc > 1 && i < atoi(argv[1]); i++) {
		pthread_create(&thread, NULL, work, NULL);
		pthread_join(thread, NULL);
	}
	pthread_create(&thread, NULL, fork_and_work, NULL);
	pthread_join(thread, NULL);
	return 0;
}
