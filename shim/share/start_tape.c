/* SPDX-License-Identifier: PostgreSQL */
/* Records and plays what libpq says and hears while it connects; and has it finish mutely. */
#include "share/start_tape.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* SSLRequest and GSSENCRequest: the length, and a code of which the last byte differs. */
#define REQUEST_BYTES 8
static const uint8_t request[REQUEST_BYTES - 1] = {0, 0, 0, 8, 4, 210, 22};
#define SSL_REQUEST    47
#define GSSENC_REQUEST 48

_Thread_local struct start_tape *start_tape;

static struct start_tape *make(const struct libpq *libpq, size_t room)
{
	struct start_tape *tape = malloc(sizeof(*tape) + room);

	if (tape != NULL) {
		*tape = (struct start_tape){.from = libpq->base, .to = libpq->end, .fd = -1};
	}
	return tape;
}

struct start_tape *start_tape_blank(const struct libpq *libpq)
{
	struct start_tape *tape = make(libpq, START_SENT_MAX + KEEPER_RECORD_MAX);

	if (tape != NULL) {
		tape->sent = (uint8_t *)(tape + 1);
		tape->received = tape->sent + START_SENT_MAX;
	}
	return tape;
}

struct start_tape *start_tape_of(const struct libpq *libpq, const struct keeper_record *record,
                                 int server)
{
	struct start_tape *tape = make(libpq, 0);

	if (tape != NULL) {
		tape->record = record;
		tape->server = server;
	}
	return tape;
}

void start_tape_free(struct start_tape *tape)
{
	if (tape != NULL && tape->sent != NULL) {
		explicit_bzero(tape->sent, tape->sent_len);
		explicit_bzero(tape->received, tape->received_len);
	}
	free(tape);
}

bool start_tape_is_over(const struct start_tape *tape)
{
	return !tape->torn && tape->delivered == tape->record->reply_len;
}

static bool is_libpqs(const struct start_tape *tape, const void *caller)
{
	uintptr_t at = (uintptr_t)caller;

	return tape->to == 0 || (at >= tape->from && at < tape->to);
}

static bool is_recorded(const struct start_tape *tape)
{
	return tape->sent != NULL;
}

bool start_tape_holds(const struct start_tape *tape)
{
	return !is_recorded(tape) && tape->record == NULL && tape->fd >= 0;
}

/* ---- recording -----------------------------------------------------------------------------
 */

static void copy(struct start_tape *tape, uint8_t *to, uint32_t *len, uint32_t max,
                 const void *bytes, size_t count)
{
	if (count > max - *len) {
		tape->torn = true;
		return;
	}
	memcpy(to + *len, bytes, count);
	*len += (uint32_t)count;
}

/* libpq may try several addresses, and one twice: the last is that of the session. */
static void note_connect(struct start_tape *tape, int fd, const struct sockaddr *address,
                         socklen_t len)
{
	tape->fd = fd;
	tape->torn = len > sizeof(tape->address);
	tape->address_len = tape->torn ? 0 : len;
	memcpy(&tape->address, address, tape->address_len);
	tape->sent_len = 0;
	tape->received_len = 0;
}

/* ---- playing ----------------------------------------------------------------------------- */

static bool is_recorded_address(const struct start_tape *tape, const struct sockaddr *address,
                                socklen_t len)
{
	return len == tape->record->address_len &&
	       memcmp(address, start_record_address(tape->record), len) == 0;
}

/* As if it took its time. */
static int hold_connect(struct start_tape *tape, int fd)
{
	if (dup3(tape->server, fd, O_CLOEXEC) < 0) {
		return -1;
	}
	tape->fd = fd;
	errno = EINPROGRESS;
	return -1;
}

/* Where the session is not there is nothing: libpq tries the next address. */
static int play_connect(struct start_tape *tape, int fd, const struct sockaddr *address,
                        socklen_t len)
{
	if (tape->fd >= 0 || !is_recorded_address(tape, address, len)) {
		tape->torn = tape->torn || tape->fd >= 0;
		errno = ECONNREFUSED;
		return -1;
	}
	if (dup3(tape->server, fd, O_CLOEXEC) < 0) {
		return -1;
	}
	tape->pinged = tape->ping && send(tape->server, START_PING, START_PING_BYTES,
	                                  MSG_DONTWAIT | MSG_NOSIGNAL) == START_PING_BYTES;
	tape->torn = tape->ping && !tape->pinged;
	tape->fd = fd;
	return 0;
}

