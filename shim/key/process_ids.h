/* SPDX-License-Identifier: PostgreSQL */
/*
 * The effective user and group of the process, asked of the kernel only after they may have
 * changed.
 *
 * They decide whether a socket may be connected to and who its peer is, which files can be
 * read, and whose tickets Kerberos uses. They change by the C library's set*id functions, which
 * hooks/credentials.c answers for: until the next of these calls an answer of the kernel's
 * holds.
 *
 * Nothing is remembered in another user namespace, because who has the right to write its maps
 * changes the ids without a call of ours; and where a module was loaded whose calls are bound
 * past us (RTLD_DEEPBIND).
 *
 * Not seen: system calls past the C library's syscall(2). By these a process without CAP_SETUID
 * and CAP_SETGID can become only what its real and saved ids are already; a privileged one is
 * taken for the user that it was.
 *
 * Locks: none. Threads: each keeps its own answer. Fork: the child's ids are the parent's.
 */
#ifndef PQPOOL_KEY_PROCESS_IDS_H
#define PQPOOL_KEY_PROCESS_IDS_H

#include <sys/types.h>

struct process_ids {
	uid_t uid;
	gid_t gid;
};

/* The effective ones. */
struct process_ids process_ids_now(void);

/*
 * Around a call that may change them, in whatever thread; while one has begun and not ended,
 * nothing is remembered. Async-signal-safe.
 */
void process_ids_begin_change(void);
void process_ids_end_change(void);

#endif
