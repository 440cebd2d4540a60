/* SPDX-License-Identifier: PostgreSQL */
/* Messages as the process receives them, from whoever is at the other end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "share/packet.h"

static int ends[2];

static int set_up(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends);
}

static int tear_down(void **state)
{
	(void)state;
	close(ends[0]);
	close(ends[1]);
	return 0;
}

/* Sends a WAIT with so many descriptors. */
static void send_with(int count)
{
	struct keeper_head head = {
		.protocol = KEEPER_PROTOCOL, .type = KEEPER_WAIT, .length = sizeof(head)};
	struct iovec piece = {&head, sizeof(head)};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct msghdr message = {.msg_iov = &piece,
	                         .msg_iovlen = 1,
	                         .msg_control = &control,
	                         .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};

	control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN((size_t)count * sizeof(int)),
	                                  .cmsg_level = SOL_SOCKET,
	                                  .cmsg_type = SCM_RIGHTS};
	for (int i = 0; i < count; i++) {
		memcpy(CMSG_DATA(&control.header) + (size_t)i * sizeof(int), &ends[0],
		       sizeof(int));
	}
	assert_int_equal(sendmsg(ends[1], &message, 0), sizeof(head));
}

/* The lowest number that is free. */
static int next_number(void)
{
	int fd = dup(ends[0]);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static void one_descriptor_comes_with_it(void **state)
{
	struct packet packet;
	int before = next_number();
	int fd;

	(void)state;
	send_with(1);
	assert_int_equal(packet_receive(ends[0], &packet), PACKET_HERE);
	assert_int_equal(packet.fd, before);
	fd = packet.fd;
	packet_end(&packet);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void more_descriptors_do_not_stay(void **state)
{
	int before = next_number();

	(void)state;
	for (int count = 2; count <= 8; count++) {
		struct packet packet;

		send_with(count);
		if (packet_receive(ends[0], &packet) == PACKET_HERE) {
			packet_end(&packet);
		}
		assert_int_equal(next_number(), before);
	}
}

/* At the limit of the process's descriptors it is as if none had come. */
static void descriptor_beyond_the_limit(void **state)
{
	struct rlimit limit;
	struct rlimit none;
	struct packet packet;

	(void)state;
	send_with(1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = (rlim_t)next_number();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(packet_receive(ends[0], &packet), PACKET_HERE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(packet.fd, -1);
	packet_end(&packet);
}

static void what_is_cut_or_padded_is_broken(void **state)
{
	struct keeper_head head = {
		.protocol = KEEPER_PROTOCOL, .type = KEEPER_WAIT, .length = sizeof(head)};
	struct packet packet;

	(void)state;
	assert_int_equal(packet_receive(ends[0], &packet), PACKET_EMPTY);
	for (size_t n = 1; n < sizeof(head); n++) {
		assert_int_equal(send(ends[1], &head, n, 0), n);
		assert_int_equal(packet_receive(ends[0], &packet), PACKET_BROKEN);
	}
	head.length++;
	assert_int_equal(send(ends[1], &head, sizeof(head), 0), sizeof(head));
	assert_int_equal(packet_receive(ends[0], &packet), PACKET_BROKEN);
	head.length--;
	head.protocol++;
	assert_int_equal(send(ends[1], &head, sizeof(head), 0), sizeof(head));
	assert_int_equal(packet_receive(ends[0], &packet), PACKET_BROKEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_descriptor_comes_with_it, set_up,
	                                        tear_down),
		cmocka_unit_test_setup_teardown(more_descriptors_do_not_stay, set_up,
	                                        tear_down),
		cmocka_unit_test_setup_teardown(descriptor_beyond_the_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_cut_or_padded_is_broken, set_up,
	                                        tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
