/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where the log's lines go: a file, syslog or stderr.
 *
 * Locks: LOCK_RECORD, called the turn, guards log_file.c's state and the syslog socket, from
 * the check that the descriptor is still ours to the end of the write. Writing to stderr takes
 * one of its own where that is a regular file. Everything else static is constant after
 * sink_configure, atomic, or changes only in a forked child, which has one thread.
 *
 * Not syslog(3): its connection, its ident and its descriptor belong to the program.
 */
#include "trace/log/sink.h"

#include <errno.h>
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
#include "base/thread/pid.h"
#include "trace/log/log_file.h"
#include "trace/log/log_name.h"

/* How long a thread waits for its turn: far longer than writing a line takes. */
#define TURN_NS (250 * NS_PER_MS)

enum target { TARGET_STDERR, TARGET_FILE, TARGET_SYSLOG };

static const int priorities[] = {
	[LEVEL_OFF] = LOG_DEBUG, [LEVEL_ERROR] = LOG_ERR,   [LEVEL_WARNING] = LOG_WARNING,
	[LEVEL_INFO] = LOG_INFO, [LEVEL_DEBUG] = LOG_DEBUG,
};

static _Atomic(enum target) target = TARGET_STDERR;
static int name_error; /* why the log has no name; 0 */
static struct fd_id stderr_id;
static atomic_uint_fast64_t lost; /* lines since the last one that was written */
static atomic_uint part;          /* raised when lines were lost or syslog was restarted */

/* The turn to write; `stuck` while the thread that has it takes longer than TURN_NS. */
struct turn {
	struct lock lock;
	atomic_bool stuck;
};

static struct turn stderr_turn = {.lock = LOCK_INITIALIZER(LOCK_RECORD)};
static struct turn sink_turn = {.lock = LOCK_INITIALIZER(LOCK_RECORD)};
static struct {
	int fd; /* -1: to be opened */
	struct fd_id id;
} syslog_socket = {.fd = -1};

/* A thread that is cancelled in a write would keep the lock: cancelled only after the line. */
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

/* In a forked child: a thread that it does not have may have had the turn. */
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
	written = log_file_has_room(st, t->len) && strbuf_print(t, STDERR_FILENO, 0);
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

static bool open_syslog_locked(void)
{
	static const struct sockaddr_un address = {.sun_family = AF_UNIX,
	                                           .sun_path = "/dev/log"};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		int saved_errno = errno;

		close(fd);
		errno = saved_errno;
		fd = -1;
	}
	syslog_socket.fd = fd >= 0 ? fd_move_up(fd) : -1;
	if (syslog_socket.fd >= 0) {
		fd_identify(syslog_socket.fd, &syslog_socket.id, &st);
		atomic_fetch_add(&part, 1);
	}
	return syslog_socket.fd >= 0;
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
	return sendmsg(syslog_socket.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* A syslogd that was restarted listens on a new socket: then once more. */
static bool put_in_syslog_locked(const struct strbuf *line, enum config_level level)
{
	struct stat st;

	for (int i = 0; i < 2; i++) {
		if (!fd_is(syslog_socket.fd, &syslog_socket.id, &st) && !open_syslog_locked()) {
			return false;
		}
		if (send_locked(line, level)) {
			return true;
		}
		if (errno == EAGAIN || errno == ENOBUFS) {
			return false;
		}
		close(syslog_socket.fd);
		syslog_socket.fd = -1;
	}
	return false;
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
		written = atomic_load_explicit(&target, memory_order_relaxed) == TARGET_SYSLOG
		                  ? put_in_syslog_locked(line, level)
		                  : log_file_put(line);
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
	return log_file_number() + atomic_load_explicit(&part, memory_order_relaxed);
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

int sink_open(void)
{
	int saved_errno = errno;
	int cancelling = defer_cancelling();
	int error = name_error;

	/* A thread that has had the turn for so long is opening it. */
	if (!sink_is_stderr() && error == 0 && take_turn(&sink_turn)) {
		bool opened = atomic_load(&target) == TARGET_FILE
		                      ? log_file_open()
		                      : syslog_socket.fd >= 0 || open_syslog_locked();

		error = opened ? 0 : errno;
		give_turn(&sink_turn);
	}
	if (error != 0) {
		atomic_store(&target, TARGET_STDERR);
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
	log_file_fork_child(fork_has_turn);
	if (!fork_has_turn && fd_is(syslog_socket.fd, &syslog_socket.id, &st)) {
		close(syslog_socket.fd);
		syslog_socket.fd = -1;
	}
	errno = saved_errno;
}
