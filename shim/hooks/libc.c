/* SPDX-License-Identifier: PostgreSQL */
/*
 * Functions of the C library, for calls of the shim's own, found on first use.
 *
 * Nobody else sees these: they only keep the linker from having to look, at the start of every
 * program, for the versions that the real ones are of (base/late.h). Left to the C library
 * where the names that code uses may stand for others (64-bit times on machines of 32 bits).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/late.h"

#ifdef __LP64__

#define FUNCTION(type, name, parameters, arguments, missing)                                   \
	type name parameters                                                                   \
	{                                                                                      \
		type(*function) parameters;                                                    \
                                                                                               \
		*(void **)&function = late(LATE_##name);                                       \
		return function != NULL ? function arguments : (missing);                      \
	}

/* What pthread_atfork() is made of. */
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
                      void *object);

/* libgcc's unwinder calls it, of a C library that has it. */
int _dl_find_object(void *address, void *result);

FUNCTION(int, __register_atfork,
         (void (*prepare)(void), void (*parent)(void), void (*child)(void), void *object),
         (prepare, parent, child, object), ENOSYS)
FUNCTION(int, _dl_find_object, (void *address, void *result), (address, result), -1)
FUNCTION(int, accept4, (int fd, struct sockaddr *address, socklen_t *len, int flags),
         (fd, address, len, flags), -1)
FUNCTION(int, clock_gettime, (clockid_t clock, struct timespec *now), (clock, now), -1)
FUNCTION(int, dup3, (int from, int to, int flags), (from, to, flags), -1)
FUNCTION(int, epoll_create1, (int flags), (flags), -1)
FUNCTION(int, faccessat, (int dir, const char *path, int mode, int flags),
         (dir, path, mode, flags), -1)
FUNCTION(DIR *, fdopendir, (int fd), (fd), NULL)
FUNCTION(int, fstat, (int fd, struct stat *st), (fd, st), -1)
FUNCTION(int, futimens, (int fd, const struct timespec times[2]), (fd, times), -1)
/* AT_SECURE is what is asked for: a C library that cannot tell is not trusted. */
FUNCTION(unsigned long, getauxval, (unsigned long type), (type), 1)
FUNCTION(ssize_t, getrandom, (void *buf, size_t size, unsigned flags), (buf, size, flags), -1)
FUNCTION(pid_t, gettid, (void), (), 0)
FUNCTION(int, lstat, (const char *path, struct stat *st), (path, st), -1)
FUNCTION(int, pthread_cond_destroy, (pthread_cond_t * cond), (cond), ENOSYS)
FUNCTION(int, pthread_cond_init, (pthread_cond_t * cond, const pthread_condattr_t *attributes),
         (cond, attributes), ENOSYS)
FUNCTION(int, pthread_cond_signal, (pthread_cond_t * cond), (cond), ENOSYS)
FUNCTION(int, pthread_cond_wait, (pthread_cond_t * cond, pthread_mutex_t *mutex), (cond, mutex),
         ENOSYS)
FUNCTION(int, pthread_sigmask, (int how, const sigset_t *set, sigset_t *old), (how, set, old),
         ENOSYS)
FUNCTION(int, renameat, (int from_dir, const char *from, int to_dir, const char *to),
         (from_dir, from, to_dir, to), -1)
FUNCTION(int, renameat2,
         (int from_dir, const char *from, int to_dir, const char *to, unsigned flags),
         (from_dir, from, to_dir, to, flags), -1)
FUNCTION(int, stat, (const char *path, struct stat *st), (path, st), -1)
FUNCTION(int, statx, (int dir, const char *path, int flags, unsigned wanted, struct statx *st),
         (dir, path, flags, wanted, st), -1)
FUNCTION(const char *, strerrordesc_np, (int error), (error), NULL)
FUNCTION(int, tgkill, (pid_t process, pid_t thread, int number), (process, thread, number), -1)
FUNCTION(int, timerfd_create, (int clock, int flags), (clock, flags), -1)
FUNCTION(int, timerfd_settime,
         (int fd, int flags, const struct itimerspec *when, struct itimerspec *old),
         (fd, flags, when, old), -1)
FUNCTION(int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags), -1)
FUNCTION(int, utimensat, (int dir, const char *path, const struct timespec times[2], int flags),
         (dir, path, times, flags), -1)

int openat(int dir, const char *path, int flags, ...)
{
	int (*function)(int, const char *, int, ...);
	va_list list;
	mode_t mode;

	/* Whatever it is where none was given: nobody reads it then. */
	va_start(list, flags);
	mode = va_arg(list, mode_t);
	va_end(list);
	*(void **)&function = late(LATE_openat);
	return function != NULL ? function(dir, path, flags, mode) : -1;
}

void explicit_bzero(void *bytes, size_t count)
{
	void (*function)(void *, size_t);

	*(void **)&function = late(LATE_explicit_bzero);
	if (function != NULL) {
		function(bytes, count);
	}
}

#endif
