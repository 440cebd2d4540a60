/* SPDX-License-Identifier: PostgreSQL */
/* Who we are: process and thread number, asked of the kernel once. */
#include "base/self.h"

#include <stdatomic.h>
#include <unistd.h>

static _Atomic(pid_t) pid;
static _Thread_local pid_t tid;

pid_t self_pid(void)
{
	pid_t known = atomic_load_explicit(&pid, memory_order_relaxed);

	if (known == 0) {
		known = getpid();
		atomic_store_explicit(&pid, known, memory_order_relaxed);
	}
	return known;
}

pid_t self_tid(void)
{
	if (tid == 0) {
		tid = gettid();
	}
	return tid;
}

void self_renew(void)
{
	atomic_store_explicit(&pid, getpid(), memory_order_relaxed);
	tid = 0;
}
