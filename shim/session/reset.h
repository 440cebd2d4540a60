/* SPDX-License-Identifier: PostgreSQL */
/*
 * Resetting a returned session, and checking it before it is lent. Whether it may be kept at
 * all is check_return.h's.
 *
 * Reset in flight: at release, unless nothing was sent that it could undo, `DISCARD ALL`,
 * behind `ROLLBACK` if a transaction is open, is sent and not waited for; the next acquire
 * collects the answer. DISCARD ALL cannot run inside a transaction block, so the two travel in
 * a pipeline; without pipelines (libpq before 14) a session with an open transaction is
 * dropped. What keeps DISCARD ALL from waiting where transactions are serializable, read-only
 * and deferrable by default goes with it. In the same flight the server is given a limit on how
 * long the session lies idle (idle_limit.h), if a ping is due before the next lease anyway.
 *
 * While a session is ours it is non-blocking and has a silent receiver that counts notices:
 * libpq would hand a FATAL that comes in idle state to the notice processor, by default the
 * program's stderr.
 */
#ifndef PQPOOL_SESSION_RESET_H
#define PQPOOL_SESSION_RESET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/cold.h"
#include "base/config/config.h"
#include "pool/drop_reason.h"
#include "session/session.h"

/* How sessions are looked after; constant. */
struct session_care {
	enum config_reset reset;
	enum config_pre_ping pre_ping;
	const char *ping_query;
	const char *ping_and_undo; /* the same, and IDLE_LIMIT_UNDO */
	uint64_t idle_limit_ms;    /* that the server sets; 0 = none */
	uint64_t ping_timeout_ns;
};

/* Whether a reset puts everything back, settings included. */
static inline bool reset_is_whole(const struct session_care *care)
{
	return care->reset == RESET_DISCARD || care->reset == RESET_AUTO;
}

/*
 * Plans the reset of a returned session, whose lease ended `since_ns` after the one before.
 * True if it sends anything.
 */
bool reset_plan(struct session *session, const struct session_care *care, bool in_transaction,
                uint64_t since_ns);

/* Whether a reset can end an open transaction. */
bool reset_can_roll_back(const struct session *session, const struct session_care *care);

/*
 * Takes a session that check_returned() allows to be kept into our care: client state as on a
 * fresh connection but for the hooks and the blocking mode, planned reset in flight. Never
 * waits for the server.
 */
enum drop_reason reset_send(struct session *session, const struct session_care *care);

/*
 * True if the planned reset can wait until the session is to be lent: all that was sent is
 * harmless (sql/harmless.h), so nobody else notices it meanwhile.
 */
bool reset_can_wait(const struct session *session);

/* Likewise, but the reset is sent by the next check. */
void reset_postpone(struct session *session);

/* Watches what the server says to it while it is in our care. */
void reset_watch(struct session *session);

/* Takes a session into our care that is as it was opened. */
void reset_park(struct session *session);

/* Has the server limit how long one in our care lies idle that is on no lease yet. */
void reset_limit(struct session *session, const struct session_care *care);

/* How long a check of it may take: care->ping_timeout_ns, or session->check_limit_ns. */
uint64_t reset_patience_ns(const struct session *session, const struct session_care *care);

/*
 * A session over the network that says nothing for this long may be one that the network has
 * forgotten, though the server is well.
 */
#define RESET_SILENCE_NS (800 * NS_PER_MS)

/* How long it may be silent before that is tried; reset_patience_ns(), or less. */
uint64_t reset_silence_ns(const struct session *session, const struct session_care *care);

/*
 * To be lent: collects a reset in flight, proves that the server is there as `care` wants, puts
 * hooks and mode back. DROP_NONE: fit. DROP_PING_FAILED: the server, or the way to it, is gone,
 * and other sessions are suspect; so they are with DROP_ATTRIBUTES: the server has another role
 * now than its program asked for. Waits for `patience_ns` at most; DROP_PING_FAILED with
 * check.silent says that there was no answer by then.
 */
enum drop_reason reset_check(struct session *session, const struct session_care *care,
                             uint64_t now_ns, uint64_t patience_ns);

/* Goes on with a check that ended in silence, until `until_ns` at most. */
enum drop_reason reset_check_on(struct session *session, const struct session_care *care,
                                uint64_t until_ns);

/*
 * The same in steps, for a program's event loop. CHECK_PENDING: go on with reset_check_more
 * when the socket is readable, or writable if own_query_is_unsent(). After reset_check_begin
 * also with CHECK_FIT, as the last step hands the session out. CHECK_UNFIT: `*why` says why.
 * The blocking mode is put back at the beginning, and the hooks at the end only if they are
 * still ours, because the program has the connection in hand meanwhile and may set its own.
 */
enum check_step { CHECK_FIT, CHECK_UNFIT, CHECK_PENDING };
enum check_step reset_check_begin(struct session *session, const struct session_care *care,
                                  uint64_t now_ns, enum drop_reason *why);
enum check_step reset_check_more(struct session *session, const struct session_care *care,
                                 uint64_t now_ns, enum drop_reason *why);

/* Puts libpq's own receiver back, unless the program has set its own meanwhile. */
void reset_hand_out(struct session *session);

#endif
