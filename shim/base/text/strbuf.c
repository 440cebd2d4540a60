/* SPDX-License-Identifier: PostgreSQL */
/* Builds text in a buffer of fixed size. */
#include "base/text/strbuf.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text/decimal.h"

void strbuf_init(struct strbuf *t, char *buf, size_t size)
{
	*t = (struct strbuf){.buf = buf, .size = size};
	buf[0] = '\0';
}

void strbuf_bytes(struct strbuf *t, const char *s, size_t n)
{
	size_t room = t->size - 1 - t->len;

	if (n > room) {
		n = room;
		t->cut = true;
	}
	memcpy(t->buf + t->len, s, n);
	t->len += n;
	t->buf[t->len] = '\0';
}

void strbuf_char(struct strbuf *t, char c)
{
	if (t->len + 1 >= t->size) {
		t->cut = true;
		return;
	}
	t->buf[t->len++] = c;
	t->buf[t->len] = '\0';
}

void strbuf_str(struct strbuf *t, const char *s)
{
	if (s != NULL) {
		strbuf_bytes(t, s, strlen(s));
	}
}

void strbuf_u64(struct strbuf *t, uint64_t v)
{
	char digits[DECIMAL_MAX];

	strbuf_bytes(t, digits, (size_t)(decimal_put(digits, v) - digits));
}

void strbuf_i64(struct strbuf *t, int64_t v)
{
	if (v < 0) {
		strbuf_char(t, '-');
		strbuf_u64(t, (uint64_t)0 - (uint64_t)v);
	} else {
		strbuf_u64(t, (uint64_t)v);
	}
}

void strbuf_hex(struct strbuf *t, uint64_t v)
{
	char digits[16];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[v % 16];
		v /= 16;
	} while (v > 0);
	strbuf_str(t, "0x");
	strbuf_bytes(t, digits + at, sizeof(digits) - at);
}

void strbuf_count(struct strbuf *t, uint64_t n, const char *noun)
{
	strbuf_u64(t, n);
	strbuf_char(t, ' ');
	strbuf_str(t, noun);
	strbuf_str(t, n != 1 ? "s" : NULL);
}

void strbuf_span(struct strbuf *t, uint64_t ns)
{
	uint64_t unit = NS_PER_SEC;
	const char *name = " s";

	if (ns < NS_PER_MS) {
		strbuf_u64(t, ns / NS_PER_US);
		strbuf_str(t, " us");
		return;
	}
	if (ns < NS_PER_SEC) {
		unit = NS_PER_MS;
		name = " ms";
	}
	strbuf_u64(t, ns / unit);
	strbuf_char(t, '.');
	strbuf_u64(t, ns % unit / (unit / 10));
	strbuf_str(t, name);
}

static bool is_regular(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* True if `fd` can be written before the deadline. */
static bool is_ready(int fd, uint64_t deadline_ns)
{
	uint64_t now = clock_monotonic_ns();
	struct pollfd ready = {.fd = fd, .events = POLLOUT};
	uint64_t ms = deadline_ns > now ? (deadline_ns - now) / NS_PER_MS + 1 : 0;

	return poll(&ready, 1, (int)ms) > 0 && (ready.revents & POLLNVAL) == 0;
}

/*
 * Writes without waiting. Not by O_NONBLOCK: other processes share the open file. If the kernel
 * cannot do it for this kind of file, one that is ready takes PIPE_BUF bytes.
 */
static ssize_t write_now(int fd, const char *bytes, size_t n)
{
	struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
	ssize_t done = pwritev2(fd, &part, 1, -1, RWF_NOWAIT);

	if (done >= 0 || errno == EAGAIN || errno == EINTR || errno == EPIPE) {
		return done;
	}
	if (!is_ready(fd, 0)) {
		errno = EAGAIN;
		return -1;
	}
	return write(fd, bytes, n);
}

static bool write_all(const struct strbuf *t, int fd, uint64_t patience_ns)
{
	int saved_errno = errno;
	uint64_t deadline_ns = clock_monotonic_ns() + patience_ns;
	bool regular = is_regular(fd);
	size_t done = 0;

	while (done < t->len) {
		size_t left = t->len - done;
		ssize_t n = regular ? write(fd, t->buf + done, left)
		                    : write_now(fd, t->buf + done,
		                                left < PIPE_BUF ? left : PIPE_BUF);

		if (n > 0) {
			done += (size_t)n;
		} else if (n == 0 || (errno != EINTR && errno != EAGAIN) ||
		           (errno == EAGAIN && !is_ready(fd, deadline_ns))) {
			break;
		}
	}
	errno = saved_errno;
	return done == t->len;
}

bool strbuf_print(const struct strbuf *t, int fd, uint64_t patience_ns)
{
	static const struct timespec at_once;
	static atomic_bool gave_up;
	sigset_t pipe_signal;
	sigset_t before;
	sigset_t pending;
	bool written;
	bool was_pending;

	if (t->len == 0) {
		return true;
	}
	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	sigpending(&pending);
	was_pending = sigismember(&pending, SIGPIPE) == 1;
	pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
	written = write_all(t, fd, atomic_load(&gave_up) ? 0 : patience_ns);
	atomic_store(&gave_up, !written);
	if (!written && !was_pending) {
		int saved_errno = errno;

		/* Takes the signal our own write caused, if it caused one. */
		sigtimedwait(&pipe_signal, NULL, &at_once);
		errno = saved_errno;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return written;
}
