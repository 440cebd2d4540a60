/* SPDX-License-Identifier: PostgreSQL */
/*
 * calls N TIMES: what the system calls of a lease cost by themselves, on N sockets in turns, in
 * nanoseconds. Prints a line for each: its name and the median of TIMES / 100 hundreds; then
 * "all": every one of them once, as a lease makes them; and what it costs to come by as much
 * memory as a lease does in a pool of its own, one line after the other.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HUNDRED 100

#define FILES_MAX 4096

/* Of one session: 13 kB, and 40 lines of 64 bytes in them that a lease comes by. */
#define LINES       40
#define LINE_STRIDE 320

static volatile long sink;
static char passfile[4096]; /* most users have none */
static char *memories[FILES_MAX];

static void ask_ids(int fd)
{
	(void)fd;
	sink += geteuid() + getegid();
}

static void ask_file(int fd)
{
	struct stat st;

	(void)fd;
	sink += stat(passfile, &st);
}

static void ask_socket(int fd)
{
	struct stat st;

	sink += fstat(fd, &st);
}

static void ask_flags(int fd)
{
	sink += fcntl(fd, F_GETFL) + fcntl(fd, F_GETFD);
}

static void ask_for_bytes(int fd)
{
	char byte;

	sink += recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
}

static void ask_all(int fd)
{
	ask_ids(fd);
	ask_file(fd);
	ask_socket(fd);
	ask_for_bytes(fd);
	ask_flags(fd);
}

/* Where the next line is stands in the one before, so that none can be fetched ahead. */
static char *make_lines(void)
{
	char *memory = calloc(LINES, LINE_STRIDE);

	for (size_t i = 0; memory != NULL && i + 1 < LINES; i++) {
		*(char **)(void *)(memory + i * LINE_STRIDE) = memory + (i + 1) * LINE_STRIDE;
	}
	return memory;
}

static void come_by_lines(int fd)
{
	char *line = memories[fd];

	while (*(char *volatile *)(void *)line != NULL) {
		line = *(char **)(void *)line;
	}
	sink += line != NULL;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	double left = *(const double *)a;
	double right = *(const double *)b;

	return left < right ? -1 : left > right;
}

static double measure(void (*call)(int fd), const int *sockets, long n, long times)
{
	long hundreds = times / HUNDRED;
	double *figures = calloc((size_t)hundreds, sizeof(*figures));
	double median;

	for (long i = 0; i < hundreds; i++) {
		uint64_t begin = now_ns();

		for (long j = 0; j < HUNDRED; j++) {
			call(sockets[(i * HUNDRED + j) % n]);
		}
		figures[i] = (double)(now_ns() - begin) / HUNDRED;
	}
	qsort(figures, (size_t)hundreds, sizeof(*figures), ascending);
	median = figures[hundreds / 2];
	free(figures);
	return median;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*call)(int fd);
	} calls[] = {
		{"geteuid, getegid", ask_ids},
		{"stat", ask_file},
		{"fstat", ask_socket},
		{"recv, a peek", ask_for_bytes},
		{"fcntl, twice", ask_flags},
		{"all", ask_all},
		{"40 lines of memory", come_by_lines},
	};
	long n = argc == 3 ? atol(argv[1]) : 0;
	struct rlimit files = {FILES_MAX, FILES_MAX};
	int *sockets = calloc((size_t)(n > 0 ? n : 1), sizeof(int));

	if (n < 1 || atol(argv[2]) < HUNDRED) {
		fprintf(stderr, "usage: calls N TIMES\n");
		return 2;
	}
	snprintf(passfile, sizeof(passfile), "%s/.pgpass-of-nobody",
	         getenv("HOME") != NULL ? getenv("HOME") : "");
	setrlimit(RLIMIT_NOFILE, &files);
	for (long i = 0; i < n; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) {
			perror("calls: socketpair");
			return 1;
		}
		sockets[i] = pair[0];
		memories[pair[0]] = make_lines();
		if (memories[pair[0]] == NULL) {
			perror("calls: calloc");
			return 1;
		}
	}
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		printf("%s\t%.1f\n", calls[i].name,
		       measure(calls[i].call, sockets, n, atol(argv[2])));
	}
	return 0;
}
