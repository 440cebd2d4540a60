/* SPDX-License-Identifier: PostgreSQL */
/*
 * Functions of the C library, for calls of the shim's own, found on first use.
 *
 * Nobody else sees these: they only keep the linker from having to look, at the start of every
 * program, for the versions that the real ones are of, and to make ready what few programs will
 * call (base/late.h). Left to the C library where the names that code uses may stand for others
 * (64-bit times on machines of 32 bits).
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
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

#define PROCEDURE(name, parameters, arguments)                                                 \
	void name parameters                                                                   \
	{                                                                                      \
		void(*function) parameters;                                                    \
                                                                                               \
		*(void **)&function = late(LATE_##name);                                       \
		if (function != NULL) {                                                        \
			function arguments;                                                    \
		}                                                                              \
	}

/* What pthread_atfork() is made of, and what ends atexit()'s promise. */
void __cxa_finalize(void *object);
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
                      void *object);

/* ---- of versions that nothing else needs -------------------------------------------- */

FUNCTION(int, __register_atfork,
         (void (*prepare)(void), void (*parent)(void), void (*child)(void), void *object),
         (prepare, parent, child, object), ENOSYS)
FUNCTION(int, accept4, (int fd, struct sockaddr *address, socklen_t *len, int flags),
         (fd, address, len, flags), -1)
FUNCTION(int, clock_gettime, (clockid_t clock, struct timespec *now), (clock, now), -1)
FUNCTION(int, dup3, (int from, int to, int flags), (from, to, flags), -1)
FUNCTION(int, epoll_create1, (int flags), (flags), -1)
FUNCTION(int, eventfd, (unsigned count, int flags), (count, flags), -1)
PROCEDURE(explicit_bzero, (void *bytes, size_t count), (bytes, count))
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
FUNCTION(int, pthread_attr_getstack, (const pthread_attr_t *attr, void **base, size_t *size),
         (attr, base, size), ENOSYS)
FUNCTION(int, pthread_getattr_np, (pthread_t thread, pthread_attr_t *attr), (thread, attr),
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

/* ---- called rarely ------------------------------------------------------------------ */

PROCEDURE(__cxa_finalize, (void *object), (object))
FUNCTION(int, bind, (int fd, const struct sockaddr *address, socklen_t len), (fd, address, len),
         -1)
FUNCTION(int, chmod, (const char *path, mode_t mode), (path, mode), -1)
FUNCTION(int, closedir, (DIR * dir), (dir), -1)
FUNCTION(int, connect, (int fd, const struct sockaddr *address, socklen_t len),
         (fd, address, len), -1)
FUNCTION(int, fchmod, (int fd, mode_t mode), (fd, mode), -1)
FUNCTION(int, fchown, (int fd, uid_t owner, gid_t group), (fd, owner, group), -1)
FUNCTION(int, fflush, (FILE * stream), (stream), EOF)
FUNCTION(int, flock, (int fd, int operation), (fd, operation), -1)
FUNCTION(int, fnmatch, (const char *pattern, const char *name, int flags),
         (pattern, name, flags), FNM_NOMATCH)
FUNCTION(int, fstatfs, (int fd, struct statfs *fs), (fd, fs), -1)
FUNCTION(char *, getcwd, (char *buf, size_t size), (buf, size), NULL)
FUNCTION(char *, getenv, (const char *name), (name), NULL)
FUNCTION(int, gethostname, (char *name, size_t size), (name, size), -1)
FUNCTION(int, getpeername, (int fd, struct sockaddr *address, socklen_t *len),
         (fd, address, len), -1)
FUNCTION(pid_t, getppid, (void), (), 0)
FUNCTION(int, getpwuid_r,
         (uid_t user, struct passwd *entry, char *buf, size_t size, struct passwd **found),
         (user, entry, buf, size, found), ENOSYS)
FUNCTION(int, getrlimit, (__rlimit_resource_t resource, struct rlimit *limit),
         (resource, limit), -1)
FUNCTION(int, getsockname, (int fd, struct sockaddr *address, socklen_t *len),
         (fd, address, len), -1)
FUNCTION(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len),
         (fd, level, name, value, len), -1)
FUNCTION(int, inet_pton, (int family, const char *text, void *address), (family, text, address),
         0)
FUNCTION(int, kill, (pid_t process, int number), (process, number), -1)
FUNCTION(int, link, (const char *from, const char *to), (from, to), -1)
FUNCTION(int, listen, (int fd, int backlog), (fd, backlog), -1)
FUNCTION(int, madvise, (void *address, size_t size, int advice), (address, size, advice), -1)
FUNCTION(size_t, malloc_usable_size, (void *block), (block), 0)
FUNCTION(void *, memrchr, (const void *bytes, int byte, size_t count), (bytes, byte, count),
         NULL)
