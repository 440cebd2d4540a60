/* SPDX-License-Identifier: PostgreSQL */
/*
 * The lease that cancel objects were taken on.
 *
 * `sending` is raised before `open` is read, and `open` lowered before `sending` is read:
 * so a sender that found the scope open is always seen by whoever closes it.
 */
#include "session/cancel/cancel_scope.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "session/session.h"
#include "trace/lease/lease.h"

struct cancel_scope {
	atomic_bool open;
	atomic_uint sending;
	atomic_uint refs;
};

bool cancel_scope_enter(PGconn *conn, struct cancel_scope **scope)
{
	struct lease *lease;
	struct session *session;

	*scope = NULL;
	if (lease_find(conn, &lease) == LEASE_UNKNOWN) {
		return true;
	}
	/* Where its connect is in progress, it is the lease to come that counts. */
	session = session_of_lease(lease);
	if (session->handshake == NULL && !lease->open) {
		return !lease_is_stale(conn);
	}
	if (session->cancels == NULL) {
		session->cancels = calloc(1, sizeof(*session->cancels));
		if (session->cancels == NULL) {
			return false;
		}
		atomic_store(&session->cancels->open, true);
		atomic_store(&session->cancels->refs, 1);
	}
	*scope = session->cancels;
	atomic_fetch_add(&(*scope)->refs, 1);
	return true;
}

void cancel_scope_leave(struct cancel_scope *scope)
{
	if (scope != NULL && atomic_fetch_sub(&scope->refs, 1) == 1) {
		free(scope);
	}
}

bool cancel_scope_send(struct cancel_scope *scope)
{
	atomic_fetch_add(&scope->sending, 1);
	if (atomic_load(&scope->open)) {
		return true;
	}
	atomic_fetch_sub(&scope->sending, 1);
	return false;
}

void cancel_scope_sent(struct cancel_scope *scope)
{
	atomic_fetch_sub(&scope->sending, 1);
}

bool cancel_scope_close(struct session *session)
{
	struct cancel_scope *scope = session->cancels;
	bool quiet = true;

	if (scope != NULL) {
		session->cancels = NULL;
		atomic_store(&scope->open, false);
		quiet = atomic_load(&scope->sending) == 0;
		cancel_scope_leave(scope);
	}
	return quiet;
}
