/* SPDX-License-Identifier: PostgreSQL */
/*
 * Makes one call after another fail, of those that libpqpool.so or libpq itself makes into the
 * C library. Preloaded behind libpqpool.so, it is where both's calls arrive; whose a call is,
 * its return address tells. All others go on.
 *
 * The file that INJECT names says which (tests/injection.py writes and reads it): calls are
 * counted there, over forks and execs, once for each way in which they can fail. A program
 * tells by inject_over() that from now on nothing fails and nothing is counted.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

#define CALLER __builtin_return_address(0)

/* Whose calls: a bit each. */
enum { OUR_MEMORY = 1, OUR_CALLS = 2, LIBPQ_MEMORY = 4, LIBPQ_CALLS = 8 };

/* What the file holds. */
struct orders {
	uint64_t whose;
	uint64_t first; /* this one fails, counted from 0, */
	uint64_t fails; /* and so many in all from there */
	_Atomic uint64_t counted;
	_Atomic uint64_t failed;
	_Atomic uint64_t over;
	_Atomic uint64_t at; /* of the last one that failed: where it was called, */
	_Atomic uint64_t error;
	char name[64]; /* and what */
};

static struct orders *orders;

/* ---- who calls --------------------------------------------------------------- */

struct object {
	const char *name;
	_Atomic uintptr_t begin;
	_Atomic uintptr_t end;
};

static struct object ours = {.name = "/libpqpool.so"};
static struct object libpq = {.name = "/libpq.so"};

static int holds(struct object *object, const void *address)
{
	uintptr_t at = (uintptr_t)address;

	return at >= object->begin && at < object->end;
}

/* Keeps where an object is that was not seen before. */
static void meet(struct object *object, const struct dl_find_object *found)
{
	if (strstr(found->dlfo_link_map->l_name, object->name) != NULL) {
		object->begin = (uintptr_t)found->dlfo_map_start;
		object->end = (uintptr_t)found->dlfo_map_end;
	}
}

static struct object *caller_of(const void *address)
{
	struct dl_find_object found;

	if (holds(&ours, address)) {
		return &ours;
	}
	if (holds(&libpq, address)) {
		return &libpq;
	}
	if ((ours.end == 0 || libpq.end == 0) &&
	    _dl_find_object((void *)(uintptr_t)address, &found) == 0) {
		meet(&ours, &found);
		meet(&libpq, &found);
	}
	return holds(&ours, address) ? &ours : holds(&libpq, address) ? &libpq : NULL;
}

/* ---- which fails -------------------------------------------------------------- */

/* The errno to fail with; 0: go on. `errors` ends with 0. */
static int failure(const char *name, int memory, const int *errors, const void *address)
{
	struct object *caller;
	uint64_t whose, from, ways = 0;

	if (orders == NULL || orders->over) {
		return 0;
	}
	caller = caller_of(address);
	whose = caller == &ours    ? (memory ? OUR_MEMORY : OUR_CALLS)
	        : caller == &libpq ? (memory ? LIBPQ_MEMORY : LIBPQ_CALLS)
	                           : 0;
	if ((orders->whose & whose) == 0) {
		return 0;
	}
	while (errors[ways] != 0) {
		ways++;
	}
	from = atomic_fetch_add(&orders->counted, ways);
	if (from + ways <= orders->first || from >= orders->first + orders->fails) {
		return 0;
	}
	ways = from < orders->first ? orders->first - from : 0;
	atomic_fetch_add(&orders->failed, 1);
	orders->at = (uint64_t)(uintptr_t)address - caller->begin;
	orders->error = (uint64_t)errors[ways];
	strncpy(orders->name, name, sizeof(orders->name) - 1);
	return errors[ways];
}

void inject_over(void)
{
	if (orders != NULL) {
		orders->over = 1;
	}
}

/* ---- what goes on ------------------------------------------------------------- */

/* The C library's own, whoever else defines it. */
static void *find(_Atomic(void *) *known, const char *name)
{
	static const char *versions[] = {
		"GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_2.33", "GLIBC_2.28", "GLIBC_2.34",
		"GLIBC_2.4",   "GLIBC_2.25", "GLIBC_2.10", "GLIBC_2.7",  "GLIBC_2.26",
		"GLIBC_2.30",  "GLIBC_2.6",  "GLIBC_2.9"};
	void *found = *known;

	for (size_t i = 0; found == NULL && i < sizeof(versions) / sizeof(versions[0]); i++) {
		found = dlvsym(RTLD_NEXT, name, versions[i]);
	}
	*known = found;
	return found;
}

