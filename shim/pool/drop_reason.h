/* SPDX-License-Identifier: PostgreSQL */
/* Why a session was closed instead of kept: there is no drop without a reason. */
#ifndef PQPOOL_POOL_DROP_REASON_H
#define PQPOOL_POOL_DROP_REASON_H

enum drop_reason {
	DROP_NONE, /* keep it */

	/* the pool's own */
	DROP_AGED,
	DROP_INVALIDATED,
	DROP_IDLE_TIMEOUT,
	DROP_SURPLUS,
	DROP_EXIT,
	DROP_MAKE_ROOM,
	DROP_EXCHANGED, /* for the connection that an asynchronous connect has begun itself */
	DROP_ABANDONED, /* finished before its handshake was over */
	DROP_ALTERED,   /* a statement of the program's own changed what sessions are made of */

	/* what was found when the program gave it back */
	DROP_BROKEN,
	DROP_BUSY,
	DROP_PIPELINE,
	DROP_UNSENT_OUTPUT,
	DROP_OPEN_TRANSACTION,
	DROP_DESCRIPTOR,
	DROP_FORKED,
	DROP_CANCEL_UNDER_WAY,
	DROP_REGISTERED,
	DROP_NOT_POOLED,

	/* what the program or the server did to it meanwhile */
	DROP_EVENT_PROC,
	DROP_TRACED,
	DROP_HANDLE_TAKEN,
	DROP_PROGRAM_RESET,
	DROP_LOADED,
	DROP_REPLICATION_SLOT,
	DROP_SEEDED,
	DROP_REPLICATION_ORIGIN,
	DROP_EXTENSION_STATE,
	DROP_CUSTOM_SETTING, /* which would be empty for the next lease, and not NULL */
	DROP_CONNECT_NOTICE,
	DROP_CONNECT_UNSEEN,
	DROP_LOGIN_TRIGGER, /* its database has event triggers that a login runs */
	DROP_OUTDATED, /* opened under other circumstances than those it was asked for under */

	/* what came out when it was to be lent again */
	DROP_RESET_FAILED,
	DROP_ESCAPING,
	DROP_ATTRIBUTES,
	DROP_PING_FAILED,
	DROP_REASONS
};

/* The word for the log: "aged", "ping_failed". */
const char *drop_reason_name(enum drop_reason reason);

#endif
