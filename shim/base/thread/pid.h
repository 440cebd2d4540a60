/* SPDX-License-Identifier: PostgreSQL */
/*
 * Who we are: process and thread number, asked of the kernel once.
 *
 * A child of fork(2) asks anew, because lifecycle.c tells it to (self_renew). A child of
 * vfork(2) or of a raw clone(2) would be given its parent's numbers; lifecycle.c sees to it
 * that those never get further than the guard, and to tell them without a system call each
 * time the process is marked: with memory that the kernel wipes in a child.
 */
#ifndef PQPOOL_BASE_THREAD_PID_H
#define PQPOOL_BASE_THREAD_PID_H

#include <stdbool.h>
#include <sys/types.h>

pid_t self_pid(void);
pid_t self_tid(void);

/* Marks the process, where the kernel can do that; once, before self_is_marked. */
void self_mark(void);

/*
 * False in a child whose memory is a copy and who did not come by self_renew. True in one
 * that shares it with its parent, as of vfork(2), where the mark can be had: what such a
 * child may do at all, and must not do in its parent's name, asks getpid(2).
 */
bool self_is_marked(void);

/* In a forked child, before anything else. */
void self_renew(void);

#endif
