/* SPDX-License-Identifier: PostgreSQL */
/*
 * Who we are: process and thread number, asked of the kernel once.
 *
 * A child of fork(2) asks anew, because lifecycle.c tells it to (pid_renew). A child of
 * vfork(2) or of a raw clone(2) would be given its parent's numbers; lifecycle.c sees to it
 * that those never get further than the guard, and to tell them without a system call each
 * time the process is marked: with memory that the kernel wipes in a child.
 */
#ifndef PQPOOL_BASE_THREAD_PID_H
#define PQPOOL_BASE_THREAD_PID_H

#include <stdbool.h>
#include <sys/types.h>

pid_t pid_self(void);
pid_t tid_self(void);

/* Marks the process, where the kernel can do that; once, before pid_is_marked. */
void pid_mark(void);

/*
 * False in a child whose memory is a copy and who did not come by pid_renew. True in one
 * that shares it with its parent, as of vfork(2), where the mark can be had: what such a
 * child may do at all, and must not do in its parent's name, asks getpid(2).
 */
bool pid_is_marked(void);

/* In a forked child, before anything else. */
void pid_renew(void);

#endif
