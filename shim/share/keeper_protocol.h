/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the shim and the keeper (`pqpool keep`) say to each other. Everything that both must
 * agree on is here; it includes nothing of either.
 *
 * Where: the socket is KEEPER_SOCKET in a directory of status pages (trace/status/page_dir.h),
 * or a path that both were given; in a directory of mode 0700 in any case.
 *
 * Transport: a Unix socket, SOCK_SEQPACKET, one message a packet, in the machine's own byte
 * order; both sides check that the other has their own effective uid (SO_PEERCRED). A message
 * is a struct keeper_head, then the struct of its type, then its texts and bytes in the order
 * in which the lengths name them, without terminating zeros. Descriptors go with it as
 * SCM_RIGHTS.
 *
 *   member connection   one per process; the keeper knows a process by it
 *       HELLO   ►                     the process is a member
 *               ◄ WELCOME  + page     or the connection is closed: another version, another uid
 *       OPENED  ► + socket            a session that the process opened in a room
 *       NUDGE   ►                     look at the words of my page
 *   ask connection      one per connect; closing it withdraws the question
 *       ASK     ►
 *               ◄ WAIT                in line; another answer follows
 *               ◄ LEND     + socket   the word is OFFERED
 *               ◄ ROOM                the word is ROOM: open a session yourself
 *               ◄ REFUSE              the time in line is over; who holds the sessions
 *   after HELLO or ASK, for who cannot wait for the answer
 *       BELL    ► + socket            is shut down for reading as soon as WELCOME, LEND, ROOM
 * or REFUSE was sent, before or after; a later one takes its place command connection COMMAND ►
 *               ◄ ANSWER              one or more, the last has `more` 0
 *
 * A side that meets what it does not understand closes the connection; a process then connects
 * without the keeper. Who changes a word of the page, and how, is told at enum
 * keeper_word_state.
 */
#ifndef PQPOOL_SHARE_KEEPER_PROTOCOL_H
#define PQPOOL_SHARE_KEEPER_PROTOCOL_H

#include <stdatomic.h>
#include <stdint.h>

#define KEEPER_PROTOCOL UINT32_C(2)

#define KEEPER_SOCKET "keeper.socket"

/* No message is longer; nor is a record of a session's start. */
#define KEEPER_MESSAGE_MAX 65536
#define KEEPER_RECORD_MAX  32768

#define KEEPER_DIGEST_LEN 32
#define KEEPER_SECRET_LEN 32
/* Of one process; it keeps what is beyond to itself, unshared. */
#define KEEPER_WORDS      256

/* The words that have a place in the page, as many as its memory has room for beside the rest.
 */
#define KEEPER_PLACES      7
#define KEEPER_PLACE_BYTES 256

enum keeper_type {
	KEEPER_HELLO = 1,
	KEEPER_WELCOME,
	KEEPER_OPENED,
	KEEPER_NUDGE,
	KEEPER_ASK,
	KEEPER_WAIT,
	KEEPER_LEND,
	KEEPER_ROOM,
	KEEPER_REFUSE,
	KEEPER_COMMAND,
	KEEPER_ANSWER,
	KEEPER_BELL
};

struct keeper_head {
	uint32_t protocol; /* KEEPER_PROTOCOL */
	uint32_t type;
	uint32_t length; /* of all, with this */
};

struct keeper_hello {
	uint32_t program_len;
	/* program */
};

struct keeper_welcome {
	uint64_t member; /* to be said in each ASK */
	uint8_t secret[KEEPER_SECRET_LEN];
	uint32_t size; /* the host's limits; UINT32_MAX = none */
	uint32_t total;
	uint32_t timeout_ms;
};

/*
 * How a session began, and what it is: made by the process that opened it, not looked into by
 * the keeper but where it says so.
 */
struct keeper_record {
	uint64_t opened_ns;  /* CLOCK_MONOTONIC; the keeper reads it */
	int32_t backend_pid; /* the keeper reads it */
	uint8_t local;       /* a Unix socket; the keeper reads it */
	uint8_t used_password;
	uint8_t declined; /* requests for encryption that were answered with N, before the start
	                   */
	uint8_t facts_len;
	uint8_t facts[40];    /* what the process learnt of the login, for the next one */
	uint32_t address_len; /* that connect(2) was given */
	uint32_t startup_len; /* the startup packet */
	uint32_t reply_len;   /* the server's messages to it, up to ReadyForQuery */
			      /* address, startup, reply */
};

struct keeper_opened {
	uint32_t word;
	uint8_t digest[KEEPER_DIGEST_LEN];
	uint32_t label_len;
	struct keeper_record record;
	/* the record's bytes, label */
};

