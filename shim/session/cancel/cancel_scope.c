/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the cancel objects taken on one lease share.
 *
 * `sending` is raised before `open` is read, and `open` lowered before `sending` is read:
 * so a sender that found the scope open is always seen by the thread that closes it.
 */
#include "session/cancel/cancel_scope.h"

#include <stdatomic.h>
#include <stdlib.h>

struct cancel_scope {
	atomic_bool open;
	atomic_uint sending;
	atomic_uint refs;
};

struct cancel_scope *cancel_scope_join(struct cancel_scope **of)
{
	if (*of == NULL) {
		*of = calloc(1, sizeof(**of));
		if (*of == NULL) {
			return NULL;
		}
		atomic_store(&(*of)->open, true);
		atomic_store(&(*of)->refs, 1);
	}
	atomic_fetch_add(&(*of)->refs, 1);
	return *of;
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

bool cancel_scope_close(struct cancel_scope **of)
{
	struct cancel_scope *scope = *of;
	bool quiet = true;

	if (scope != NULL) {
		*of = NULL;
		atomic_store(&scope->open, false);
		quiet = atomic_load(&scope->sending) == 0;
		cancel_scope_leave(scope);
	}
	return quiet;
}
