/* SPDX-License-Identifier: PostgreSQL */
/*
 * The start of a connection on tape: what libpq says to the server, and hears, until it is up;
 * and its end without a word.
 *
 * libpq calls libc's connect, send and recv for all that it does outside TLS
 * (hooks/socket_calls.c). While this thread is in a connect of libpq's for which we want that,
 * `start_tape` points to a tape, and these calls go through it:
 *
 *   recording  the real connection is made; what is sent and received is copied
 *   playing    a session that is up already is given to libpq: connect(2) puts its socket at
 *              libpq's descriptor, send(2) only compares, recv(2) reads what the server once
 *              answered. From the first moment the socket is the server's, so all that libpq
 *              asks of it (its addresses, SO_PEERCRED) is right.
 *
 *   held       connect(2) puts another descriptor at libpq's, and the server is not called:
 *              the connect is begun again when it may go on
 *   mute       libpq finishes a connection whose session lives on in another process: send(2)
 *              sends nothing, and recv(2) finds the end
 *
 * Only calls of that libpq's own code count, told by their return addresses: name services,
 * Kerberos and handlers of signals talk through sockets of their own meanwhile.
 *
 * A tape belongs to the thread that made it. One that is left in place by a call that never
 * returns (longjmp) is taken out of place by the thread's next call of libpq, and not freed.
 * Its functions are async-signal-safe where they are called by libpq.
 */
#ifndef PQPOOL_SHARE_START_TAPE_H
#define PQPOOL_SHARE_START_TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/cold.h"
#include "base/libpq/libpq.h"
#include "share/keeper_protocol.h"

/* The startup packet and the messages of an authentication. */
#define START_SENT_MAX 8192

/* An empty query, as libpq sends it. */
#define START_PING       "Q\0\0\0\5"
#define START_PING_BYTES sizeof(START_PING)

struct start_tape {
	/* libpq's code; `to` 0: the program's own, where it begins and ends is not known. */
	uintptr_t from;
	uintptr_t to;
	bool met;  /* libpq has called connect(2) through it: it is not bound past us */
	int fd;    /* libpq's socket; -1 = none yet */
	bool torn; /* more than there is room for, or other than what was recorded */
	bool mute; /* the connection is finished without a word */

	/* Recorded. */
	struct sockaddr_storage address;
	uint32_t address_len;
	uint32_t sent_len;
	uint32_t received_len;
	uint8_t *sent;     /* START_SENT_MAX bytes; NULL: nothing is recorded */
	uint8_t *received; /* KEEPER_RECORD_MAX bytes */

	/* Played. */
	const struct keeper_record *record; /* NULL: it is held */
	int server;         /* the session's socket; or what is put in its place */
	uint8_t requests;   /* for encryption, that libpq has made */
	uint8_t refused;    /* and had the answer to */
	uint32_t compared;  /* of the startup packet */
	uint32_t delivered; /* of the reply */
	bool ping;          /* START_PING is sent as soon as libpq has the socket */
	bool pinged;        /* it was: libpq's own is not sent */
};

/* NULL: this thread is in no connect of ours. */
extern _Thread_local struct start_tape *start_tape;

/* The program calls libpq: what it does from here on is in no connect of ours. */
static inline void start_tape_put_away(void)
{
	start_tape = NULL;
}

/*
 * A tape to record on; and one to play a record from, with the socket of its session, which
 * both stay the caller's; without a record the connect is held. NULL: out of memory.
 */
COLD struct start_tape *start_tape_blank(const struct libpq *libpq);
COLD struct start_tape *start_tape_of(const struct libpq *libpq,
                                      const struct keeper_record *record, int server);

/* Wipes and frees a tape that is not in place, or NULL. */
COLD void start_tape_free(struct start_tape *tape);

/*
 * PQfinish of a connection whose session lives on: its PGconn and this process's descriptor go,
 * and the server hears nothing. Only for one whose start went through a tape, so that libpq is
 * not bound past us. False: out of memory, and nothing was done.
 */
COLD bool start_tape_finish(const struct libpq *libpq, PGconn *conn);

/* Played to its end: all that was recorded was said, and heard. */
bool start_tape_is_over(const struct start_tape *tape);

/* A connect of libpq's was held: its socket is `server`'s, to which there is nothing to say. */
bool start_tape_holds(const struct start_tape *tape);

/* A record's bytes, which follow it. */
static inline const uint8_t *start_record_address(const struct keeper_record *record)
{
	return (const uint8_t *)(record + 1);
}
static inline const uint8_t *start_record_startup(const struct keeper_record *record)
{
	return start_record_address(record) + record->address_len;
}
static inline const uint8_t *start_record_reply(const struct keeper_record *record)
{
	return start_record_startup(record) + record->startup_len;
}

/*
 * A call of these functions while there is a tape; `caller` is its return address, and the
 * first argument the real function. Result and errno are as the real one's.
 */
typedef int start_connect(int fd, const struct sockaddr *address, socklen_t len);
typedef ssize_t start_send(int fd, const void *bytes, size_t count, int flags);
typedef ssize_t start_recv(int fd, void *bytes, size_t count, int flags);

COLD int start_tape_connect(start_connect *real, const void *caller, int fd,
                            const struct sockaddr *address, socklen_t len);
COLD ssize_t start_tape_send(start_send *real, const void *caller, int fd, const void *bytes,
                             size_t count, int flags);
COLD ssize_t start_tape_recv(start_recv *real, const void *caller, int fd, void *bytes,
                             size_t count, int flags);

#endif
