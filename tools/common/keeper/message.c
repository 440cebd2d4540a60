/* SPDX-License-Identifier: PostgreSQL */
/* Messages: one packet each, with a descriptor or without. */
#include "common/keeper/message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/xalloc.h"

#define FDS_MAX 4 /* that are received, to be closed */

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

/* The first descriptor that came, -1 if none; `*extra` if there were more: these are closed. */
static int take_fds(struct msghdr *header, bool *extra)
{
	int first = -1;

	*extra = (header->msg_flags & MSG_CTRUNC) != 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
			continue;
		}
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len;
		     at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
			if (first < 0) {
				first = fd;
			} else {
				close(fd);
				*extra = true;
			}
		}
	}
	return first;
}

enum message_outcome message_receive(int socket, struct message *m)
{
	static uint8_t buffer[KEEPER_MESSAGE_MAX];
	union control control;
	struct iovec all = {buffer, sizeof(buffer)};
	struct msghdr header = {.msg_iov = &all,
	                        .msg_iovlen = 1,
	                        .msg_control = &control,
	                        .msg_controllen = sizeof(control)};
	struct keeper_head head;
	bool extra;
	ssize_t n = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n <= 0) {
		return n < 0 && (errno == EAGAIN || errno == EINTR) ? MESSAGE_NONE
		                                                    : MESSAGE_END;
	}
	m->fd = take_fds(&header, &extra);
	m->at = buffer;
	m->left = (size_t)n;
	if (extra || (header.msg_flags & MSG_TRUNC) != 0 ||
	    !message_take(m, &head, sizeof(head)) || head.protocol != KEEPER_PROTOCOL ||
	    head.length != (size_t)n) {
		if (m->fd >= 0) {
			close(m->fd);
		}
		return MESSAGE_BAD;
	}
	m->type = (enum keeper_type)head.type;
	return MESSAGE_CAME;
}

bool message_take(struct message *m, void *to, size_t n)
{
	if (n > m->left) {
		return false;
	}
	if (n > 0) {
		memcpy(to, m->at, n);
	}
	m->at += n;
	m->left -= n;
	return true;
}

char *message_take_text(struct message *m, uint32_t n)
{
	const char *text = (const char *)m->at;

	if (n > m->left || memchr(text, '\0', n) != NULL) {
		return NULL;
	}
	m->at += n;
	m->left -= n;
	return xalloc_copy(text, n);
}

bool message_send(int socket, enum keeper_type type, struct iovec *parts, int count, int fd)
{
	struct keeper_head head = {.protocol = KEEPER_PROTOCOL, .type = type};
	union control control = {.room = ""};
	struct msghdr header = {.msg_iov = parts, .msg_iovlen = (size_t)count};
	size_t length = sizeof(head);

	parts[0] = (struct iovec){&head, sizeof(head)};
	for (int i = 1; i < count; i++) {
		length += parts[i].iov_len;
	}
	head.length = (uint32_t)length;
	if (fd >= 0) {
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(sizeof(fd));
		control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(fd)),
		                                .cmsg_level = SOL_SOCKET,
		                                .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), &fd, sizeof(fd));
	}
	return sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
}
