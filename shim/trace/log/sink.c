/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where the log's lines go: a file, syslog or stderr.
 *
 * Locks: LOCK_RECORD guards `sink` and all of append.c, from the check that the descriptor is
 * still ours to the end of the write, and is called the turn. Writing to stderr takes one of
 * its own where that is a regular file: it needs no state but what sink_configure left behind.
 * Everything else static is constant after sink_configure, atomic, or changes only in a forked
 * child, which has one thread.
 *
 * Not syslog(3): its connection, its ident and its descriptor belong to the program.
 */
#include "trace/log/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/lock.h"
#include "base/scratch.h"
#include "base/thread/pid.h"
#include "trace/log/append.h"
#include "trace/log/log_name.h"
#include "trace/log/rotate.h"

/* How often the name is looked at, in case somebody moved the file away. */
#define LOOK_NS  (100 * NS_PER_MS)
/* When to try again what somebody else is about to do, and what could not be done. */
#define BUSY_NS  (1 * NS_PER_MS)
#define RETRY_NS (1 * NS_PER_SEC)
/* Far longer than writing a line takes, on a busy machine, too. */
#define TURN_NS  (250 * NS_PER_MS)

enum target { TARGET_STDERR, TARGET_FILE, TARGET_SYSLOG };

static const int priorities[] = {
	[LEVEL_OFF] = LOG_DEBUG, [LEVEL_ERROR] = LOG_ERR,   [LEVEL_WARNING] = LOG_WARNING,
	[LEVEL_INFO] = LOG_INFO, [LEVEL_DEBUG] = LOG_DEBUG,
};

static _Atomic(enum target) target = TARGET_STDERR;
static int name_error; /* for which the log has no name */
static struct fd_id stderr_id;
static atomic_uint_fast64_t lost; /* lines since the last one that was written */
static atomic_uint part = 1;
static atomic_int trouble; /* an errno nobody has been told */

/* Whose turn it is to write; `stuck` while the one who has it takes longer than a moment. */
struct turn {
	struct lock lock;
	atomic_bool stuck;
};

static struct turn stderr_turn = {.lock = LOCK_INITIALIZER(LOCK_RECORD)};
static struct turn sink_turn = {.lock = LOCK_INITIALIZER(LOCK_RECORD)};
static struct {
	int fd; /* -1: to be opened */
	struct fd_id id;
	bool regular;
	off_t size;            /* when it was last looked at */
	uint64_t look_at_ns;   /* when the name is to be looked at again */
	uint64_t rotate_at_ns; /* not before, if it is due */
	bool in_trouble;       /* it could not be rotated, and that was told */
} sink = {.fd = -1};

/* A thread cancelled in a write would leave with the lock: not before the line is out. */
static int defer_cancelling(void)
{
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	return before;
}

static bool take_turn(struct turn *turn)
{
	bool stuck = atomic_load(&turn->stuck);

	if (lock_take_within(&turn->lock, stuck ? 0 : TURN_NS)) {
		return true;
	}
	atomic_store(&turn->stuck, true);
	return false;
}

/* A signal handler does not wait for the thread that it has interrupted. */
static bool take_turn_to_write(struct turn *turn)
{
	return lock_held_here() ? lock_take_within(&turn->lock, 0) : take_turn(turn);
}

static void give_turn(struct turn *turn)
{
	atomic_store(&turn->stuck, false);
	lock_drop(&turn->lock);
}

/* In a child of one thread. The parent's may have had it, who is not here. */
static void free_turn(struct turn *turn)
{
	lock_init(&turn->lock, LOCK_RECORD);
	atomic_store(&turn->stuck, false);
}

static bool put_in_regular_stderr(const struct strbuf *t, const struct stat *st)
{
	bool written;

	if (!take_turn_to_write(&stderr_turn)) {
		return false;
	}
	written = append_has_room(st, t->len) && strbuf_print(t, STDERR_FILENO, 0);
	give_turn(&stderr_turn);
	return written;
}

bool sink_put_on_stderr(const struct strbuf *t)
{
	int saved_errno = errno;
	int cancelling = defer_cancelling();
	struct stat st;
	bool written = false;

	if (fd_is(STDERR_FILENO, &stderr_id, &st)) {
		written = S_ISREG(st.st_mode)
		                  ? put_in_regular_stderr(t, &st)
		                  : strbuf_print(t, STDERR_FILENO, STRBUF_PATIENCE_NS);
	}
	pthread_setcancelstate(cancelling, NULL);
	errno = saved_errno;
	return written;
}

bool sink_is_stderr(void)
{
	return atomic_load_explicit(&target, memory_order_relaxed) == TARGET_STDERR;
}

/*
 * In a folder that others may write to, a file of that name may be theirs, or a link to one of
 * ours or theirs: only a regular file or a fifo of the effective user's own will do, and what
 * can be made by nobody else (a terminal, /dev/null).
 */
static bool is_own(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0) {
		return false;
	}
	errno = EPERM;
	return S_ISCHR(st.st_mode) ||
	       ((S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode)) && st.st_uid == geteuid());
}

