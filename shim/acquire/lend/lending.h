/* SPDX-License-Identifier: PostgreSQL */
/*
 * The steps that lending takes, whether a connect blocks (acquire.c) or goes in steps
 * (async_connect.c): entering sessions into the table of leases, putting them on a lease,
 * closing what is not to be lent, and looking after the pools.
 *
 * Each session counts its lender, and gives that up in lending_write_off().
 * No function here is called with a lock held.
 */
#ifndef PQPOOL_ACQUIRE_LEND_LENDING_H
#define PQPOOL_ACQUIRE_LEND_LENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "acquire/lend/blocked_call.h"
#include "base/cold.h"
#include "base/config/config.h"
#include "base/libpq/libpq.h"
#include "key/identity.h"
#include "pool/registry.h"
#include "session/reset.h"
#include "session/session.h"

/* How long an acquire waits for the server to let go of a session it replaces. */
#define END_WAIT_NS NS_PER_SEC

struct lending_settings {
	struct session_care care;
	uint64_t timeout_ns;
	uint64_t prewarm_ns; /* how long prewarming may take; 0 = no limit */
	uint32_t prewarm;
	unsigned stack_depth;
};

/* Constant once configured. */
extern struct lending_settings lending_settings;

/* Takes over the settings. Called once, before anything else of this floor. */
void lending_configure(const struct config *config);

/* One connect of the program's on its way. */
struct acquisition {
	const struct libpq *libpq;
	struct spelling *spelling; /* NULL: not to be pooled */
	struct lender *lender;     /* NULL likewise */
	bool counted;  /* both; else they are the thread's own, see thread_cache.h */
	unsigned turn; /* thread_cache_turn() then */
	int error;     /* errno as the program has it: libpq's calls begin with it */
	uint64_t began_ns;
	uint32_t stack;             /* where the program asked */
	bool at_exit;               /* and whether it was on its way out */
	uint64_t queued_ns;         /* how long it stood in line; 0 = it did not have to */
	struct blocked_call ticket; /* of one that blocks: what it has in hand */
};

/*
 * Begins one: what is asked for, by whom, where from. End it with lending_answered().
 * No lender: not to be pooled. It lasts until the thread's next connect, and after
 * lending_keep() until it is ended.
 */
void lending_ask(struct acquisition *a, const struct libpq *libpq,
                 const struct connect_call *call, const void *caller);
void lending_keep(struct acquisition *a);
void lending_answered(struct acquisition *a);

/* Is it counted, or was there no other connect of the thread since it was asked for? */
bool lending_remembers(const struct acquisition *a);

/*
 * Enters a session into the table of leases; it counts `lender` from now on (NULL: it is
 * only tracked). An entry of the same address that is still
 * there belongs to a PGconn that somebody freed past us: its slot is given back. False:
 * out of memory.
 */
bool lending_enter(struct session *session, struct lender *lender);

/* Gives an entered session its row on the status page, where it has none yet. */
void lending_show(struct session *session);

/* An entered session, just opened, takes the room that was reserved for it. */
void lending_admit(struct session *session, uint64_t took_ns);

/* The same for one that no lease waits for: it is idle then, or closed if it is not fit. */
COLD void lending_stock(struct session *session, uint64_t took_ns);

/* Puts an entered session on a lease of the calling thread. */
PGconn *lending_begin(const struct acquisition *a, struct session *session);

/* The libpq of a connection that the program has on lease; NULL if `conn` is no such one. */
const struct libpq *lending_libpq(const PGconn *conn);

/* The same, for PQsocket. */
const struct libpq *lending_show_socket(const PGconn *conn);

/* Puts a connection of the program's own on a lease, for the report; if memory allows. */
void lending_track(const struct acquisition *a, PGconn *conn);

/*
 * Closes a session that no lease is on, on our own account. With a deadline a reset in
 * flight is settled first; 0 = do not.
 */
COLD void lending_close(struct session *session, enum drop_reason why, uint64_t deadline_ns);

/*
 * A session that was to be lent is not fit: says so, and lends no other that may be like it.
 * The caller closes it.
 */
COLD void lending_unfit(struct session *session, enum drop_reason why);

/* Why the pool keeps no session for now; DROP_NONE: it does. */
enum drop_reason lending_keeps_none(struct lender *lender, uint64_t now_ns);

/* Warns, once a pool and reason, where a session was closed for one that is likely to stay. */
COLD void lending_explain(const struct session *session, enum drop_reason why);

/* Releases a closed session's memory and its count of the lender. */
COLD void lending_write_off(struct session *session);

/*
 * Gives up the room of a session whose PGconn is finished. Not to be touched any more:
 * what is left of it is released, or belongs to the waiter that was given the room.
 */
COLD void lending_drop(struct session *session);

/* Closes what is past its time in one pool, and at intervals in all others. */
void lending_tend(struct lender *lender, uint64_t now_ns);
void lending_tend_others(uint64_t now_ns);
/* All of them, now. */
COLD void lending_tend_all(uint64_t now_ns);

/*
 * Closes every idle session of this process; with `await_end` sees the end of each,
 * until `deadline_ns`. True if there was one.
 */
bool lending_close_all_idle(enum drop_reason why, uint64_t deadline_ns, bool await_end);

/*
 * No session that is there now will be lent again: a statement of the program's altered
 * what sessions are made of. How often that happened is counted.
 */
COLD void lending_invalidate_all(void);
unsigned lending_alterations(void);

/*
 * True if the connect failed because the server or this process has no place left, where
 * our idle sessions may occupy some.
 */
bool lending_wants_room(const struct session *session);

/*
 * `ended` was given back, and its session dropped for `why` or not. Where the program goes on,
 * what else it takes at that place is to be given back, too (trace/lease/kept.h); but a broken
 * connection may be given back to be replaced.
 */
void lending_note_given_back(const struct lease *ended, enum drop_reason why);

/* The program is exiting: nothing is pooled from now on. Returns what was before. */
bool lending_set_closing(bool now);
bool lending_is_closing(void);

/* A refused connection's session->vanished: it never had a room. */
void lending_forget_refused(struct session *session);

#endif
