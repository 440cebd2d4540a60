/* SPDX-License-Identifier: PostgreSQL */
/*
 * The exec functions: idle sessions are closed before. The kernel would close their sockets
 * without a Terminate, and the server would log that as a fault over TLS or with an answer
 * unread.
 *
 * libc's functions of this family do not call each other by name, so each is interposed; those
 * that take a list make an array of it, on the stack as libc does, for they are called in
 * children of fork and vfork. What posix_spawn, system and popen start is not seen here, and
 * inherits nothing of ours.
 *
 * The real functions are looked up when needed, so that a program without libpq pays nothing.
 * That may be in the child of a program with threads: glibc's fork() renews the dynamic
 * linker's lock there, and a vfork child's other threads keep running.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include "acquire/fork_exec_exit.h"
#include "base/dl.h"
#include "base/unwind/unwind.h"
#include "hooks/interposed.h"
#include "hooks/lifecycle.h"
#include "trace/log/record.h"

/* Programs try the folders of PATH one by one: that must not cost the sessions. */
static bool is_there(const char *path)
{
	int saved_errno = errno;
	bool there = path != NULL && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;

	errno = saved_errno;
	return there;
}

/* What was done for an exec that may fail yet. */
struct departure {
	bool begun;
	bool paused; /* the pool was emptied, and fills again */
};

static void tell_exec(const char *event)
{
	struct record r;

	if (record_begin(&r, LEVEL_INFO, event)) {
		record_end(&r);
	}
}

/*
 * Closes the idle sessions, where that is to be done in this process and now. In a signal
 * handler, which may have interrupted malloc, only their answers are read, and nothing is
 * pooled from then on.
 */
static struct departure begin(void)
{
	struct departure departure = {0};
	struct guard guard;

	if (!lifecycle_may_act() || !lifecycle_enter_bare(&guard)) {
		return departure;
	}
	departure.begun = true;
	if (unwind_in_signal_handler()) {
		acquire_leave();
	} else {
		departure.paused = acquire_pause();
	}
	/* For a reader of the log: the open leases have no owner any more. */
	tell_exec("exec");
	lifecycle_leave(&guard);
	return departure;
}

static void failed(const struct departure *departure)
{
	struct guard guard;

	if (departure->paused) {
		acquire_resume();
	}
	if (departure->begun && lifecycle_enter_bare(&guard)) {
		tell_exec("exec_failed");
		lifecycle_leave(&guard);
	}
}

/*
 * The body of a function that calls libc's of the same name; it returns only if the program
 * could not be started. `there`: as far as we know it can.
 */
#define EXEC(name, there, args)                                                                \
	static _Atomic(void *) known;                                                          \
	__typeof__(name) *real = REAL(name, &known);                                           \
	struct departure departure = {0};                                                      \
	int result = -1;                                                                       \
                                                                                               \
	if (lifecycle_has_pool() && (there)) {                                                 \
		departure = begin();                                                           \
	}                                                                                      \
	errno = real != NULL ? errno : ENOSYS;                                                 \
	result = real != NULL ? real args : -1;                                                \
	failed(&departure);                                                                    \
	return result

/* ---- with an array ---------------------------------------------------------------- */

static int run_execv(const char *path, char *const argv[], char *const envp[])
{
	(void)envp;
	EXEC(execv, is_there(path), (path, argv));
}

static int run_execve(const char *path, char *const argv[], char *const envp[])
{
	EXEC(execve, is_there(path), (path, argv, envp));
}

static int run_execvp(const char *file, char *const argv[], char *const envp[])
{
	(void)envp;
	EXEC(execvp, true, (file, argv));
}

ENTRY int execv(const char *path, char *const argv[])
{
	return run_execv(path, argv, NULL);
}

ENTRY int execve(const char *path, char *const argv[], char *const envp[])
{
	return run_execve(path, argv, envp);
}

ENTRY int execvp(const char *file, char *const argv[])
{
	return run_execvp(file, argv, NULL);
}

ENTRY int execvpe(const char *file, char *const argv[], char *const envp[])
{
	EXEC(execvpe, true, (file, argv, envp));
}

ENTRY int fexecve(int fd, char *const argv[], char *const envp[])
{
	EXEC(fexecve, true, (fd, argv, envp));
}

ENTRY int execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
	EXEC(execveat, true, (fd, path, argv, envp, flags));
}

/* ---- with a list ------------------------------------------------------------------ */

typedef int run_array(const char *path, char *const argv[], char *const envp[]);

/* `environment`: there is one behind the end of the list. */
static int run_list(run_array *run, const char *path, const char *first, va_list list,
                    bool environment)
{
	int count = first != NULL;
	va_list ahead;

	va_copy(ahead, list);
	while (count > 0 && count < INT_MAX && va_arg(ahead, const char *) != NULL) {
		count++;
	}
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
	return run(path, argv, environment ? va_arg(list, char **) : NULL);
}

#define EXEC_LIST(run, path, environment)                                                      \
	va_list list;                                                                          \
	int result;                                                                            \
                                                                                               \
	va_start(list, arg);                                                                   \
	result = run_list(run, path, arg, list, environment);                                  \
	va_end(list);                                                                          \
	return result

ENTRY int execl(const char *path, const char *arg, ...)
{
	EXEC_LIST(run_execv, path, false);
}

ENTRY int execlp(const char *file, const char *arg, ...)
{
	EXEC_LIST(run_execvp, file, false);
}

ENTRY int execle(const char *path, const char *arg, ...)
{
	EXEC_LIST(run_execve, path, true);
}
