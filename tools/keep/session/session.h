/* SPDX-License-Identifier: PostgreSQL */
/*
 * One session, or the room for one: the keeper's copy of its socket, how it began, and what is
 * still to be read from it.
 *
 *   room ── OPENED ──► with a member (leased, or idle in its page) ── claimed ──► held
 *                            ▲                                                     │
 *                            └───────────── lent, if it is proven ◄────────────────┘
 *
 * With a member the socket is not touched, for the program uses it. While it is held, it is
 * watched: its server's answers are read, and whatever else comes ends it.
 */
#ifndef PQPOOL_TOOLS_KEEP_SESSION_SESSION_H
#define PQPOOL_TOOLS_KEEP_SESSION_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "keep/loop.h"
#include "keep/session/reply.h"
#include "share/keeper_protocol.h"

struct ask;
struct copies_look;
struct member;
struct pool;

/* A program's own settings of the socket, which ours replace while it is held. */
struct keepalive {
	bool replaced;
	int on, idle_s, interval_s;
};

struct session {
	struct session *prev, *next; /* of its pool */
	struct pool *pool;
	int fd;       /* -1: a room */
	ino_t inode;  /* of all copies of it */
	bool drained; /* to be closed when it is given back */

	/* With a member; else NULL. */
	struct member *member;
	unsigned word;
	uint32_t granted;    /* the word as the keeper set it */
	char *place;         /* of the connect that it was granted to; "": see member_place */
	uint64_t granted_ns; /* 0: unknown */
	uint32_t seen;       /* the word when it was looked at last, */
	uint64_t seen_ns;    /* and since when it has been that */
	bool attended;       /* the member knows that somebody waits */
	bool doubted;        /* abandoned, and whether a child uses it is not clear */
	struct copies_look *look; /* what is being done about that */
	bool failed;              /* a room in which no session could be opened */

	/* Held by the keeper. */
	struct watch watch;
	struct ask *ask; /* that it is being proven for */
	struct reply reply;
	uint64_t patience_ns;   /* until when an answer must be there */
	uint64_t unanswered_ns; /* when nothing of it had come yet; 0: unknown */
	uint64_t proved_ns;     /* its server lived then, or later: it has answered since */
	uint64_t held_ns;       /* since when */
	uint8_t *rest;          /* of what came: part of a message */
	size_t rest_len;
	struct keepalive keepalive;

	struct keeper_record record;
	uint8_t *bytes; /* the record's */
};

/* True if the record's lengths agree with `n` bytes, and are within what is allowed. */
bool session_record_is_sound(const struct keeper_record *record, size_t n);
uint32_t session_record_length(const struct keeper_record *record);

/*
 * Begins to hold a session of which `answers` of a reset are due. `ready` is called whenever
 * something came. False: it cannot be watched.
 */
bool session_hold(struct session *session, unsigned answers, uint64_t now_ns,
                  void (*ready)(struct watch *watch));

/* Ends the watch, and puts the program's keepalive back. */
void session_let_go(struct session *session);

/* Asks the server for a sign of life; false: it cannot be asked. */
bool session_ping(struct session *session, uint64_t now_ns);

/*
 * Reads what there is. False: the session is to be closed; `*why` gets a word for the log, and
 * `*suspect` whether older ones have to be doubted, too.
 */
bool session_read(struct session *session, uint64_t now_ns, const char **why, bool *suspect);

/* True if its server has closed it; of a session that a member may be using. */
bool session_is_ended(const struct session *session);

enum session_end {
	SESSION_TERMINATE, /* it is ours: no other copy keeps it alive */
	SESSION_CLOSED,    /* its process has closed it */
	SESSION_CUT,       /* whoever used it is gone: no other copy keeps it alive either */
	SESSION_FORGET     /* others go on with it, or it is not known */
};

/* Tells the server that it is over; it then closes its end. */
void session_terminate(struct session *session);

/* True once the server has closed its end, or by an error, of a session that was terminated. */
bool session_has_ended(struct session *session);

/* Closes the keeper's copy, and frees the session, which is in no list any more. */
void session_free(struct session *session, enum session_end how);

#endif
