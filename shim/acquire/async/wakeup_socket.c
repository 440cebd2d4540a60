/* SPDX-License-Identifier: PostgreSQL */
/* The socket that a waiting connect shows, and how it wakes the program. */
#include "acquire/async/wakeup_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "session/socket/epoll_registrations.h"

/* The loopback connection succeeds at once or never. */
#define LOOPBACK_MS 20

/* Segments that the kernel does not pace; then one that delays the last one by its length. */
#define FREE_SEGMENTS 10
#define LATE_BYTES    1000

static int make_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Moved out of the program's way, and noted, as the program may close what it does not know. */
static bool take(struct own_fd *end, int fd)
{
	struct stat st;

	end->fd = fd >= 0 ? fd_move_up(fd) : -1;
	if (end->fd >= 0) {
		fd_identify(end->fd, &end->id, &st);
	}
	return end->fd >= 0;
}

static bool is_ours(const struct own_fd *end)
{
	struct stat st;

	return end->fd >= 0 && fd_is(end->fd, &end->id, &st);
}

static void close_ours(struct own_fd *end)
{
	if (is_ours(end)) {
		close(end->fd);
	}
	end->fd = -1;
}

static bool is_ready(int fd, short events, int ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t deadline_ns = now_ns + (uint64_t)ms * NS_PER_MS;
	int ready;

	/* A program's timer may interrupt it again and again. */
	while ((ready = poll(&p, 1, clock_ms_until(now_ns, deadline_ns))) < 0 &&
	       errno == EINTR) {
		now_ns = clock_monotonic_ns();
	}
	return ready == 1 && p.revents == events;
}

/* ---- the connection to ourselves --------------------------------------------------- */

static bool listen_here(int fd, struct sockaddr_in *address)
{
	socklen_t len = sizeof(*address);

	*address = (struct sockaddr_in){.sin_family = AF_INET,
	                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	return bind(fd, (struct sockaddr *)address, sizeof(*address)) == 0 &&
	       listen(fd, 1) == 0 && getsockname(fd, (struct sockaddr *)address, &len) == 0;
}

/* While we listen, another process of this machine may connect instead. */
static bool are_ends(int fd, int other)
{
	struct sockaddr_in ours = {0};
	struct sockaddr_in theirs = {0};
	socklen_t our_len = sizeof(ours);
	socklen_t their_len = sizeof(theirs);

	return getsockname(fd, (struct sockaddr *)&ours, &our_len) == 0 &&
	       getpeername(other, (struct sockaddr *)&theirs, &their_len) == 0 &&
	       ours.sin_port == theirs.sin_port &&
	       ours.sin_addr.s_addr == theirs.sin_addr.s_addr;
}

/* Connects `fd` to itself; the other end, or -1. */
static int connect_to_ourselves(int fd)
{
	int listener = make_socket();
	struct sockaddr_in address;
	int other = -1;

	if (listener < 0) {
		return -1;
	}
	/* What connect() returns does not matter: both ends become ready, or not. */
	if (listen_here(listener, &address) &&
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) <= 0 &&
	    is_ready(fd, POLLOUT, LOOPBACK_MS) && is_ready(listener, POLLIN, LOOPBACK_MS)) {
		other = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	}
	close(listener);
	if (other >= 0 && !are_ends(fd, other)) {
		close(other);
		return -1;
	}
	return other;
}

/* Neither connected nor rung any more, and the same file. */
static void disconnect(int fd)
{
	struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

	(void)connect(fd, &nowhere, sizeof(nowhere));
}

/* ---- the time ----------------------------------------------------------------------- */

static bool set_number(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

/* In bytes a second: what follows LATE_BYTES is sent at `at_ns`. */
static unsigned rate_for(uint64_t at_ns)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t left_ns = at_ns > now_ns ? at_ns - now_ns : 1;
	uint64_t rate = LATE_BYTES * NS_PER_SEC / left_ns;

	if (rate > INT32_MAX) {
		return INT32_MAX;
	}
	return rate > 0 ? (unsigned)rate : 1;
}

