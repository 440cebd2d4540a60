/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a server may send on a session that nobody uses: the answers to a reset and to a ping,
 * and parameters that changed.
 *
 * Whatever else comes means that the session is not what it was when it was opened. A pure
 * function over a buffer: no I/O, no memory, no clock. The bytes are a server's, and may be
 * anything. Messages: "Message Formats" in PostgreSQL's manual, protocol 3.0 to 3.2.
 */
#ifndef PQPOOL_TOOLS_KEEP_SESSION_REPLY_H
#define PQPOOL_TOOLS_KEEP_SESSION_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The empty query, and the end of a session. */
#define REPLY_PING          "Q\0\0\0\5"
#define REPLY_PING_LEN      6
#define REPLY_TERMINATE     "X\0\0\0\4"
#define REPLY_TERMINATE_LEN 5

/* No message is longer that means no harm. */
#define REPLY_MESSAGE_MAX 32768

/* What is still to come; all zero: nothing. */
struct reply {
	unsigned resets; /* ReadyForQuery of the reset */
	bool ping;       /* and then EmptyQueryResponse, ReadyForQuery */
	bool begun;      /* some of the next answer was read */
};

static inline bool reply_is_due(const struct reply *reply)
{
	return reply->resets > 0 || reply->ping;
}

enum reply_outcome {
	REPLY_GOOD,  /* all whole messages are read; reply_is_due() says whether more must come
	              */
	REPLY_ENDED, /* an error in a session at rest: the server ends it */
	REPLY_BAD    /* anything else that does not belong here */
};

/* Gets each parameter's new value, with its NUL; both are gone afterwards. False: no. */
typedef bool reply_parameter(void *arg, const char *name, const char *value);

/*
 * Reads the whole messages at the start of `bytes`; `*used` gets their length. The rest, less
 * than one message, is to come again with what follows it.
 */
enum reply_outcome reply_read(struct reply *reply, const uint8_t *bytes, size_t n, size_t *used,
                              reply_parameter *parameter, void *arg);

/* Whether the start of a session tells another value of this parameter. */
bool reply_start_differs(const uint8_t *start, uint32_t n, const char *name, const char *value);

/*
 * Puts a parameter into the start of a session, a row of messages of `*n` bytes in a buffer of
 * `size`: in the place of its old value, else before the first message that is none. False, and
 * nothing is changed: it does not fit, or these are no messages.
 */
bool reply_start_set(uint8_t *start, uint32_t *n, size_t size, const char *name,
                     const char *value);

#endif
