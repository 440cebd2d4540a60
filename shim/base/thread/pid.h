/* SPDX-License-Identifier: PostgreSQL */
/*
 * The process's and the thread's number, asked of the kernel once.
 *
 * A child of fork(2) asks again, by pid_renew. A child of vfork(2) or of a raw clone(2) would
 * get its parent's numbers; lifecycle.c keeps it out, and recognises it without a system call
 * by a mark: memory that the kernel wipes in a child.
 */
#ifndef PQPOOL_BASE_THREAD_PID_H
#define PQPOOL_BASE_THREAD_PID_H

#include <stdbool.h>
#include <sys/types.h>

pid_t pid_self(void);
pid_t tid_self(void);

/* Marks the process, if the kernel can; once, before pid_is_marked. */
void pid_mark(void);

/*
 * False in a child whose memory is a copy and that did not call pid_renew. With the mark, true
 * in one that shares memory with its parent, as of vfork(2): what such a child must not do in
 * its parent's name has to ask getpid(2).
 */
bool pid_is_marked(void);

/* In a forked child, before anything else. */
void pid_renew(void);

#endif