/* Not blocking: a fifo nobody reads must not stop the program, neither now nor later. */
static int open_own(const char *name)
{
	const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	int fd;

	if (log_name_is_descriptor()) {
		return open(name, flags);
	}
	fd = open(name, flags | O_CREAT | O_NOFOLLOW, 0600);
	if (fd >= 0 && !is_own(fd)) {
		int saved_errno = errno;

		close(fd);
		errno = saved_errno;
		fd = -1;
	}
	return fd;
}

static int open_file(void)
{
	char *buf = scratch_take();
	struct strbuf name;
	int fd = -1;

	if (buf == NULL) {
		errno = ENOMEM;
		return -1;
	}
	strbuf_init(&name, buf, PATH_MAX);
	errno = ENAMETOOLONG;
	if (log_name_put(&name)) {
		fd = open_own(buf);
	}
	scratch_give(buf);
	return fd;
}

static int open_syslog(void)
{
	static const struct sockaddr_un address = {.sun_family = AF_UNIX,
	                                           .sun_path = "/dev/log"};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		int saved_errno = errno;

		close(fd);
		errno = saved_errno;
		return -1;
	}
	return fd;
}

/* From now on `fd` is the sink. It may be the same file on another descriptor. */
static void take_sink_locked(int fd)
{
	struct stat st;

	lock_assert_held(&sink_turn.lock);
	if (!fd_is(fd, &sink.id, &st)) {
		append_begin();
		fd_identify(fd, &sink.id, &st);
		sink.regular = sink.id.known && S_ISREG(st.st_mode);
		sink.size = 0;
		atomic_fetch_add(&part, 1);
	}
	sink.fd = fd;
	sink.look_at_ns = clock_coarse_ns() + LOOK_NS;
	sink.rotate_at_ns = 0;
}

static bool open_sink_locked(void)
{
	int fd = atomic_load(&target) == TARGET_FILE ? open_file() : open_syslog();

	sink.fd = -1;
	fd = fd >= 0 ? fd_move_up(fd) : -1;
	if (fd < 0) {
		return false;
	}
	take_sink_locked(fd);
	return true;
}

/* Makes sure that sink.fd is ours. A number that is somebody else's now is not closed. */
static bool check_sink_locked(struct stat *st)
{
	if (fd_is(sink.fd, &sink.id, st)) {
		return true;
	}
	return open_sink_locked() && fd_is(sink.fd, &sink.id, st);
}

/* Opens what is under the name now; true if there is a file to write to, new or old. */
static bool reopen_locked(struct stat *st)
{
	int fd = open_file();

	fd = fd >= 0 ? fd_move_up(fd) : -1;
	if (fd < 0) {
		return st->st_nlink > 0;
	}
	close(sink.fd);
	take_sink_locked(fd);
	return fd_is(sink.fd, &sink.id, st);
}

static void rotate_locked(const char *name, const struct stat *st, uint64_t now)
{
	int error = rotate_file(name, st);

	sink.rotate_at_ns = now + (error == EWOULDBLOCK ? BUSY_NS : RETRY_NS);
	if (error == 0) {
		sink.in_trouble = false;
	} else if (error != EWOULDBLOCK && !sink.in_trouble) {
		sink.in_trouble = true;
		atomic_store(&trouble, error);
	}
}

/* Whether the file is `due` to be rotated, and who the name leads to by now. */
static bool look_at_name_locked(struct stat *st, bool due, uint64_t now)
{
	char *buf = scratch_take();
	struct strbuf name;
	bool there = true;

	sink.look_at_ns = now + LOOK_NS;
	if (buf == NULL) {
		return true;
	}
	strbuf_init(&name, buf, PATH_MAX);
	if (log_name_put(&name)) {
		if (due) {
			rotate_locked(buf, st, now);
		}
		there = rotate_is_named(buf, st) || reopen_locked(st);
	}
	scratch_give(buf);
	return there;
}

/*
 * Rotates a full file, and goes over to the file that the name leads to if that is another:
 * somebody rotated it, moved it away or removed it. `st` then describes the new one. False
 * if the old one is removed and no new one is to be had.
 */
static bool follow_name_locked(struct stat *st, bool room)
{
	uint64_t now = clock_coarse_ns();
	bool due = rotate_is_due(st, room) && now >= sink.rotate_at_ns;

	if (st->st_size < sink.size) {
		/* Truncated: what was written so far is elsewhere, or nowhere. */
		atomic_fetch_add(&part, 1);
	}
	sink.size = st->st_size;
	return (!due && now < sink.look_at_ns && st->st_nlink > 0) ||
	       look_at_name_locked(st, due, now);
}

static bool put_in_file_locked(const struct strbuf *line, struct stat *st)
{
	size_t n = line->len + APPEND_MORE;
	off_t size = st->st_size;
	bool room = append_has_room(st, n);

	if (!follow_name_locked(st, room)) {
		return false;
	}
	if (!sink.regular) {
		return strbuf_print(line, sink.fd, 0);
	}
	if (!room || st->st_size > size) {
		room = append_has_room(st, n);
	}
	return room && append_line(sink.fd, line);
}

