/* SPDX-License-Identifier: PostgreSQL */
/* A socket that becomes readable when somebody rings or a time has come. */
#include "pool/chime.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

/* What the kernel's own connection may take, which is there at once or never. */
#define LOOPBACK_MS 20
/* It counts from when the buffers were full; never to be early. */
#define MARGIN_NS   (10 * NS_PER_MS)

static int make_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static bool is_ready(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, LOOPBACK_MS) == 1 && p.revents == events;
}

static bool listen_here(int fd, struct sockaddr_in *address)
{
	socklen_t len = sizeof(*address);
	int least = 1;

	*address = (struct sockaddr_in){.sin_family = AF_INET,
	                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	/* Of the listener, for the ends it accepts have it from there. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least));
	return bind(fd, (struct sockaddr *)address, sizeof(*address)) == 0 &&
	       listen(fd, 1) == 0 && getsockname(fd, (struct sockaddr *)address, &len) == 0;
}

/* Anybody on this machine may connect to a port while it is listened on. */
static bool are_ends(int fd, int other)
{
	struct sockaddr_in ours;
	struct sockaddr_in theirs;
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
	/* Whether it succeeds at once is no matter, nor what it says: it is ready, or not. */
	if (listen_here(listener, &address) &&
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) <= 0 &&
	    is_ready(fd, POLLOUT) && is_ready(listener, POLLIN)) {
		other = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	}
	close(listener);
	if (other >= 0 && !are_ends(fd, other)) {
		close(other);
		other = -1;
	}
	return other;
}

static void fill(int fd)
{
	static const char bytes[4096];

	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
	}
}

static unsigned patience_ms(uint64_t at_ns)
{
	uint64_t now_ns = clock_monotonic_ns();

	/* 0 would be the kernel's default, and no more than an int is taken. */
	return (unsigned)clock_ms_until(now_ns, (at_ns > now_ns ? at_ns : now_ns) + MARGIN_NS);
}

void chime_init(struct chime *chime)
{
	chime->fd = -1;
	atomic_init(&chime->ringer, -1);
}

bool chime_make(struct chime *chime, uint64_t at_ns)
{
	int fd = make_socket();
	int least = 1;
	int other = -1;
	unsigned ms;

	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
		other = connect_to_ourselves(fd);
	}
	if (other < 0) {
		if (fd >= 0) {
			close(fd);
		}
		return false;
	}
	fill(fd);
	ms = patience_ms(at_ns);
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	chime->fd = fd;
	atomic_store(&chime->ringer, other);
	return true;
}

void chime_close(struct chime *chime)
{
	int other = atomic_exchange(&chime->ringer, -1);

	if (chime->fd >= 0) {
		close(chime->fd);
		close(other);
		chime->fd = -1;
	}
}

void chime_ring(struct chime *chime)
{
	int other = atomic_load(&chime->ringer);

	if (other >= 0) {
		send(other, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}
