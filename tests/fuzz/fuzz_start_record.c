/* SPDX-License-Identifier: PostgreSQL */
/*
 * How a connection began, as libpq and the server said it, made a record of; the record is then
 * played to a libpq that says the same. Input: an address, what libpq sent, what it heard.
 */
#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "share/start_record.h"

#define FD 77

/* What the real calls answer. */
static struct bytes to_send;
static struct bytes to_hear;

static int connect_really(int fd, const struct sockaddr *address, socklen_t len)
{
	(void)fd;
	(void)address;
	(void)len;
	return 0;
}

static ssize_t send_really(int fd, const void *bytes, size_t count, int flags)
{
	(void)fd;
	(void)bytes;
	(void)flags;
	return (ssize_t)count;
}

static ssize_t receive_really(int fd, void *bytes, size_t count, int flags)
{
	struct bytes taken = take_bytes(&to_hear, count);

	(void)fd;
	(void)flags;
	memcpy(bytes, taken.at, taken.left);
	return (ssize_t)taken.left;
}

static int socket_of(const PGconn *conn)
{
	(void)conn;
	return FD;
}

static int number_of(const PGconn *conn)
{
	(void)conn;
	return 1;
}

static const struct libpq libpq = {.PQsocket = socket_of,
                                   .PQbackendPID = number_of,
                                   .PQconnectionUsedPassword = number_of};

static struct keeper_record *recorded(struct start_tape *tape, const struct bytes *address)
{
	char heard[256];

	start_tape = tape;
	start_tape_connect(connect_really, NULL, FD, (const struct sockaddr *)address->at,
	                   (socklen_t)address->left);
	while (to_send.left > 0) {
		struct bytes piece = take_bytes(&to_send, 100);

		start_tape_send(send_really, NULL, FD, piece.at, piece.left, 0);
	}
	while (to_hear.left > 0) {
		start_tape_recv(receive_really, NULL, FD, heard, sizeof(heard), 0);
	}
	start_tape = NULL;
	return start_record_make(tape, &libpq, NULL);
}

/* Nothing of an authentication is in it: only its end. */
static void require_no_secret(const struct keeper_record *record)
{
	const uint8_t *at = start_record_reply(record);
	size_t left = record->reply_len;

	while (left >= 5) {
		size_t size = 1 + ((size_t)at[1] << 24 | (size_t)at[2] << 16 |
		                   (size_t)at[3] << 8 | at[4]);

		require(size <= left);
		require(*at != 'R' || (size >= 9 && memcmp(at + 5, "\0\0\0\0", 4) == 0));
		require(*at != 'p');
		at += size;
		left -= size;
	}
	require(left == 0);
}

static void require_plays(const struct keeper_record *record, const struct bytes *address)
{
	static const uint8_t ssl[] = {0, 0, 0, 8, 4, 210, 22, 47};
	const uint8_t *startup = start_record_startup(record);
	struct start_tape *tape = start_tape_of(&libpq, record, 0);
	uint8_t heard[64];
	size_t got = 0;
	ssize_t n;

	require(tape != NULL);
	tape->fd = FD; /* as if its connect had been played: no descriptor is exchanged here */
	start_tape = tape;
	require(record->address_len == address->left &&
	        memcmp(start_record_address(record), address->at, address->left) == 0);
	for (unsigned i = 0; i < record->declined; i++) {
		require(start_tape_send(send_really, NULL, FD, ssl, 8, 0) == 8);
		require(start_tape_recv(receive_really, NULL, FD, heard, 1, 0) == 1 &&
		        heard[0] == 'N');
	}
	for (uint32_t at = 0; at < record->startup_len; at += 50) {
		uint32_t piece = record->startup_len - at < 50 ? record->startup_len - at : 50;

		require(start_tape_recv(receive_really, NULL, FD, heard, 1, 0) == -1);
		require(start_tape_send(send_really, NULL, FD, startup + at, piece, 0) ==
		        (ssize_t)piece);
	}
	while ((n = start_tape_recv(receive_really, NULL, FD, heard, sizeof(heard), 0)) > 0) {
		require(memcmp(start_record_reply(record) + got, heard, (size_t)n) == 0);
		got += (size_t)n;
	}
	require(got == record->reply_len && start_tape_is_over(tape));
	/* Whatever else is said ends it. */
	require(start_tape_send(send_really, NULL, FD, "Q", 1, 0) == -1 &&
	        errno == ECONNRESET && tape->torn);
	start_tape = NULL;
	start_tape_free(tape);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};
	struct bytes address = take_bytes(&b, take_byte(&b) % 160);
	struct start_tape *tape = start_tape_blank(&libpq);
	struct keeper_record *record;

	require(tape != NULL);
	to_send = take_bytes(&b, take_number(&b));
	to_hear = b;
	record = recorded(tape, &address);
	if (record != NULL) {
		require(start_record_is_whole(record, start_record_size(record)));
		require_no_secret(record);
		require_plays(record, &address);
		free(record);
	}
	start_tape_free(tape);
	return 0;
}