static bool send_locked(const struct strbuf *line, enum config_level level)
{
	char buf[64];
	struct strbuf tag;
	struct iovec parts[2];
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

	strbuf_init(&tag, buf, sizeof(buf));
	strbuf_char(&tag, '<');
	strbuf_u64(&tag, (uint64_t)(LOG_USER | priorities[level]));
	strbuf_str(&tag, ">pqpool[");
	strbuf_u64(&tag, (uint64_t)pid_self());
	strbuf_str(&tag, "]: ");
	parts[0] = (struct iovec){.iov_base = tag.buf, .iov_len = tag.len};
	parts[1] = (struct iovec){.iov_base = line->buf, .iov_len = line->len - 1};
	return sendmsg(sink.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* A syslogd that was restarted listens on a new socket: then once more, connected anew. */
static bool put_in_syslog_locked(const struct strbuf *line, enum config_level level)
{
	if (send_locked(line, level)) {
		return true;
	}
	if (errno == EAGAIN || errno == ENOBUFS) {
		return false;
	}
	close(sink.fd);
	sink.fd = -1;
	return open_sink_locked() && send_locked(line, level);
}

static bool put_locked(const struct strbuf *line, enum config_level level)
{
	struct stat st;

	lock_assert_held(&sink_turn.lock);
	if (!check_sink_locked(&st)) {
		return false;
	}
	if (atomic_load_explicit(&target, memory_order_relaxed) == TARGET_SYSLOG) {
		return put_in_syslog_locked(line, level);
	}
	return sink.regular ? put_in_file_locked(line, &st) : strbuf_print(line, sink.fd, 0);
}

static bool put(const struct strbuf *line, enum config_level level)
{
	int cancelling;
	bool written;

	if (sink_is_stderr()) {
		return sink_put_on_stderr(line);
	}
	cancelling = defer_cancelling();
	written = false;
	if (take_turn_to_write(&sink_turn)) {
		written = put_locked(line, level);
		give_turn(&sink_turn);
	}
	pthread_setcancelstate(cancelling, NULL);
	return written;
}

void sink_put(struct strbuf *line, enum config_level level)
{
	int saved_errno = errno;
	uint64_t untold;

	lock_assert_none();
	untold = atomic_load_explicit(&lost, memory_order_relaxed);

	if (untold > 0) {
		untold = atomic_exchange(&lost, 0);
		strbuf_str(line, " lost=");
		strbuf_u64(line, untold);
	}
	strbuf_char(line, '\n');
	if (!put(line, level)) {
		atomic_fetch_add(&lost, untold + 1);
	} else if (untold > 0) {
		/* Among what was lost may be what lines refer to. */
		atomic_fetch_add(&part, 1);
	}
	errno = saved_errno;
}

void sink_count_lost(void)
{
	atomic_fetch_add(&lost, 1);
}

unsigned sink_part(void)
{
	return atomic_load_explicit(&part, memory_order_relaxed);
}

int sink_take_trouble(void)
{
	return atomic_load_explicit(&trouble, memory_order_relaxed) != 0
	               ? atomic_exchange(&trouble, 0)
	               : 0;
}

void sink_configure(const char *log, const char *program)
{
	int saved_errno = errno;
	enum target chosen = TARGET_STDERR;
	struct stat st;

	fd_identify(STDERR_FILENO, &stderr_id, &st);
	if (strcmp(log, "syslog") == 0) {
		chosen = TARGET_SYSLOG;
	} else if (strcmp(log, "stderr") != 0) {
		chosen = TARGET_FILE;
		name_error = log_name_set(log, program);
	}
	atomic_store(&target, chosen);
	errno = saved_errno;
}

static int open_first(void)
{
	int error = name_error;

	/* If another thread has its turn for so long, it is about to open it. */
	if (error == 0 && take_turn(&sink_turn)) {
		if (sink.fd < 0 && !open_sink_locked()) {
			error = errno;
		}
		give_turn(&sink_turn);
	}
	return error;
}

int sink_open(void)
{
	int saved_errno = errno;
	int cancelling = defer_cancelling();
	int error = 0;

	if (!sink_is_stderr()) {
		error = open_first();
		if (error != 0) {
			atomic_store(&target, TARGET_STDERR);
		}
	}
	pthread_setcancelstate(cancelling, NULL);
	errno = saved_errno;
	return error;
}

static bool fork_has_turn;

void sink_fork_prepare(void)
{
	fork_has_turn = take_turn(&sink_turn);
}

void sink_fork_parent(void)
{
	if (fork_has_turn) {
		give_turn(&sink_turn);
	}
}

void sink_fork_child(void)
{
	int saved_errno = errno;
	struct stat st;

	sink_fork_parent();
	free_turn(&stderr_turn);
	free_turn(&sink_turn);
	atomic_store(&lost, 0);
	append_begin();
	if (!fork_has_turn || (atomic_load(&target) == TARGET_FILE && log_name_has_pid())) {
		if (fd_is(sink.fd, &sink.id, &st)) {
			close(sink.fd);
		}
		sink.fd = -1;
	}
	errno = saved_errno;
}
