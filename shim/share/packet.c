/* SPDX-License-Identifier: PostgreSQL */
/* Sends and receives messages. */
#include "share/packet.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

/* Room for one descriptor, and aligned for it. */
union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

static void attach(struct msghdr *message, union control *control, int fd)
{
	struct cmsghdr *header;

	memset(control, 0, sizeof(*control));
	message->msg_control = control->room;
	message->msg_controllen = sizeof(control->room);
	header = CMSG_FIRSTHDR(message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
}

bool packet_send(int to, enum keeper_type type, const struct packet_part *parts, size_t count,
                 int fd, uint64_t patience_ns)
{
	struct keeper_head head = {.protocol = KEEPER_PROTOCOL, .type = type};
	struct iovec pieces[1 + PACKET_PARTS_MAX] = {{&head, sizeof(head)}};
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 1 + count};
	uint64_t deadline_ns = clock_monotonic_ns() + patience_ns;
	union control control;
	ssize_t n;

	head.length = sizeof(head);
	for (size_t i = 0; i < count; i++) {
		pieces[i + 1] = (struct iovec){(void *)parts[i].bytes, parts[i].len};
		head.length += (uint32_t)parts[i].len;
	}
	if (fd >= 0) {
		attach(&message, &control, fd);
	}
	do {
		n = sendmsg(to, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && (errno == EINTR || ((errno == EAGAIN || errno == EWOULDBLOCK) &&
	                                      fd_wait(to, POLLOUT, deadline_ns))));
	return n >= 0;
}

/* The descriptor that came with it; -1. The kernel closes what there is no room for. */
static int attached(struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int fd = -1;

	if (header != NULL && header->cmsg_level == SOL_SOCKET &&
	    header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(fd))) {
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	}
	return fd;
}

static bool is_whole(const struct keeper_head *head, size_t size)
{
	return size >= sizeof(*head) && head->protocol == KEEPER_PROTOCOL &&
	       head->length == size;
}

static enum packet_outcome take(int from, struct packet *packet, size_t size)
{
	struct iovec piece = {packet->memory, size};
	union control control;
	struct msghdr message = {.msg_iov = &piece,
	                         .msg_iovlen = 1,
	                         .msg_control = control.room,
	                         /* The padding would have room for a second one. */
	                         .msg_controllen = CMSG_LEN(sizeof(int))};
	const struct keeper_head *head = packet->memory;
	ssize_t n = recvmsg(from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	packet->fd = n >= 0 ? attached(&message) : -1;
	if (n != (ssize_t)size || !is_whole(head, size)) {
		packet_end(packet);
		return PACKET_BROKEN;
	}
	packet->type = head->type;
	packet->body = (const uint8_t *)(head + 1);
	packet->len = size - sizeof(*head);
	return PACKET_HERE;
}

enum packet_outcome packet_receive(int from, struct packet *packet)
{
	char byte;
	ssize_t size = recv(from, &byte, sizeof(byte), MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);

	if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
		return PACKET_EMPTY;
	}
	if (size <= 0 || size > KEEPER_MESSAGE_MAX) {
		return PACKET_BROKEN;
	}
	packet->memory = malloc((size_t)size + sizeof(struct keeper_head));
	packet->fd = -1;
	return packet->memory != NULL ? take(from, packet, (size_t)size) : PACKET_BROKEN;
}

void packet_end(struct packet *packet)
{
	if (packet->fd >= 0) {
		close(packet->fd);
		packet->fd = -1;
	}
	free(packet->memory);
	packet->memory = NULL;
}