#define ERRORS(...) ((const int[]){__VA_ARGS__, 0})

/* One that returns `bad` and sets errno. */
#define CALL(type, name, params, args, bad, ...)                                               \
	type name params                                                                       \
	{                                                                                      \
		static _Atomic(void *) known;                                                  \
		int error = failure(#name, 0, ERRORS(__VA_ARGS__), CALLER);                    \
                                                                                               \
		if (error != 0) {                                                              \
			errno = error;                                                         \
			return bad;                                                            \
		}                                                                              \
		return ((type(*) params)find(&known, #name))args;                              \
	}

/* One that returns the error. */
#define CALL_TELLING(type, name, params, args, ...)                                            \
	type name params                                                                       \
	{                                                                                      \
		static _Atomic(void *) known;                                                  \
		int error = failure(#name, 0, ERRORS(__VA_ARGS__), CALLER);                    \
                                                                                               \
		return error != 0 ? error : ((type(*) params)find(&known, #name))args;         \
	}

/* ---- memory --------------------------------------------------------------------- */

static int no_memory(const char *name, const void *address)
{
	int error = failure(name, 1, ERRORS(ENOMEM), address);

	if (error != 0) {
		errno = error;
	}
	return error;
}

void *malloc(size_t size)
{
	return no_memory("malloc", CALLER) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return no_memory("calloc", CALLER) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
	return no_memory("realloc", CALLER) ? NULL : __libc_realloc(block, size);
}

char *strndup(const char *text, size_t max)
{
	size_t size = strnlen(text, max);
	char *copy = no_memory("strndup", CALLER) ? NULL : __libc_malloc(size + 1);

	if (copy != NULL) {
		memcpy(copy, text, size);
		copy[size] = '\0';
	}
	return copy;
}

char *strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = no_memory("strdup", CALLER) ? NULL : __libc_malloc(size);

	return copy != NULL ? memcpy(copy, text, size) : NULL;
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	static _Atomic(void *) known;

	if (no_memory("mmap", CALLER)) {
		return MAP_FAILED;
	}
	return ((__typeof__(mmap) *)find(&known, "mmap"))(at, size, protection, flags, fd,
	                                                  offset);
}

/* ---- files ------------------------------------------------------------------------ */

#define OPEN_ERRORS EMFILE, ENFILE, EACCES, ENOENT, EINTR, ENOMEM

/* The mode is there, if only by its room. */
#define OPEN(name, params, args)                                                               \
	int name params                                                                        \
	{                                                                                      \
		static _Atomic(void *) known;                                                  \
		int error = failure(#name, 0, ERRORS(OPEN_ERRORS), CALLER);                    \
		va_list more;                                                                  \
		mode_t mode;                                                                   \
                                                                                               \
		if (error != 0) {                                                              \
			errno = error;                                                         \
			return -1;                                                             \
		}                                                                              \
		va_start(more, flags);                                                         \
		mode = va_arg(more, mode_t);                                                   \
		va_end(more);                                                                  \
		return ((__typeof__(name) *)find(&known, #name))args;                          \
	}

OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))

/* The descriptor is gone, whatever it says. */
int close(int fd)
{
	static _Atomic(void *) known;
	int error = failure("close", 0, ERRORS(EINTR, EIO), CALLER);
	int result = ((int (*)(int))find(&known, "close"))(fd);

	if (error != 0) {
		errno = error;
		return -1;
	}
	return result;
}

/*
 * A connection that is broken stays so: libpq waits for ever for the answer to what it could
 * not send, if nothing else tells it that there is none.
 */
static void break_on(int error, int fd)
{
	if (error == EPIPE || error == ECONNRESET) {
		shutdown(fd, SHUT_RDWR);
	}
}

/* Half of it, where ENODATA is said. */
#define SOME(name, params, half, whole, ...)                                                   \
	ssize_t name params                                                                    \
	{                                                                                      \
		static _Atomic(void *) known;                                                  \
		int error = failure(#name, 0, ERRORS(__VA_ARGS__), CALLER);                    \
		ssize_t(*real) params = find(&known, #name);                                   \
                                                                                               \
		break_on(error, fd);                                                           \
                                                                                               \
		if (error == ENODATA) {                                                        \
			return real half;                                                      \
		}                                                                              \
		if (error != 0) {                                                              \
			errno = error;                                                         \
			return -1;                                                             \
		}                                                                              \
		return real whole;                                                             \
	}

SOME(write, (int fd, const void *bytes, size_t count), (fd, bytes, (count + 1) / 2),
     (fd, bytes, count), ENOSPC, EINTR, EIO, EAGAIN, ENODATA)
SOME(read, (int fd, void *bytes, size_t count), (fd, bytes, (count + 1) / 2),
     (fd, bytes, count), EINTR, EIO, EAGAIN, ENODATA)
SOME(pread, (int fd, void *bytes, size_t count, off_t from), (fd, bytes, (count + 1) / 2, from),
     (fd, bytes, count, from), EINTR, EIO, ENODATA)
SOME(pwrite, (int fd, const void *bytes, size_t count, off_t from),
     (fd, bytes, (count + 1) / 2, from), (fd, bytes, count, from), ENOSPC, EIO, ENODATA)
CALL(ssize_t, pwritev2, (int fd, const struct iovec *parts, int count, off_t from, int flags),
     (fd, parts, count, from, flags), -1, ENOSPC, EAGAIN, EOPNOTSUPP, EIO)
CALL(int, fstat, (int fd, struct stat *st), (fd, st), -1, ENOMEM, EIO)
CALL(int, stat, (const char *path, struct stat *st), (path, st), -1, ENOMEM, EACCES, ENOENT)
CALL(int, lstat, (const char *path, struct stat *st), (path, st), -1, ENOMEM, EACCES, ENOENT)
CALL(int, fstatat, (int fd, const char *path, struct stat *st, int flags),
     (fd, path, st, flags), -1, ENOMEM, EACCES, ENOENT)
CALL(int, statx, (int fd, const char *path, int flags, unsigned mask, struct statx *st),
     (fd, path, flags, mask, st), -1, ENOSYS, ENOMEM)
CALL(int, fstatfs, (int fd, struct statfs *st), (fd, st), -1, ENOMEM, EIO)
CALL(int, faccessat, (int fd, const char *path, int mode, int flags), (fd, path, mode, flags),
     -1, EACCES, EIO)
CALL(int, rename, (const char *from, const char *to), (from, to), -1, ENOSPC, EACCES, ENOENT)
CALL(int, renameat, (int from_fd, const char *from, int to_fd, const char *to),
     (from_fd, from, to_fd, to), -1, ENOSPC, EACCES, ENOENT)
CALL(int, renameat2, (int from_fd, const char *from, int to_fd, const char *to, unsigned flags),
     (from_fd, from, to_fd, to, flags), -1, ENOSPC, EINVAL, EEXIST)
CALL(int, link, (const char *from, const char *to), (from, to), -1, ENOSPC, EPERM, EEXIST)
CALL(int, unlink, (const char *path), (path), -1, EACCES, EROFS, ENOENT)
CALL(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags), -1, EACCES,
     ENOENT)
CALL(int, mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode), -1, ENOSPC,
     EACCES)
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode), -1, EPERM, EROFS)
CALL(int, chmod, (const char *path, mode_t mode), (path, mode), -1, EPERM, EROFS)
CALL(int, fchown, (int fd, uid_t user, gid_t group), (fd, user, group), -1, EPERM, EROFS)
CALL(int, futimens, (int fd, const struct timespec times[2]), (fd, times), -1, EPERM, EROFS)
CALL(int, flock, (int fd, int how), (fd, how), -1, EINTR, ENOLCK, EWOULDBLOCK)
CALL(off_t, lseek, (int fd, off_t to, int from), (fd, to, from), -1, ESPIPE)
CALL(DIR *, fdopendir, (int fd), (fd), NULL, ENOMEM)
CALL(struct dirent *, readdir, (DIR * folder), (folder), NULL, EIO)
CALL(ssize_t, getdents64, (int fd, void *bytes, size_t count), (fd, bytes, count), -1, EIO)
CALL(ssize_t, readlink, (const char *path, char *bytes, size_t count), (path, bytes, count), -1,
     EACCES, ENOMEM)
CALL(char *, getcwd, (char *bytes, size_t count), (bytes, count), NULL, ENOENT, EACCES)
CALL_TELLING(int, posix_fallocate, (int fd, off_t from, off_t count), (fd, from, count), ENOSPC,
             EINTR, EOPNOTSUPP)

/* ---- sockets and descriptors --------------------------------------------------------- */

#define SOCKET_ERRORS EMFILE, ENFILE, ENOBUFS, EACCES

CALL(int, socket, (int domain, int type, int protocol), (domain, type, protocol), -1,
     SOCKET_ERRORS)
CALL(int, socketpair, (int domain, int type, int protocol, int pair[2]),
     (domain, type, protocol, pair), -1, EMFILE, ENFILE)
CALL(int, bind, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size), -1,
     EADDRINUSE, EACCES)
CALL(int, listen, (int fd, int count), (fd, count), -1, EADDRINUSE)
CALL(int, accept4, (int fd, struct sockaddr *from, socklen_t *size, int flags),
     (fd, from, size, flags), -1, EMFILE, ECONNABORTED, EINTR)
CALL(int, connect, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size), -1,
     ECONNREFUSED, EACCES, EINTR)
CALL(int, getsockname, (int fd, struct sockaddr *name, socklen_t *size), (fd, name, size), -1,
     ENOBUFS)
CALL(int, getpeername, (int fd, struct sockaddr *name, socklen_t *size), (fd, name, size), -1,
     ENOTCONN, ENOBUFS)
CALL(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *size),
     (fd, level, name, value, size), -1, ENOBUFS, ENOPROTOOPT)
CALL(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t size),
     (fd, level, name, value, size), -1, ENOMEM, ENOPROTOOPT)