struct keeper_ask {
	uint64_t member;
	uint32_t word; /* one that is FREE */
	uint8_t digest[KEEPER_DIGEST_LEN];
	uint32_t
		timeout_ms; /* to wait in line; the keeper's own limit holds, too; 0 = do not */
	uint8_t ping;       /* prove life by a round trip that begins after this question */
	uint8_t reserved[3];
	uint32_t label_len; /* "user@host:port/dbname" */
	uint32_t place_len; /* where the program connects: "file.py:12 function", or an address;
	                       0: it is, or will be, in the page */
			    /* label, place */
};

struct keeper_lend {
	struct keeper_record record;
	/* the record's bytes */
};

/* The first line of a refusal while the keeper is paused. */
#define KEEPER_PAUSED "paused=yes\n"

struct keeper_refuse {
	uint32_t text_len;
	/* text: a line for each holder */
};

struct keeper_command {
	uint32_t text_len;
	/* text */
};

struct keeper_answer {
	uint32_t more;
	uint32_t failed; /* the text is an error message */
	uint32_t text_len;
	/* text */
};

/*
 * The state of one session, as a word of its member's page. Each change is one compare and swap
 * from the state before by the side named; whoever loses it looks again.
 *
 * A process whose keeper has ended makes GONE of what it had left to it or was offered by it
 * (IDLE, OFFERED), as nobody will claim that. When it comes to a new one it hands over what it
 * has: it stores LEASED or IDLE in words of its new page that are FREE, with the label's hash
 * there and OPENED after it, and FREE in the old page last: so at each moment one of the pages
 * or both tell of it. Of a process that ends its IDLE sessions are claimed; the keeper's copies
 * of LEASED ones are closed, but not shut down: a child of the process may use the connection,
 * as it may without us.
 */
enum keeper_word_state {
	KEEPER_WORD_FREE, /* no session. keeper → OFFERED, ROOM, for an ASK that names it */
	KEEPER_WORD_ROOM, /* process → LEASED, with OPENED; or → GONE: it could not be opened */
	KEEPER_WORD_OFFERED, /* process → LEASED; keeper → FREE if the ask connection ended
	                        first */
	KEEPER_WORD_LEASED,  /* process → IDLE, GONE */
	KEEPER_WORD_IDLE,    /* process → LEASED, GONE; keeper → CLAIMED */
	KEEPER_WORD_CLAIMED, /* the keeper's: no use of the socket. process → FREE */
	KEEPER_WORD_GONE     /* the process has closed it. keeper → FREE; its room is free */
};

/* A word: its state, the answers (ReadyForQuery) that are still to be read, a generation. */
#define KEEPER_WORD_STATE(word)   ((enum keeper_word_state)((word)&15))
#define KEEPER_WORD_ANSWERS(word) ((word) >> 4 & 15)
#define KEEPER_WORD_MAKE(before, state, answers)                                               \
	((((before) >> 8) + 1) << 8 | (uint32_t)(answers) << 4 | (uint32_t)(state))

/*
 * The page of a member: a file in the keeper's directory that both map, shared. The process
 * maps it MADV_DONTFORK and closes the descriptor at once: the keeper's lock on that open file
 * (F_OFD_SETLK) then lasts as long as the mapping, that is until the process ends, executes
 * another program or unmaps the page. If the keeper dies, the next one counts what is in the
 * pages of living processes.
 */
struct keeper_page {
	uint32_t protocol; /* KEEPER_PROTOCOL */
	int32_t pid;
	/*
	 * Set by the keeper while a connect waits for a session of an identity of which this
	 * member has some: then the process nudges after each change to IDLE or GONE, and takes
	 * no idle session of its own but asks. The process stores the word before it reads
	 * this, the keeper this before it reads the words, both sequentially consistent: so one
	 * of them sees the other. Set by a new keeper, too, in a page that it finds: then the
	 * process says HELLO to it before it takes an idle session.
	 */
	atomic_uint attention;
	char program[64];
	atomic_uint words[KEEPER_WORDS];
	uint32_t labels[KEEPER_WORDS]; /* hash_bytes(0, ...) of the session's label; written by
	                                  the keeper, or by who hands it over */
	/*
	 * Where the program connects, of a word for which it asked and did not say that: the
	 * process empties it before it asks, and writes it before it makes the word LEASED. A
	 * text with a NUL behind it; the keeper reads it when it is to show it, and takes what
	 * is there as something that anybody may have written, or is writing.
	 */
	char places[KEEPER_PLACES][KEEPER_PLACE_BYTES];
};

_Static_assert(sizeof(struct keeper_page) <= 4096, "it takes one page of memory");

#endif
