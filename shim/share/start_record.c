/* SPDX-License-Identifier: PostgreSQL */
/* Makes a record of a connection's start, and plays it. */
#include "share/start_record.h"

#include <stdlib.h>
#include <string.h>

/* A connect that is played takes two steps; some versions of libpq may need more. */
#define STEPS_MAX 64

/* A message begins with a letter and its length, which does not count the letter. */
#define HEADER_BYTES 5
/* The first, ReadyForQuery: an idle session. */
#define READY_BYTES  6

/* Of the first message of a client: its length, and what it asks for. */
#define PROTOCOL_3     3
#define REQUEST_BYTES  8
#define REQUEST_SSL    80877103
#define REQUEST_GSSENC 80877104

/* Of the server's requests for an authentication; the others come without a password. */
enum authentication {
	AUTHENTICATION_OK = 0,
	AUTHENTICATION_CLEARTEXT = 3,
	AUTHENTICATION_MD5 = 5,
	AUTHENTICATION_SASL = 10,
	AUTHENTICATION_SASL_CONTINUE = 11,
	AUTHENTICATION_SASL_FINAL = 12
};

struct span {
	const uint8_t *at;
	size_t len;
};

static uint32_t number_at(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void skip(struct span *span, size_t count)
{
	span->at += count;
	span->len -= count;
}

/* The length of the message that comes first; 0: it is not whole. */
static size_t message_size(const struct span *span)
{
	uint32_t len = span->len >= HEADER_BYTES ? number_at(span->at + 1) : 0;

	return len >= 4 && len < span->len ? (size_t)len + 1 : 0;
}

/* Skips requests for encryption, each answered with a no; false: one was not. */
static bool skip_requests(struct span *sent, struct span *received, uint8_t *declined)
{
	while (sent->len >= REQUEST_BYTES && number_at(sent->at) == REQUEST_BYTES) {
		uint32_t code = number_at(sent->at + 4);

		if ((code != REQUEST_SSL && code != REQUEST_GSSENC) || received->len == 0 ||
		    *received->at != 'N') {
			return false;
		}
		skip(sent, REQUEST_BYTES);
		skip(received, 1);
		(*declined)++;
	}
	return true;
}

/* The startup packet, and behind it nothing but messages of an authentication. */
static bool find_startup(struct span *sent, struct span *startup)
{
	uint32_t len = sent->len >= REQUEST_BYTES ? number_at(sent->at) : 0;
	size_t size;

	if (len < REQUEST_BYTES || len > sent->len ||
	    number_at(sent->at + 4) >> 16 != PROTOCOL_3) {
		return false;
	}
	*startup = (struct span){sent->at, len};
	skip(sent, len);
	while (sent->len > 0 && *sent->at == 'p' && (size = message_size(sent)) > 0) {
		skip(sent, size);
	}
	return sent->len == 0;
}

static bool is_sharable_authentication(const struct span *message, bool *over)
{
	uint32_t kind = message->len >= HEADER_BYTES + 4 ? number_at(message->at + HEADER_BYTES)
	                                                 : UINT32_MAX;

	*over = kind == AUTHENTICATION_OK;
	return *over || kind == AUTHENTICATION_CLEARTEXT || kind == AUTHENTICATION_MD5 ||
	       kind == AUTHENTICATION_SASL || kind == AUTHENTICATION_SASL_CONTINUE ||
	       kind == AUTHENTICATION_SASL_FINAL;
}

/*
 * Copies what is to be played to `reply`, which has room for all that was received; false: not
 * a start that can be.
 */
static bool copy_reply(struct span *received, uint8_t *reply, uint32_t *reply_len)
{
	bool authenticated = false;
	size_t size;

	while ((size = message_size(received)) > 0) {
		struct span message = {received->at, size};
		bool wanted = true;

		switch (*message.at) {
		case 'R':
			if (authenticated ||
			    !is_sharable_authentication(&message, &authenticated)) {
				return false;
			}
			wanted = authenticated;
			break;
		case 'v':
			if (authenticated) {
				return false;
			}
			break;
		case 'S':
		case 'K':
			if (!authenticated) {
				return false;
			}
			break;
		case 'Z':
			memcpy(reply + *reply_len, message.at, size);
			*reply_len += (uint32_t)size;
			return authenticated && size == READY_BYTES &&
			       message.at[HEADER_BYTES] == 'I' && received->len == size;
		default:
			return false;
		}
		if (wanted) {
			memcpy(reply + *reply_len, message.at, size);
			*reply_len += (uint32_t)size;
		}
		skip(received, size);
	}
	return false;
}

struct keeper_record *start_record_make(const struct start_tape *tape,
                                        const struct libpq *libpq, const PGconn *conn)
{
	struct span sent = {tape->sent, tape->sent_len};
	struct span received = {tape->received, tape->received_len};
	struct span startup;
	uint8_t declined = 0;
	struct keeper_record *record;
	uint8_t *at;

	if (tape->torn || tape->fd < 0 || tape->fd != libpq->PQsocket(conn) ||
	    !skip_requests(&sent, &received, &declined) || !find_startup(&sent, &startup)) {
		return NULL;
	}
	record = calloc(1, sizeof(*record) + tape->address_len + startup.len + received.len);
	if (record == NULL) {
		return NULL;
	}
	record->backend_pid = libpq->PQbackendPID(conn);
	record->used_password = libpq->PQconnectionUsedPassword(conn) != 0;
	record->declined = declined;
	record->address_len = tape->address_len;
	record->startup_len = (uint32_t)startup.len;
	at = (uint8_t *)(record + 1);
	memcpy(at, &tape->address, tape->address_len);
	memcpy(at + tape->address_len, startup.at, startup.len);
	if (!copy_reply(&received, at + tape->address_len + startup.len, &record->reply_len) ||
	    start_record_size(record) > KEEPER_RECORD_MAX) {
		free(record);
		return NULL;
	}
	return record;
}

bool start_record_is_whole(const void *bytes, size_t count)
{
	struct keeper_record record;

	if (count < sizeof(record) || count > KEEPER_RECORD_MAX) {
		return false;
	}
	memcpy(&record, bytes, sizeof(record));
	count -= sizeof(record);
	if (record.address_len > count) {
		return false;
	}
	count -= record.address_len;
	if (record.startup_len > count) {
		return false;
	}
	return record.reply_len == count - record.startup_len;
}

static bool is_over(PostgresPollingStatusType wants)
{
	return wants != PGRES_POLLING_READING && wants != PGRES_POLLING_WRITING;
}

bool start_record_go_on(const struct start_tape *tape, const struct libpq *libpq, PGconn *conn)
{
	PostgresPollingStatusType wants = PGRES_POLLING_WRITING;

	/* Played in PQconnectStart already, if libpq has not to look a name up. */
	for (unsigned i = 0; i < STEPS_MAX && !is_over(wants) && !tape->torn; i++) {
		wants = libpq->PQconnectPoll(conn);
	}
	return wants == PGRES_POLLING_OK && start_tape_is_over(tape) &&
	       libpq->PQsocket(conn) == tape->fd &&
	       libpq->PQbackendPID(conn) == tape->record->backend_pid;
}

/* Has libpq know of the ping that the server got already: libpq's own is not sent. */
static bool take_ping_over(const struct start_tape *tape, const struct libpq *libpq,
                           PGconn *conn)
{
	return libpq->PQsendQuery(conn, "") == 1 && !tape->pinged;
}

PGconn *start_record_play(const struct keeper_record *record, const struct libpq *libpq,
                          const char *conninfo, int server, struct start_play *play)
{
	struct start_tape *tape = start_tape_of(libpq, record, server);
	PGconn *conn;
	bool up;

	play->met = true;
	if (tape == NULL) {
		return NULL;
	}
	tape->ping = play->ping;
	start_tape = tape;
	conn = libpq->PQconnectStart(conninfo);
	/* A libpq that is bound past us has begun a connection of its own. */
	up = conn != NULL && tape->fd >= 0 && start_record_go_on(tape, libpq, conn) &&
	     (!play->ping || take_ping_over(tape, libpq, conn));
	start_tape = NULL;
	play->met = conn == NULL || tape->met;
	start_tape_free(tape);
	if (!up && conn != NULL) {
		libpq->PQfinish(conn);
		conn = NULL;
	}
	return conn;
}
