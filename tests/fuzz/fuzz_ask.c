/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a process makes of a keeper's answers, whoever that is. Input: the state of the word;
 * then, for each message, whether a descriptor comes with it, its length, and its bytes; what
 * is lent is played to a libpq that says what the rest of the input has.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread/pid.h"
#include "bytes.h"
#include "share/ask.h"
#include "share/start_record.h"

#define FD 77

static ssize_t never_send(int fd, const void *bytes, size_t count, int flags)
{
	(void)fd;
	(void)bytes;
	(void)count;
	(void)flags;
	abort();
}

static ssize_t never_receive(int fd, void *bytes, size_t count, int flags)
{
	(void)fd;
	(void)bytes;
	(void)count;
	(void)flags;
	abort();
}

static void send_message(int to, struct bytes *b)
{
	uint8_t how = take_byte(b);
	struct bytes said = take_bytes(b, take_number(b));
	struct keeper_head head = {KEEPER_PROTOCOL, how & 15, 0};
	struct iovec pieces[] = {{&head, sizeof(head)}, {(void *)said.at, said.left}};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};

	head.length = (uint32_t)(sizeof(head) + said.left);
	if ((how & 32) != 0) {
		/* Without a head of ours. */
		message.msg_iov = pieces + 1;
		message.msg_iovlen = 1;
	}
	if ((how & 16) != 0) {
		memcpy(CMSG_DATA(&control.header), &to, sizeof(to));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control.room);
	}
	sendmsg(to, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void play(const struct keeper_record *record, int server, struct bytes *b)
{
	static const struct libpq libpq;
	struct start_tape *tape = start_tape_of(&libpq, record, server);
	char heard[64];

	require(tape != NULL);
	tape->fd = FD;
	start_tape = tape;
	while (b->left > 0) {
		struct bytes piece = take_bytes(b, 1 + take_byte(b) % 64);
		size_t all = record->startup_len - tape->compared;

		if (start_tape_send(never_send, NULL, FD, piece.at, piece.left, 0) < 0 &&
		    all > 0) {
			/* What it should have said. */
			start_tape_send(never_send, NULL, FD,
			                start_record_startup(record) + tape->compared, all, 0);
		}
		start_tape_recv(never_receive, NULL, FD, heard, sizeof(heard), 0);
	}
	start_tape_is_over(tape);
	start_tape = NULL;
	start_tape_free(tape);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct keeper_page page;
	struct member member = {.page = &page, .owner = pid_self(), .fd = -1};
	struct bytes b = {data, size};
	struct ask ask = {.member = &member, .word = 3};
	struct ask_reply reply;
	int ends[2];

	atomic_store(&page.words[3], take_byte(&b));
	require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	ask.fd = ends[0];
	for (int i = 0; i < 4 && ask.member != NULL && ask.fd >= 0; i++) {
		enum ask_answer answer;

		send_message(ends[1], &b);
		answer = ask_read(&ask, &reply);
		if (answer == ASK_LENT) {
			play(reply.record, reply.server, &b);
			close(reply.server);
			free(reply.record);
		}
		require((reply.text != NULL) == (answer == ASK_REFUSED));
		free(reply.text);
	}
	ask_drop(&ask);
	require(ask.fd < 0);
	close(ends[1]);
	return 0;
}