static bool send_late(int from, int to, uint64_t at_ns)
{
	static const char bytes[LATE_BYTES];
	unsigned rate = rate_for(at_ns);

	if (!set_number(to, SOL_SOCKET, SO_RCVLOWAT, FREE_SEGMENTS + LATE_BYTES + 1) ||
	    !set_number(from, IPPROTO_TCP, TCP_NODELAY, 1)) {
		return false;
	}
	for (int i = 0; i < FREE_SEGMENTS; i++) {
		if (send(from, bytes, 1, MSG_NOSIGNAL) != 1) {
			return false;
		}
	}
	return setsockopt(from, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate)) == 0 &&
	       send(from, bytes, LATE_BYTES, MSG_NOSIGNAL) == LATE_BYTES &&
	       send(from, bytes, 1, MSG_NOSIGNAL) == 1;
}

void wakeup_set(struct wakeup_socket *wakeup, uint64_t at_ns)
{
	if (!wakeup->timed || !is_ours(&wakeup->shown)) {
		return;
	}
	if (wakeup->sender.fd >= 0) {
		disconnect(wakeup->shown.fd);
		close_ours(&wakeup->sender);
	}
	if (!take(&wakeup->sender, connect_to_ourselves(wakeup->shown.fd)) ||
	    !send_late(wakeup->sender.fd, wakeup->shown.fd, at_ns)) {
		/* Better at once than never. */
		wakeup_ring(wakeup);
	}
}

/* ---- making and ringing --------------------------------------------------------------- */

/* False: there is no loopback interface, or the kernel does not pace. */
static bool make_timed(struct wakeup_socket *wakeup, uint64_t at_ns)
{
	*wakeup = WAKEUP_NONE;
	wakeup->timed = true;
	if (!take(&wakeup->shown, make_socket())) {
		return false;
	}
	wakeup_set(wakeup, at_ns);
	if (wakeup_is_due(wakeup) && clock_monotonic_ns() < at_ns) {
		wakeup_close(wakeup);
		return false;
	}
	return true;
}

static bool make_pair(struct wakeup_socket *wakeup)
{
	int ends[2];

	*wakeup = WAKEUP_NONE;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
		return false;
	}
	if (take(&wakeup->shown, ends[0]) && take(&wakeup->sender, ends[1])) {
		return true;
	}
	wakeup_close(wakeup);
	return false;
}

bool wakeup_make(struct wakeup_socket *wakeup, uint64_t at_ns)
{
	return make_timed(wakeup, at_ns) || make_pair(wakeup);
}

void wakeup_close(struct wakeup_socket *wakeup)
{
	close_ours(&wakeup->shown);
	close_ours(&wakeup->sender);
}

void wakeup_ring(const struct wakeup_socket *wakeup)
{
	if (is_ours(&wakeup->shown)) {
		shutdown(wakeup->shown.fd, SHUT_RD);
	}
}

bool wakeup_is_due(const struct wakeup_socket *wakeup)
{
	struct pollfd p = {.fd = wakeup->shown.fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* ---- shown at the connection's number -------------------------------------------------- */

void shown_init(struct shown_socket *shown)
{
	*shown = (struct shown_socket){.number = -1, .own.fd = -1, .wakeup = WAKEUP_NONE};
}

/* Puts another file at the number, and moves the epoll registrations of the old one to it. */
static bool exchange(int number, int by)
{
	struct epoll_taken taken;
	bool done;

	epoll_take(number, number, &taken);
	done = dup3(by, number, O_CLOEXEC) == number;
	epoll_put(number, &taken);
	return done;
}

bool shown_wakeup(struct shown_socket *shown, int number, uint64_t at_ns)
{
	int error;

	shown->number = number;
	if (take(&shown->own, fcntl(number, F_DUPFD_CLOEXEC, 0)) &&
	    wakeup_make(&shown->wakeup, at_ns) && exchange(number, shown->wakeup.shown.fd)) {
		return true;
	}
	error = errno;
	shown_forget(shown);
	errno = error;
	return false;
}

void shown_own(struct shown_socket *shown)
{
	struct stat st;

	/* The program may have closed the number, and opened another file there. */
	if (is_ours(&shown->own) && fd_is(shown->number, &shown->wakeup.shown.id, &st)) {
		exchange(shown->number, shown->own.fd);
	}
	shown_forget(shown);
}

void shown_forget(struct shown_socket *shown)
{
	close_ours(&shown->own);
	wakeup_close(&shown->wakeup);
}
