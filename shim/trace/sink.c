/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where the log's lines go: a file, syslog or stderr.
 *
 * Locks: LOCK_RECORD guards `sink`, from the check that the descriptor is still ours
 * to the end of the write. Writing to stderr takes no lock: it may be a pipe that its
 * reader lets fill up, and needs no state but what sink_open left behind. Everything
 * else static is constant after sink_open, or changes only in a forked child, which
 * has one thread.
 *
 * Not syslog(3): its connection, its ident and its descriptor belong to the program.
 */
#include "trace/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/self.h"

/*
 * Where our descriptor goes: out of the way of programs that expect the next low
 * number, but not so high that the kernel's table, which is copied by every fork,
 * grows for our sake.
 */
#define HIGHEST_FD 4095

enum target { TARGET_STDERR, TARGET_FILE, TARGET_SYSLOG };

/* A file as fstat sees it, to be recognised by. */
struct file_id {
	bool known;
	dev_t dev;
	ino_t ino;
};

static const int priorities[] = {
	[LEVEL_OFF] = LOG_DEBUG, [LEVEL_ERROR] = LOG_ERR,   [LEVEL_WARNING] = LOG_WARNING,
	[LEVEL_INFO] = LOG_INFO, [LEVEL_DEBUG] = LOG_DEBUG,
};

static enum target target = TARGET_STDERR;
static char program_name[NAME_MAX + 1];
static char host_name[HOST_NAME_MAX + 1];
static char pattern[PATH_MAX]; /* of the file's name, absolute */
static struct file_id stderr_id;

static struct lock sink_lock = LOCK_INITIALIZER(LOCK_RECORD);
static struct {
	int fd; /* -1: to be opened */
	struct file_id id;
	bool regular;
	bool torn; /* the last write may have left half a line */
} sink = {.fd = -1};

static bool is_file(int fd, const struct file_id *id, struct stat *st)
{
	return id->known && fd >= 0 && fstat(fd, st) == 0 && st->st_dev == id->dev &&
	       st->st_ino == id->ino;
}

static void identify(int fd, struct file_id *id, struct stat *st)
{
	id->known = fstat(fd, st) == 0;
	id->dev = id->known ? st->st_dev : 0;
	id->ino = id->known ? st->st_ino : 0;
}

/* A thread cancelled in a write would leave with the lock: not before the line is out. */
static int defer_cancelling(void)
{
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	return before;
}

/* A write beyond the limit on file sizes would end the program with a SIGXFSZ. */
static bool has_room(const struct stat *st, size_t n)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
	       ((uint64_t)st->st_size <= limit.rlim_cur &&
	        n <= limit.rlim_cur - (uint64_t)st->st_size);
}

bool sink_put_on_stderr(const struct text *t)
{
	int saved_errno = errno;
	int cancelling = defer_cancelling();
	struct stat st;
	bool written = is_file(STDERR_FILENO, &stderr_id, &st) &&
	               (!S_ISREG(st.st_mode) || has_room(&st, t->len)) &&
	               text_print(t, STDERR_FILENO);

	pthread_setcancelstate(cancelling, NULL);
	errno = saved_errno;
	return written;
}

bool sink_is_stderr(void)
{
	return target == TARGET_STDERR;
}

/* Moves `fd` up and out of the program's way; -1 if only 0, 1 or 2 was left to be had. */
static int move_up(int fd)
{
	struct rlimit limit;
	int at = HIGHEST_FD;
	int high = -1;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < HIGHEST_FD) {
		at = (int)limit.rlim_cur;
	}
	for (at -= at / 64 + 1; at > STDERR_FILENO && high < 0; at /= 2) {
		high = fcntl(fd, F_DUPFD_CLOEXEC, at);
	}
	if (high < 0 && fd > STDERR_FILENO) {
		return fd;
	}
	close(fd);
	return high;
}

static bool put_name(struct text *t)
{
	for (const char *p = pattern; *p != '\0'; p++) {
		if (*p != '%' || p[1] == '\0') {
			text_char(t, *p);
			continue;
		}
		switch (*++p) {
		case 'p':
			text_u64(t, (uint64_t)self_pid());
			break;
		case 'n':
			for (const char *n = program_name; *n != '\0'; n++) {
				text_char(t, *n == '/' ? '_' : *n);
			}
			break;
		case 'h':
			text_str(t, host_name);
			break;
		case '%':
			text_char(t, '%');
			break;
		default:
			text_char(t, '%');
			text_char(t, *p);
		}
	}
	return !t->cut;
}