static bool is_request(const uint8_t *bytes, size_t count)
{
	return count == REQUEST_BYTES && memcmp(bytes, request, sizeof(request)) == 0 &&
	       (bytes[REQUEST_BYTES - 1] == SSL_REQUEST ||
	        bytes[REQUEST_BYTES - 1] == GSSENC_REQUEST);
}

static ssize_t play_send(struct start_tape *tape, const uint8_t *bytes, size_t count)
{
	const struct keeper_record *record = tape->record;

	if (tape->requests < record->declined && is_request(bytes, count)) {
		tape->requests++;
		return (ssize_t)count;
	}
	if (tape->requests == record->declined &&
	    count <= record->startup_len - tape->compared &&
	    memcmp(bytes, start_record_startup(record) + tape->compared, count) == 0) {
		tape->compared += (uint32_t)count;
		return (ssize_t)count;
	}
	if (tape->pinged && start_tape_is_over(tape) && count == START_PING_BYTES &&
	    memcmp(bytes, START_PING, count) == 0) {
		tape->pinged = false;
		return (ssize_t)count;
	}
	tape->torn = true;
	errno = ECONNRESET;
	return -1;
}

static ssize_t play_recv(struct start_tape *tape, uint8_t *bytes, size_t count)
{
	const struct keeper_record *record = tape->record;
	size_t left = record->reply_len - tape->delivered;

	if (tape->refused < tape->requests && count > 0) {
		tape->refused++;
		*bytes = 'N';
		return 1;
	}
	if (tape->compared < record->startup_len || left == 0 || count == 0) {
		errno = EAGAIN;
		return -1;
	}
	count = count < left ? count : left;
	memcpy(bytes, start_record_reply(record) + tape->delivered, count);
	tape->delivered += (uint32_t)count;
	return (ssize_t)count;
}

/* ---- the end ----------------------------------------------------------------------------- */

/* A connect may be on its way in this thread: the sweep in the middle of one closes others. */
bool start_tape_finish(const struct libpq *libpq, PGconn *conn)
{
	struct start_tape *before = start_tape;
	struct start_tape *tape = make(libpq, 0);

	if (tape == NULL) {
		return false;
	}
	tape->mute = true;
	tape->fd = libpq->PQsocket(conn);
	start_tape = tape;
	libpq->PQfinish(conn);
	start_tape = before;
	start_tape_free(tape);
	return true;
}

/* ---- the calls -----------------------------------------------------------------------------
 */

int start_tape_connect(start_connect *real, const void *caller, int fd,
                       const struct sockaddr *address, socklen_t len)
{
	struct start_tape *tape = start_tape;

	if (!is_libpqs(tape, caller)) {
		return real(fd, address, len);
	}
	tape->met = true;
	if (!is_recorded(tape)) {
		return tape->record != NULL ? play_connect(tape, fd, address, len)
		                            : hold_connect(tape, fd);
	}
	note_connect(tape, fd, address, len);
	return real(fd, address, len);
}

ssize_t start_tape_send(start_send *real, const void *caller, int fd, const void *bytes,
                        size_t count, int flags)
{
	struct start_tape *tape = start_tape;
	ssize_t n;

	if (fd != tape->fd || !is_libpqs(tape, caller)) {
		return real(fd, bytes, count, flags);
	}
	if (tape->mute) {
		return (ssize_t)count;
	}
	if (tape->record != NULL) {
		return play_send(tape, bytes, count);
	}
	n = real(fd, bytes, count, flags);
	if (n > 0 && is_recorded(tape)) {
		copy(tape, tape->sent, &tape->sent_len, START_SENT_MAX, bytes, (size_t)n);
	}
	return n;
}

ssize_t start_tape_recv(start_recv *real, const void *caller, int fd, void *bytes, size_t count,
                        int flags)
{
	struct start_tape *tape = start_tape;
	ssize_t n;

	if (fd != tape->fd || !is_libpqs(tape, caller)) {
		return real(fd, bytes, count, flags);
	}
	if (tape->mute) {
		return 0;
	}
	if (tape->record != NULL) {
		return play_recv(tape, bytes, count);
	}
	n = real(fd, bytes, count, flags);
	if (n > 0 && is_recorded(tape) && (flags & MSG_PEEK) == 0) {
		copy(tape, tape->received, &tape->received_len, KEEPER_RECORD_MAX, bytes,
		     (size_t)n);
	}
	return n;
}