CALL(int, shutdown, (int fd, int how), (fd, how), -1, ENOTCONN)
SOME(send, (int fd, const void *bytes, size_t count, int flags),
     (fd, bytes, (count + 1) / 2, flags), (fd, bytes, count, flags), EPIPE, ECONNRESET, EINTR,
     ENODATA)
SOME(recv, (int fd, void *bytes, size_t count, int flags), (fd, bytes, (count + 1) / 2, flags),
     (fd, bytes, count, flags), ECONNRESET, ENOMEM, EINTR, ENODATA)
SOME(sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags),
     (fd, message, flags), EPIPE, ENOBUFS, EINTR, EAGAIN)
SOME(recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags),
     (fd, message, flags), ECONNRESET, EINTR, ENOMEM)
CALL(int, poll, (struct pollfd * fds, nfds_t count, int wait_ms), (fds, count, wait_ms), -1,
     EINTR, ENOMEM)
CALL(int, eventfd, (unsigned value, int flags), (value, flags), -1, EMFILE, ENOMEM)
CALL(int, epoll_ctl, (int fd, int what, int other, struct epoll_event *event),
     (fd, what, other, event), -1, ENOMEM, ENOSPC)
CALL(int, dup2, (int fd, int to), (fd, to), -1, EBUSY, EINTR)
CALL(int, dup3, (int fd, int to, int flags), (fd, to, flags), -1, EBUSY, EMFILE)

