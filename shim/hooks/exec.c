/* SPDX-License-Identifier: PostgreSQL */
/*
 * The program becomes another one. Its descriptors close by themselves then, without a word
 * to the server, which would log an answer that nobody read, or the silence of TLS, as a
 * fault. So the idle sessions are closed before.
 *
 * libc's functions of this family do not call each other by name, so each is answered
 * for; those that take a list make an array of it, on the stack as libc does, for they are
 * called in children of fork and vfork. What posix_spawn, system and popen start is
 * not seen here, and has nothing of ours.
 *
 * The real ones are looked up when they are needed, so that a program without libpq pays for
 * nothing. That may be in the child of a program with threads: glibc's fork() renews the
 * dynamic linker's lock there, and a vfork child waits for threads that go on running.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/dl.h"
#include "hooks/interposed.h"
#include "hooks/lifecycle.h"

enum real { EXECV, EXECVE, EXECVP, EXECVPE, FEXECVE, EXECVEAT, REALS };

static const char names[REALS][12] = {"execv",   "execve",  "execvp",
                                      "execvpe", "fexecve", "execveat"};
static _Atomic(void *) found[REALS];

/* What one of them is called with. */
struct program {
	enum real by;
	int fd;
	int flags;
	const char *path;
	char *const *argv;
	char *const *envp;
};

static void *find(enum real which)
{
	void *function = atomic_load_explicit(&found[which], memory_order_relaxed);

	if (function == NULL) {
		function = dl_next(names[which]);
		atomic_store_explicit(&found[which], function, memory_order_relaxed);
	}
	return function;
}

static int call(const struct program *p)
{
	int (*path)(const char *, char *const *);
	int (*path_env)(const char *, char *const *, char *const *);
	int (*fd)(int, char *const *, char *const *);
	int (*at)(int, const char *, char *const *, char *const *, int);
	void *function = find(p->by);

	if (function == NULL) {
		errno = ENOSYS;
		return -1;
	}
	switch (p->by) {
	case EXECV:
	case EXECVP:
		*(void **)&path = function;
		return path(p->path, p->argv);
	case FEXECVE:
		*(void **)&fd = function;
		return fd(p->fd, p->argv, p->envp);
	case EXECVEAT:
		*(void **)&at = function;
		return at(p->fd, p->path, p->argv, p->envp, p->flags);
	case EXECVE:
	case EXECVPE:
	case REALS:
		break;
	}
	*(void **)&path_env = function;
	return path_env(p->path, p->argv, p->envp);
}

/* Programs search for one by trying where it might be: that is to cost no session. */
static bool is_there(const struct program *p)
{
	int saved_errno = errno;
	bool there = (p->by != EXECV && p->by != EXECVE) ||
	             (p->path != NULL && faccessat(AT_FDCWD, p->path, X_OK, AT_EACCESS) == 0);

	errno = saved_errno;
	return there;
}

/* Returns only if the program could not be started. */
static int become(const struct program *p)
{
	struct departure departure = {0};
	int result;

	if (lifecycle_has_pool() && is_there(p)) {
		departure = lifecycle_exec_begin();
	}
	result = call(p);
	lifecycle_exec_failed(&departure);
	return result;
}

/* ---- with an array ---------------------------------------------------------------- */

ENTRY int execv(const char *path, char *const argv[])
{
	return become(&(struct program){.by = EXECV, .path = path, .argv = argv});
}

ENTRY int execve(const char *path, char *const argv[], char *const envp[])
{
	return become(
		&(struct program){.by = EXECVE, .path = path, .argv = argv, .envp = envp});
}

ENTRY int execvp(const char *file, char *const argv[])
{
	return become(&(struct program){.by = EXECVP, .path = file, .argv = argv});
}

ENTRY int execvpe(const char *file, char *const argv[], char *const envp[])
{
	return become(
		&(struct program){.by = EXECVPE, .path = file, .argv = argv, .envp = envp});
}

ENTRY int fexecve(int fd, char *const argv[], char *const envp[])
{
	return become(&(struct program){.by = FEXECVE, .fd = fd, .argv = argv, .envp = envp});
}

ENTRY int execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
	return become(&(struct program){.by = EXECVEAT,
	                                .fd = fd,
	                                .path = path,
	                                .argv = argv,
	                                .envp = envp,
	                                .flags = flags});
}

/* ---- with a list ------------------------------------------------------------------ */

/* How many arguments there are with the first one, the end not counted. */
static int count_list(const char *first, va_list list)
{
	int count = first != NULL;

	while (count > 0 && count < INT_MAX && va_arg(list, const char *) != NULL) {
		count++;
	}
	return count;
}

/* The environment, where there is one, comes behind the end of the list. */
static int become_by_list(enum real by, const char *path, const char *first, va_list list)
{
	va_list ahead;
	int count;

	va_copy(ahead, list);
	count = count_list(first, ahead);
	va_end(ahead);
	if (count == INT_MAX) {
		errno = E2BIG;
		return -1;
	}

	char *argv[count + 1];

	argv[0] = (char *)first;
	for (int i = 1; i <= count; i++) {
		argv[i] = va_arg(list, char *);
	}
	return become(&(struct program){.by = by,
	                                .path = path,
	                                .argv = argv,
	                                .envp = by == EXECVE ? va_arg(list, char **) : NULL});
}

ENTRY int execl(const char *path, const char *arg, ...)
{
	va_list list;
	int result;

	va_start(list, arg);
	result = become_by_list(EXECV, path, arg, list);
	va_end(list);
	return result;
}

ENTRY int execlp(const char *file, const char *arg, ...)
{
	va_list list;
	int result;

	va_start(list, arg);
	result = become_by_list(EXECVP, file, arg, list);
	va_end(list);
	return result;
}

ENTRY int execle(const char *path, const char *arg, ...)
{
	va_list list;
	int result;

	va_start(list, arg);
	result = become_by_list(EXECVE, path, arg, list);
	va_end(list);
	return result;
}