FUNCTION(int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode), -1)
FUNCTION(void *, mmap,
         (void *address, size_t size, int protection, int flags, int fd, off_t offset),
         (address, size, protection, flags, fd, offset), MAP_FAILED)
FUNCTION(int, munmap, (void *address, size_t size), (address, size), -1)
FUNCTION(int, poll, (struct pollfd * fds, nfds_t count, int timeout_ms),
         (fds, count, timeout_ms), -1)
FUNCTION(int, posix_fallocate, (int fd, off_t offset, off_t size), (fd, offset, size), ENOSYS)
FUNCTION(int, pthread_attr_destroy, (pthread_attr_t * attr), (attr), ENOSYS)
FUNCTION(void *, pthread_getspecific, (pthread_key_t key), (key), NULL)
FUNCTION(int, pthread_key_create, (pthread_key_t * key, void (*at_end)(void *)), (key, at_end),
         ENOSYS)
FUNCTION(int, pthread_mutex_clocklock,
         (pthread_mutex_t * mutex, clockid_t clock, const struct timespec *until),
         (mutex, clock, until), ENOSYS)
FUNCTION(int, pthread_mutex_trylock, (pthread_mutex_t * mutex), (mutex), ENOSYS)
FUNCTION(int, pthread_once, (pthread_once_t * once, void (*run)(void)), (once, run), ENOSYS)
FUNCTION(pthread_t, pthread_self, (void), (), 0)
FUNCTION(int, pthread_setspecific, (pthread_key_t key, const void *value), (key, value), ENOSYS)
FUNCTION(ssize_t, pwritev2,
         (int fd, const struct iovec *parts, int count, off_t offset, int flags),
         (fd, parts, count, offset, flags), -1)
FUNCTION(ssize_t, read, (int fd, void *buf, size_t size), (fd, buf, size), -1)
FUNCTION(struct dirent *, readdir, (DIR * dir), (dir), NULL)
FUNCTION(ssize_t, readlink, (const char *path, char *buf, size_t size), (path, buf, size), -1)
FUNCTION(int, rename, (const char *from, const char *to), (from, to), -1)
FUNCTION(ssize_t, send, (int fd, const void *bytes, size_t count, int flags),
         (fd, bytes, count, flags), -1)
FUNCTION(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags),
         (fd, message, flags), -1)
FUNCTION(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len),
         (fd, level, name, value, len), -1)
FUNCTION(int, shutdown, (int fd, int how), (fd, how), -1)
FUNCTION(int, sigaddset, (sigset_t * set, int number), (set, number), -1)
FUNCTION(int, sigemptyset, (sigset_t * set), (set), -1)
FUNCTION(int, sigismember, (const sigset_t *set, int number), (set, number), -1)
FUNCTION(int, sigpending, (sigset_t * set), (set), -1)
FUNCTION(int, sigtimedwait,
         (const sigset_t *set, siginfo_t *taken, const struct timespec *patience),
         (set, taken, patience), -1)
FUNCTION(int, socket, (int family, int type, int protocol), (family, type, protocol), -1)
FUNCTION(int, socketpair, (int family, int type, int protocol, int fds[2]),
         (family, type, protocol, fds), -1)
FUNCTION(int, strcasecmp, (const char *a, const char *b), (a, b), 1)
FUNCTION(size_t, strcspn, (const char *text, const char *end), (text, end), 0)
FUNCTION(char *, strerror_r, (int error, char *buf, size_t size), (error, buf, size),
         (char *)"")
FUNCTION(char *, strsep, (char **text, const char *end), (text, end), NULL)
FUNCTION(size_t, strspn, (const char *text, const char *set), (text, set), 0)
FUNCTION(long, strtol, (const char *text, char **end, int base), (text, end, base), 0)
FUNCTION(long, sysconf, (int name), (name), -1)
FUNCTION(int, unlink, (const char *path), (path), -1)
FUNCTION(int, waitid, (idtype_t type, id_t id, siginfo_t *ended, int options),
         (type, id, ended, options), -1)

/* ---- bound by another name ---------------------------------------------------------- */

#ifdef __x86_64__

/*
 * The only one of its version, and called too often to be found on first use. memmove is of the
 * oldest version, and its code is the same. By a name that the compiler does not know, for it
 * may make a memcpy of a memmove.
 */
extern void *move(void *to, const void *from, size_t count) __asm__("memmove");

void *memcpy(void *to, const void *from, size_t count)
{
	return move(to, from, count);
}

#endif

#endif