/* Whatever comes third fits into a word. */
int fcntl(int fd, int what, ...)
{
	static _Atomic(void *) known;
	int error = failure("fcntl", 0,
	                    what == F_DUPFD_CLOEXEC ? ERRORS(EMFILE) : ERRORS(EPERM), CALLER);
	va_list more;
	long value;

	if (error != 0) {
		errno = error;
		return -1;
	}
	va_start(more, what);
	value = va_arg(more, long);
	va_end(more);
	return ((int (*)(int, int, long))find(&known, "fcntl"))(fd, what, value);
}

/* ---- the rest -------------------------------------------------------------------------- */

CALL(int, munmap, (void *at, size_t size), (at, size), -1, ENOMEM)
CALL(int, madvise, (void *at, size_t size, int advice), (at, size, advice), -1, ENOMEM, EINVAL)
CALL(ssize_t, getrandom, (void *bytes, size_t count, unsigned flags), (bytes, count, flags), -1,
     EINTR, ENOSYS, EAGAIN)
CALL(int, gethostname, (char *bytes, size_t count), (bytes, count), -1, ENAMETOOLONG)
CALL(int, tgkill, (pid_t group, pid_t thread, int signal), (group, thread, signal), -1, ESRCH,
     EPERM)
CALL_TELLING(int, getpwuid_r,
             (uid_t user, struct passwd *entry, char *bytes, size_t count,
              struct passwd **found),
             (user, entry, bytes, count, found), EMFILE, ENOMEM, EINTR, ERANGE)
CALL_TELLING(int, pthread_key_create, (pthread_key_t * key, void (*end)(void *)), (key, end),
             EAGAIN, ENOMEM)
CALL_TELLING(int, pthread_setspecific, (pthread_key_t key, const void *value), (key, value),
             ENOMEM)
CALL_TELLING(int, pthread_getattr_np, (pthread_t thread, pthread_attr_t *attributes),
             (thread, attributes), ENOMEM)

/* ---- the beginning ---------------------------------------------------------------------- */

static __attribute__((constructor)) void begin(void)
{
	const char *path = getenv("INJECT");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at =
		fd >= 0 ? mmap(NULL, sizeof(*orders), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
			: MAP_FAILED;

	if (at != MAP_FAILED) {
		orders = at;
	}
	if (fd >= 0) {
		close(fd);
	}
}
