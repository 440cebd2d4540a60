/* SPDX-License-Identifier: PostgreSQL */
/* What becomes a record, and what does not. tests/shim/start_record.c plays them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>
#include <sys/un.h>

#include "share/start_record.h"
#include "share/start_tape.h"

#define SSL_REQUEST "\0\0\0\x08\x04\xd2\x16\x2f"
#define STARTUP     "\0\0\0\x10\0\x03\0\0user\0u\0\0"
#define PASSWORD    "p\0\0\0\x0bsecret\0"
#define NEGOTIATED  "v\0\0\0\x0c\0\x03\0\0\0\0\0\0"
#define ASK_TICKET  "R\0\0\0\x08\0\0\0\x07"
#define ASK_CLEAR   "R\0\0\0\x08\0\0\0\x03"
#define WELCOME     "R\0\0\0\x08\0\0\0\0"
#define PARAMETER                                                                              \
	"S\0\0\0\x08"                                                                          \
	"a\0b\0"
#define KEY      "K\0\0\0\x0c\0\0\0\x2a\0\0\0\x01"
#define NOTICE   "N\0\0\0\x05\0"
#define READY    "Z\0\0\0\x05I"
#define IN_BLOCK "Z\0\0\0\x05T"

static int socket_7(const PGconn *conn)
{
	(void)conn;
	return 7;
}

static int backend_42(const PGconn *conn)
{
	(void)conn;
	return 42;
}

static int used_one(const PGconn *conn)
{
	(void)conn;
	return 1;
}

static const struct libpq made_up = {
	.PQsocket = socket_7, .PQbackendPID = backend_42, .PQconnectionUsedPassword = used_one};

static struct keeper_record *recorded(const char *sent, size_t sent_len, const char *received,
                                      size_t received_len)
{
	struct start_tape *tape = start_tape_blank(&made_up);
	struct keeper_record *record;

	tape->fd = 7;
	tape->address.ss_family = AF_UNIX;
	tape->address_len = sizeof(struct sockaddr_un);
	memcpy(tape->sent, sent, sent_len);
	tape->sent_len = (uint32_t)sent_len;
	memcpy(tape->received, received, received_len);
	tape->received_len = (uint32_t)received_len;
	record = start_record_make(tape, &made_up, NULL);
	start_tape_free(tape);
	return record;
}

#define RECORDED(sent, received)                                                               \
	recorded(sent, sizeof(sent) - 1, received, sizeof(received) - 1)
#define assert_no_record(sent, received) assert_null(RECORDED(sent, received))

static void assert_reply(struct keeper_record *record, const char *reply, size_t len)
{
	assert_non_null(record);
	assert_true(start_record_is_whole(record, start_record_size(record)));
	assert_false(start_record_is_whole(record, start_record_size(record) - 1));
	assert_int_equal(record->backend_pid, 42);
	assert_int_equal(record->startup_len, 16);
	assert_memory_equal(start_record_startup(record), STARTUP, 16);
	assert_int_equal(record->reply_len, len);
	assert_memory_equal(start_record_reply(record), reply, len);
	free(record);
}

#define assert_record(sent, received, reply)                                                   \
	assert_reply(RECORDED(sent, received), reply, sizeof(reply) - 1)

static void test_a_record_has_no_authentication(void **state)
{
	(void)state;
	assert_record(STARTUP, WELCOME PARAMETER KEY READY, WELCOME PARAMETER KEY READY);
	assert_record(STARTUP PASSWORD, ASK_CLEAR WELCOME PARAMETER KEY READY,
	              WELCOME PARAMETER KEY READY);
	assert_record(SSL_REQUEST STARTUP PASSWORD,
	              "N" NEGOTIATED ASK_CLEAR WELCOME PARAMETER KEY READY,
	              NEGOTIATED WELCOME PARAMETER KEY READY);
}

static void test_what_cannot_be_shared(void **state)
{
	(void)state;
	assert_no_record(SSL_REQUEST STARTUP, "S" WELCOME KEY READY);
	assert_no_record("\0\0\0\x08\x04\xd2\x16\x31" STARTUP, "N" WELCOME KEY READY);
	assert_no_record(STARTUP, ASK_TICKET WELCOME KEY READY);
	assert_no_record(STARTUP, WELCOME NOTICE KEY READY);
	assert_no_record(STARTUP, WELCOME KEY IN_BLOCK);
	assert_no_record(STARTUP, WELCOME KEY);
	assert_no_record(STARTUP, WELCOME KEY READY PARAMETER);
	assert_no_record(STARTUP, KEY READY);
	assert_no_record(STARTUP, WELCOME WELCOME KEY READY);
	assert_no_record(STARTUP "Q\0\0\0\x05\0", WELCOME KEY READY);
	assert_no_record("\0\0\0\x10\0\x02\0\0user\0u\0\0", WELCOME KEY READY);
	assert_no_record("\x7f\xff\xff\xff\0\x03\0\0user\0u\0\0", WELCOME KEY READY);
	assert_no_record("", WELCOME KEY READY);
	assert_no_record(STARTUP, "");
	assert_no_record(STARTUP, "S\xff\xff\xff\xff");
	assert_no_record(STARTUP, WELCOME "S\0\0\0\0");
}

/* ---- the end without a word ---- */

static ssize_t never_send(int fd, const void *bytes, size_t count, int flags)
{
	(void)fd, (void)bytes, (void)count, (void)flags;
	fail_msg("the server hears of it");
	return -1;
}

static ssize_t never_receive(int fd, void *bytes, size_t count, int flags)
{
	(void)fd, (void)bytes, (void)count, (void)flags;
	fail_msg("an answer that is another process's is taken");
	return -1;
}

static ssize_t send_really(int fd, const void *bytes, size_t count, int flags)
{
	(void)bytes, (void)count, (void)flags;
	return fd;
}

/* The Terminate, and what other sockets send meanwhile. */
static void finish_7(PGconn *conn)
{
	char heard[8];

	(void)conn;
	function_called();
	assert_int_equal(start_tape_send(never_send, NULL, 7, "X\0\0\0\x04", 5, 0), 5);
	assert_int_equal(start_tape_recv(never_receive, NULL, 7, heard, sizeof(heard), 0), 0);
	assert_int_equal(start_tape_send(send_really, NULL, 8, "other", 5, 0), 8);
}

static void test_a_finish_without_a_word(void **state)
{
	struct libpq finishing = made_up;
	struct start_tape *connecting = start_tape_blank(&made_up);

	(void)state;
	finishing.PQfinish = finish_7;
	expect_function_calls(finish_7, 2);
	assert_true(start_tape_finish(&finishing, NULL));
	assert_null(start_tape);
	/* In the middle of a connect, which goes on. */
	start_tape = connecting;
	assert_true(start_tape_finish(&finishing, NULL));
	assert_ptr_equal(start_tape, connecting);
	start_tape = NULL;
	assert_int_equal(connecting->sent_len, 0);
	start_tape_free(connecting);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_record_has_no_authentication),
		cmocka_unit_test(test_what_cannot_be_shared),
		cmocka_unit_test(test_a_finish_without_a_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