/* Not blocking: a fifo nobody reads must not stop the program, neither now nor later. */
static int open_file(void)
{
	char buf[PATH_MAX];
	struct text name;

	text_init(&name, buf, sizeof(buf));
	if (!put_name(&name)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(buf, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
	            0600);
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

static bool open_sink_locked(void)
{
	struct stat st;
	int fd = target == TARGET_FILE ? open_file() : open_syslog();

	lock_assert_held(&sink_lock);
	sink.fd = fd >= 0 ? move_up(fd) : -1;
	if (sink.fd < 0) {
		return false;
	}
	identify(sink.fd, &sink.id, &st);
	sink.regular = sink.id.known && S_ISREG(st.st_mode);
	return true;
}

/* Makes sure that sink.fd is ours. A number that is somebody else's now is not closed. */
static bool check_sink_locked(struct stat *st)
{
	if (is_file(sink.fd, &sink.id, st)) {
		return true;
	}
	return open_sink_locked() && is_file(sink.fd, &sink.id, st);
}

/* `line` stands behind a spare byte, which takes the newline that ends a torn line. */
static bool put_in_file_locked(const struct text *line)
{
	struct text out = *line;
	struct stat before;
	struct stat after;
	bool written;

	if (!check_sink_locked(&before)) {
		return false;
	}
	if (!sink.regular) {
		return text_print(line, sink.fd);
	}
	if (sink.torn) {
		out.buf -= SINK_HEAD;
		out.len += SINK_HEAD;
		out.buf[0] = '\n';
	}
	if (!has_room(&before, out.len)) {
		return false;
	}
	written = text_write(&out, sink.fd);
	if (written) {
		sink.torn = false;
	} else if (fstat(sink.fd, &after) != 0 || after.st_size != before.st_size) {
		sink.torn = true;
	}
	return written;
}

static bool send_locked(const struct text *line, enum config_level level)
{
	char buf[64];
	struct text tag;
	struct iovec parts[2];
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

	text_init(&tag, buf, sizeof(buf));
	text_char(&tag, '<');
	text_u64(&tag, (uint64_t)(LOG_USER | priorities[level]));
	text_str(&tag, ">pqpool[");
	text_u64(&tag, (uint64_t)self_pid());
	text_str(&tag, "]: ");
	parts[0] = (struct iovec){.iov_base = tag.buf, .iov_len = tag.len};
	parts[1] = (struct iovec){.iov_base = line->buf, .iov_len = line->len - 1};
	return sendmsg(sink.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* A syslogd that was restarted listens on a new socket: then once more, connected anew. */
static bool put_in_syslog_locked(const struct text *line, enum config_level level)
{
	struct stat st;

	if (!check_sink_locked(&st)) {
		return false;
	}
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

bool sink_put(const struct text *line, enum config_level level)
{
	int saved_errno = errno;
	int cancelling;
	bool put;

	if (target == TARGET_STDERR) {
		return sink_put_on_stderr(line);
	}
	cancelling = defer_cancelling();
	lock_take(&sink_lock);
	put = target == TARGET_FILE ? put_in_file_locked(line)
	                            : put_in_syslog_locked(line, level);
	lock_drop(&sink_lock);
	pthread_setcancelstate(cancelling, NULL);
	errno = saved_errno;
	return put;
}

/* A relative name means the directory of now, wherever the program goes later. */
static bool set_pattern(const char *log)
{
	struct text t;

	text_init(&t, pattern, sizeof(pattern));
	if (log[0] != '/') {
		char folder[PATH_MAX];

		if (getcwd(folder, sizeof(folder)) == NULL) {
			return false;
		}
		/* A percent sign in it is no pattern of ours. */
		for (const char *p = folder; *p != '\0'; p++) {
			text_str(&t, *p == '%' ? "%" : NULL);
			text_char(&t, *p);
		}
		text_char(&t, '/');
	}
	text_str(&t, log);
	errno = ENAMETOOLONG;
	return !t.cut;
}

static int open_first(const char *log)
{
	int error = 0;

	target = strcmp(log, "syslog") == 0 ? TARGET_SYSLOG : TARGET_FILE;
	if (target == TARGET_FILE && !set_pattern(log)) {
		return errno;
	}
	lock_take(&sink_lock);
	if (!open_sink_locked()) {
		error = errno;
	}
	lock_drop(&sink_lock);
	return error;
}

int sink_open(const char *log, const char *program)
{
	int saved_errno = errno;
	int cancelling = defer_cancelling();
	int error = 0;
	struct text name;
	struct stat st;

	text_init(&name, program_name, sizeof(program_name));
	text_str(&name, program);
	if (gethostname(host_name, sizeof(host_name)) != 0) {
		host_name[0] = '\0';
	}
	host_name[sizeof(host_name) - 1] = '\0';
	identify(STDERR_FILENO, &stderr_id, &st);
	if (strcmp(log, "stderr") != 0) {
		error = open_first(log);
		target = error != 0 ? TARGET_STDERR : target;
	}
	pthread_setcancelstate(cancelling, NULL);
	errno = saved_errno;
	return error;
}

void sink_fork_prepare(void)
{
	lock_take(&sink_lock);
}

void sink_fork_parent(void)
{
	lock_drop(&sink_lock);
}

/* True if the file's name holds the pid, so that a child's is another one. */
static bool name_has_pid(void)
{
	for (const char *p = pattern; *p != '\0'; p++) {
		if (*p == '%' && *++p == 'p') {
			return true;
		}
		if (*p == '\0') {
			break;
		}
	}
	return false;
}

void sink_fork_child(void)
{
	int saved_errno = errno;
	struct stat st;

	lock_drop(&sink_lock);
	if (target == TARGET_FILE && name_has_pid()) {
		if (is_file(sink.fd, &sink.id, &st)) {
			close(sink.fd);
		}
		sink.fd = -1;
		sink.torn = false;
	}
	errno = saved_errno;
}
