/* SPDX-License-Identifier: PostgreSQL */
/* The pools when the process forks, becomes another program, or ends. */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "acquire/acquire.h"
#include "acquire/async/async_connect.h"
#include "acquire/full/refusal.h"
#include "acquire/lend/blocked_call.h"
#include "acquire/lend/lending.h"
#include "base/clock.h"
#include "base/scratch.h"
#include "pool/deadlock.h"
#include "pool/thread_cache.h"
#include "session/own_query.h"
#include "trace/lease/snapshot.h"

/* How long all idle sessions together may take to close at exit. */
#define SHUTDOWN_NS NS_PER_SEC

/* What a program that ends in a signal handler waits for at most, for how many sessions. */
#define LEAVE_NS  NS_PER_SEC
#define LEAVE_MAX 256

/* Our parent when it forked us; 0 if nobody did since the program began to use libpq. */
static pid_t forked_from;

bool acquire_owner_lives(pid_t owner)
{
	/* A parent that has ended is not our parent any more, even if nobody buried it yet. */
	if (owner == forked_from) {
		return getppid() == owner;
	}
	return kill(owner, 0) == 0 || errno == EPERM;
}

void acquire_shutdown(void)
{
	lending_set_closing(true);
	lending_close_all_idle(DROP_EXIT, clock_monotonic_ns() + SHUTDOWN_NS, false);
}

bool acquire_pause(void)
{
	if (lending_set_closing(true)) {
		return false;
	}
	lending_close_all_idle(DROP_EXIT, clock_monotonic_ns() + SHUTDOWN_NS, false);
	return true;
}

void acquire_resume(void)
{
	lending_set_closing(false);
}

void acquire_leave(void)
{
	struct lease **idle = scratch_take();
	size_t count = idle != NULL ? lease_idle(idle, LEAVE_MAX) : 0;
	uint64_t deadline_ns = clock_monotonic_ns() + LEAVE_NS;

	/* What has lost its answer must not be lent any more. */
	lending_set_closing(true);
	for (size_t i = 0; i < count; i++) {
		own_query_swallow(session_of_lease(idle[i]), deadline_ns);
	}
	scratch_give(idle);
}

void acquire_fork_prepare(void)
{
	identity_fork_prepare();
	registry_fork_prepare();
	deadlock_fork_prepare();
	lease_fork_prepare();
}

void acquire_fork_parent(void)
{
	lease_fork_parent();
	deadlock_fork_parent();
	registry_fork_parent();
	identity_fork_done();
}

/* A connect in progress is not ours to close: the child, too, has the PGconn. */
static void close_copy_of_idle(struct lease *lease)
{
	struct session *session = session_of_lease(lease);

	if (session->handshake != NULL) {
		async_fork_child(session);
	} else if (!session->passing) {
		session_close_copy(session);
	}
}

void acquire_fork_child(void)
{
	forked_from = getppid();
	lease_fork_child(refusal_fork_child, close_copy_of_idle);
	deadlock_fork_child();
	registry_fork_child();
	blocked_call_fork_child();
	thread_cache_fork_child();
	identity_fork_done();
}
