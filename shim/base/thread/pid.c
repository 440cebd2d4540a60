/* SPDX-License-Identifier: PostgreSQL */
/* The process's and the thread's number, asked of the kernel once. */
#include "base/thread/pid.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic(pid_t) pid;
static _Thread_local pid_t tid;

/* Not 0 in the process that set it; the kernel wipes it in a child. NULL: it cannot. */
static atomic_int *mark;

pid_t pid_self(void)
{
	pid_t known = atomic_load_explicit(&pid, memory_order_relaxed);

	if (known == 0) {
		known = getpid();
		atomic_store_explicit(&pid, known, memory_order_relaxed);
	}
	return known;
}

pid_t tid_self(void)
{
	if (tid == 0) {
		tid = gettid();
	}
	return tid;
}

void pid_mark(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED) {
		return;
	}
	if (madvise(page, size, MADV_WIPEONFORK) != 0) {
		munmap(page, size);
		return;
	}
	mark = page;
	atomic_store_explicit(mark, 1, memory_order_relaxed);
}

bool pid_is_marked(void)
{
	return mark != NULL ? atomic_load_explicit(mark, memory_order_relaxed) != 0
	                    : pid_self() == getpid();
}

void pid_renew(void)
{
	atomic_store_explicit(&pid, getpid(), memory_order_relaxed);
	tid = 0;
	if (mark != NULL) {
		atomic_store_explicit(mark, 1, memory_order_relaxed);
	}
}
