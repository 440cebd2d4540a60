/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a login does to a session that DISCARD ALL does not do again: the role and login
 * triggers.
 *
 * The role. ALTER ROLE ... SET role, ALTER DATABASE ... SET role and options=-c role=... give
 * a session another role than its user's. DISCARD ALL loses it, and the session goes on as
 * its user, on servers before 12.22, 13.18, 14.15, 15.10, 16.6 and 17.2 (seen on 11.22, 13.16,
 * 14.11, 15.8, 16.4 and 17.0; the minors right before those do not give the role to begin
 * with). RESET ROLE brings it back, on all of them. So on such a server RESET ROLE follows the
 * reset, with a SHOW that tells whether there is such a role; if not, it is not asked again.
 *
 * Triggers. From version 17 on a login runs the event triggers ON login of its database. What
 * they set is gone after DISCARD ALL, and they may log, warn and refuse. So there a session is
 * asked before it is lent whether its database has any, and is not lent if it has. One may be
 * created at any time: the question is put again after a second, unless PRE_PING_OFF. It is
 * asked in a transaction of its own kind, whatever the login's default is.
 *
 * Both questions go together, as a simple query, which proves as much as an empty ping. The
 * version is the server's own report, which a proxy may pass on from elsewhere.
 *
 * Not here: settings of the role, the database and the connection string, which DISCARD ALL
 * puts back.
 */
#ifndef PQPOOL_SESSION_OPENED_LOGIN_STATE_H
#define PQPOOL_SESSION_OPENED_LOGIN_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/libpq/libpq.h"

/* Of one session; reset.c's. */
struct login_state {
	bool loses_role;   /* its server's DISCARD ALL does, and it may have one to lose */
	bool role_lost;    /* DISCARD ALL was sent and the role not yet brought back */
	bool may_trigger;  /* its server knows login event triggers */
	bool triggers;     /* its database has some */
	uint64_t asked_ns; /* when the triggers were asked for; 0 = never */
};

/* For a new connection, once it is up. */
void login_state_note(struct login_state *login, const struct libpq *libpq, const PGconn *conn);

/* The longest statement below, with its NUL. */
#define LOGIN_STATE_TEXT 208

/* DISCARD ALL was sent. */
static inline void login_state_was_reset(struct login_state *login)
{
	login->role_lost = login->loses_role;
}

/*
 * The statement to send before the session is lent at `now_ns`; NULL: none. `again`: an older
 * answer expires. Each of its results goes to login_state_answer(). If the server refuses it
 * the session must be closed.
 */
const char *login_state_question(struct login_state *login, uint64_t now_ns, bool again);
void login_state_answer(struct login_state *login, const struct libpq *libpq,
                        const PGresult *result);

#endif
