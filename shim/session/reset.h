/* SPDX-License-Identifier: PostgreSQL */
/*
 * Making a returned session new, and proving that it lives; what can be: check_return.h.
 *
 * Reset in flight: at release, unless nothing was sent that it could undo, `DISCARD ALL`,
 * behind `ROLLBACK` if a transaction is open, is sent and not waited for (reset_send); the
 * next acquire collects the answer (reset_check). DISCARD ALL cannot run inside a transaction
 * block, so the two travel in a pipeline, each with its own Sync; without pipelines (libpq
 * before 14) a session with an open transaction is dropped.
 *
 * While a session is ours it is non-blocking and has a silent receiver that counts
 * notices: libpq would hand a FATAL that comes in idle state to the notice processor,
 * by default the program's stderr.
 *
 * A check goes in steps, so that it can be driven by a thread that waits (reset_check) or
 * by a program's event loop (reset_check_begin, reset_check_more).
 */
#ifndef PQPOOL_SESSION_RESET_H
#define PQPOOL_SESSION_RESET_H

#include <stdint.h>

#include "base/cold.h"
#include "base/config/config.h"
#include "pool/drop_reason.h"
#include "session/session.h"
#include "trace/lease/lease.h"

/* How sessions are looked after; constant. */
struct session_care {
	enum config_reset reset;
	enum config_pre_ping pre_ping;
	const char *ping_query;
	uint64_t ping_timeout_ns;
};

/*
 * Takes it into our care: client state as on a fresh connection but for the hooks and the
 * blocking mode, reset on its way. Never waits for the server.
 */
enum drop_reason reset_send(struct session *session, const struct session_care *care);

/*
 * Waits for the answer to a reset in flight until `deadline_ns`; DROP_NONE also if it has not
 * come by then, and stays in flight. Else as reset_check says.
 */
enum drop_reason reset_await(struct session *session, uint64_t deadline_ns);

/* Takes a session that was just opened, and that nobody used, into our care. */
COLD void reset_park(struct session *session);

/* How long a check of it may take: care->ping_timeout_ns, or session->check_limit_ns. */
uint64_t reset_patience_ns(const struct session *session, const struct session_care *care);

/*
 * To be lent: collects a reset in flight, proves that the server is there as `care`
 * wants, puts hooks and mode back. DROP_NONE: fit. DROP_PING_FAILED: the server, or the
 * way to it, is gone; other sessions are suspect, too, as with DROP_ATTRIBUTES: the server
 * has another role now than its program asked for. Waits for reset_patience_ns() at most.
 */
enum drop_reason reset_check(struct session *session, const struct session_care *care,
                             uint64_t now_ns);

/*
 * The same in steps. CHECK_PENDING: go on with reset_check_more when the socket is
 * readable, or writable if `*unsent`; after reset_check_begin also with CHECK_FIT, as it is
 * for the last step to hand the session out. CHECK_UNFIT: `*why` says why. Blocking mode is put
 * back at the beginning and the hooks only if they are still ours at the end, because
 * the program has the connection in hand meanwhile and may set its own.
 */
enum check_step { CHECK_FIT, CHECK_UNFIT, CHECK_PENDING };
enum check_step reset_check_begin(struct session *session, const struct session_care *care,
                                  uint64_t now_ns, enum drop_reason *why);
enum check_step reset_check_more(struct session *session, const struct session_care *care,
                                 uint64_t now_ns, enum drop_reason *why);
bool reset_check_unsent(struct session *session);

/* Puts libpq's own receiver back, unless the program has set its own meanwhile. */
void reset_hand_out(struct session *session);

/*
 * Collects a reset in flight from a session that is to be closed, so that the server does
 * not find its answer unread.
 */
void reset_settle(struct session *session, uint64_t deadline_ns);

#endif
