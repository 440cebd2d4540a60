/* SPDX-License-Identifier: PostgreSQL */
/* Self-deadlock: which threads are blocked, and whether all are. */
#include "pool/deadlock.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/text/hash.h"
#include "base/thread/pid.h"

/* In /proc/self/stat, counted from the state, which follows the program's name. */
#define FIELD_THREADS 17

static struct lock lock = LOCK_INITIALIZER(LOCK_BLOCKED);
static struct blocked *all; /* in the order in which they came */
static uint64_t count;
static uint64_t changes; /* of the set, so far */

void deadlock_block(struct blocked *blocked)
{
	lock_take(&lock);
	blocked->counted = true;
	blocked->tid = tid_self();
	DL_APPEND(all, blocked);
	count++;
	changes++;
	lock_drop(&lock);
}

static void take_out_locked(struct blocked *blocked)
{
	DL_DELETE(all, blocked);
	blocked->counted = false;
	count--;
	changes++;
}

void deadlock_unblock(struct blocked *blocked)
{
	lock_take(&lock);
	if (blocked->counted) {
		take_out_locked(blocked);
	}
	lock_drop(&lock);
}

/* The name may have blanks and parentheses in it, so the last parenthesis ends it. */
static uint64_t parse_threads(const char *stat)
{
	const char *at = strrchr(stat, ')');
	uint64_t threads = 0;

	for (int i = 0; at != NULL && i <= FIELD_THREADS; i++) {
		at = strchr(at + 1, ' ');
	}
	if (at == NULL) {
		return 0;
	}
	for (at++; *at >= '0' && *at <= '9'; at++) {
		threads = threads * 10 + (uint64_t)(*at - '0');
	}
	return threads;
}

/* 0: the kernel does not say. */
static uint64_t threads_of_process(void)
{
	char buf[512];
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	if (fd >= 0) {
		n = read(fd, buf, sizeof(buf) - 1);
		close(fd);
	}
	if (n <= 0) {
		return 0;
	}
	buf[n] = '\0';
	return parse_threads(buf);
}

bool deadlock_proven(struct blocked *blocked)
{
	uint64_t count_before;
	uint64_t changes_before;
	bool newest;
	bool proven;

	lock_assert_none();
	lock_take(&lock);
	/* utlist keeps the last element in the head's prev. */
	newest = blocked->counted && all->prev == blocked;
	count_before = count;
	changes_before = changes;
	lock_drop(&lock);
	if (!newest || threads_of_process() != count_before) {
		return false;
	}
	lock_take(&lock);
	proven = changes == changes_before;
	if (proven) {
		take_out_locked(blocked);
	}
	lock_drop(&lock);
	return proven;
}

bool deadlock_is_blocked(pid_t tid)
{
	const struct blocked *blocked;
	bool found = false;

	lock_take(&lock);
	DL_FOREACH (all, blocked) {
		found = found || blocked->tid == tid;
	}
	lock_drop(&lock);
	return found;
}

void deadlock_fork_prepare(void)
{
	lock_take(&lock);
}

void deadlock_fork_parent(void)
{
	lock_drop(&lock);
}

void deadlock_fork_child(void)
{
	all = NULL;
	count = 0;
	changes++;
	lock_drop(&lock);
}
