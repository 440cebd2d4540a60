/* SPDX-License-Identifier: PostgreSQL */
/*
 * Several processes write to one log on a disk that is full again and again: what a line
 * says is lost is lost, to the line, and nothing else is.
 *
 * The disk is write(2) as this program has it: while it is full, what fits into the last
 * block is written, and no more. It has room again after every writer was refused twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log_child.h"
#include "trace/log/record.h"
#include "trace/log/rotate.h"

#define WRITERS   4
#define LINES     3000
#define LAST      10 /* lines that find room */
#define ROOM_FOR  97 /* writes, until the disk is full again */
#define BLOCK     1024
#define MAX_BYTES 40000

static struct {
	pthread_mutex_t mutex;
	bool full;
	bool over; /* never full again */
	unsigned writes;
	unsigned times_full;
	unsigned cut;
	unsigned refused[WRITERS];
	bool done[WRITERS];
} * disk;
static unsigned me;

static bool all_were_refused(void)
{
	for (unsigned i = 0; i < WRITERS; i++) {
		if (!disk->done[i] && disk->refused[i] < 2) {
			return false;
		}
	}
	return true;
}

static ssize_t write_to_full_disk(int fd, const void *buf, size_t n)
{
	struct stat st;
	size_t room;
	ssize_t done = -1;

	fstat(fd, &st);
	room = (BLOCK - (size_t)st.st_size % BLOCK) % BLOCK;
	if (room > 0) {
		done = syscall(SYS_write, fd, buf, n < room ? n : room);
		disk->cut += n > room;
	} else {
		errno = ENOSPC;
		disk->refused[me]++;
	}
	if (all_were_refused()) {
		disk->full = false;
	}
	return done;
}

ssize_t write(int fd, const void *buf, size_t n)
{
	ssize_t done;

	if (disk == NULL || n == 0) {
		return syscall(SYS_write, fd, buf, n);
	}
	pthread_mutex_lock(&disk->mutex);
	if (!disk->full && !disk->over && ++disk->writes % ROOM_FOR == 0) {
		disk->full = true;
		disk->times_full++;
		memset(disk->refused, 0, sizeof(disk->refused));
	}
	done = disk->full ? write_to_full_disk(fd, buf, n) : syscall(SYS_write, fd, buf, n);
	pthread_mutex_unlock(&disk->mutex);
	return done;
}

/* Whoever was refused twice may wait, so that it does not lose all of its lines. */
static void await_room(void)
{
	bool wait;

	do {
		pthread_mutex_lock(&disk->mutex);
		wait = disk->full && (disk->done[me] || disk->refused[me] >= 2);
		pthread_mutex_unlock(&disk->mutex);
		sched_yield();
	} while (wait);
}

/* What is lost at the end must be told: so the last lines find room. */
static void come_to_an_end(void)
{
	pthread_mutex_lock(&disk->mutex);
	disk->over = true;
	disk->done[me] = true;
	disk->full = disk->full && !all_were_refused();
	pthread_mutex_unlock(&disk->mutex);
	await_room();
}

static void write_lines(void)
{
	record_configure(log_name, LEVEL_INFO, "app");
	record_open();
	for (unsigned i = 0; i < LINES; i++) {
		struct record r;

		if (i == LINES - LAST) {
			come_to_an_end();
		}
		record_begin(&r, LEVEL_INFO, "line");
		record_u64(&r, "writer", me);
		record_u64(&r, "i", i);
		record_end(&r);
		await_room();
	}
}

struct seen {
	int last;
	unsigned lines;
	unsigned lost;
};

/* Where the last line begins up to `end`: it may stand right behind the half of another one. */
static const char *last_beginning(const char *line, const char *end)
{
	for (const char *at = line; at != NULL && at < end; at = strstr(at + 1, "time=")) {
		line = at;
	}
	return line;
}

/* One file of the log; false if it holds what no reader could understand. */
static bool read_part(const char *name, struct seen *seen)
{
	const char *p = contents_of(name);

	while (*p != '\0') {
		const char *end = strchr(p, '\n');
		struct seen *from;

		if (end == NULL || strncmp(end - 5, " torn", 5) == 0) {
			p = end != NULL ? end + 1 : "";
			continue;
		}
		p = parse_line(last_beginning(p, end));
		if (p == NULL) {
			return false;
		}
		from = &seen[atoi(value_of("writer"))];
		if (atoi(value_of("i")) <= from->last) {
			return false;
		}
		from->last = atoi(value_of("i"));
		from->lines++;
		from->lost += has("lost", "(none)") ? 0 : (unsigned)atoi(value_of("lost"));
	}
	return true;
}

static int count_all(void)
{
	struct seen seen[WRITERS] = {{.last = -1}, {.last = -1}, {.last = -1}, {.last = -1}};

	CHECK(disk->times_full > 20 && disk->cut > 5);
	for (int number = 200; number > 0; number--) {
		char name[PATH_MAX + 16];

		snprintf(name, sizeof(name), "%s.%d", log_name, number);
		CHECK(read_part(name, seen));
	}
	CHECK(read_part(log_name, seen));
	for (unsigned i = 0; i < WRITERS; i++) {
		CHECK(seen[i].last == LINES - 1 && seen[i].lost > 0);
		CHECK(seen[i].lines + seen[i].lost == LINES);
	}
	return 0;
}

static int many_writers(int64_t max_bytes)
{
	pthread_mutexattr_t shared;
	pid_t children[WRITERS];

	disk = mmap(NULL, sizeof(*disk), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	            0);
	CHECK(disk != MAP_FAILED);
	pthread_mutexattr_init(&shared);
	pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&disk->mutex, &shared);
	rotate_configure(max_bytes, 200);
	for (me = 0; me < WRITERS; me++) {
		children[me] = fork();
		if (children[me] == 0) {
			write_lines();
			_exit(0);
		}
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		CHECK(status_of(children[i]) == 0);
	}
	return count_all();
}

static int one_file(void)
{
	return many_writers(0);
}

static int many_files(void)
{
	return many_writers(MAX_BYTES);
}

CHILD_TEST(counts_to_the_line, one_file)
CHILD_TEST(counts_to_the_line_while_rotating, many_files)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_to_the_line),
		cmocka_unit_test(counts_to_the_line_while_rotating),
	};

	return cmocka_run_group_tests(tests, make_log_folder, remove_log_folder);
}
