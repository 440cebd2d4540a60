/* SPDX-License-Identifier: PostgreSQL */
/*
 * The C library's functions that may change the effective user or group of the process, which
 * are part of a connection's identity: what is remembered of them is forgotten. Result and
 * errno are the real function's. Any thread, also in a signal handler.
 */
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hooks/interposed.h"
#include "key/process_ids.h"

/* The body of a function that calls the real one of its name, and returns what that does. */
#define CHANGE(name, args)                                                                     \
	static _Atomic(void *) known;                                                          \
	int result;                                                                            \
                                                                                               \
	process_ids_begin_change();                                                            \
	result = REAL(name, &known) args;                                                      \
	process_ids_end_change();                                                              \
	return result

ENTRY int setuid(uid_t uid)
{
	CHANGE(setuid, (uid));
}

ENTRY int setgid(gid_t gid)
{
	CHANGE(setgid, (gid));
}

ENTRY int seteuid(uid_t uid)
{
	CHANGE(seteuid, (uid));
}

ENTRY int setegid(gid_t gid)
{
	CHANGE(setegid, (gid));
}

ENTRY int setreuid(uid_t real, uid_t effective)
{
	CHANGE(setreuid, (real, effective));
}

ENTRY int setregid(gid_t real, gid_t effective)
{
	CHANGE(setregid, (real, effective));
}

ENTRY int setresuid(uid_t real, uid_t effective, uid_t saved)
{
	CHANGE(setresuid, (real, effective, saved));
}

ENTRY int setresgid(gid_t real, gid_t effective, gid_t saved)
{
	CHANGE(setresgid, (real, effective, saved));
}

/*
 * In another user namespace the ids are what another process may write into its map at any
 * time: the change does not end.
 */

ENTRY int unshare(int flags)
{
	static _Atomic(void *) known;

	if ((flags & CLONE_NEWUSER) != 0) {
		process_ids_begin_change();
	}
	return REAL(unshare, &known)(flags);
}

/* 0: the namespace is of the kind that the descriptor says. */
ENTRY int setns(int fd, int kind)
{
	static _Atomic(void *) known;

	if (kind == 0 || (kind & CLONE_NEWUSER) != 0) {
		process_ids_begin_change();
	}
	return REAL(setns, &known)(fd, kind);
}

static bool changes_ids(long number)
{
	switch (number) {
	case SYS_setuid:
	case SYS_setgid:
	case SYS_setreuid:
	case SYS_setregid:
	case SYS_setresuid:
	case SYS_setresgid:
		return true;
	default:
		return false;
	}
}

/* By which servers change the ids of one thread: libc's functions change all threads'. */
ENTRY long syscall(long number, ...)
{
	static _Atomic(void *) known;
	__typeof__(syscall) *real = REAL(syscall, &known);
	bool changes = changes_ids(number);
	long given[6];
	va_list list;
	long result;

	/* As the C library does: whatever is there of the six that the kernel can take. */
	va_start(list, number);
	for (int i = 0; i < 6; i++) {
		given[i] = va_arg(list, long);
	}
	va_end(list);
	if (changes) {
		process_ids_begin_change();
	}
	result = real(number, given[0], given[1], given[2], given[3], given[4], given[5]);
	if (changes) {
		process_ids_end_change();
	}
	return result;
}
