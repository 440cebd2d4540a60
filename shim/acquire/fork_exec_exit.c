/* SPDX-License-Identifier: PostgreSQL */
/* The pools when the process forks, execs or exits. */
#include "acquire/fork_exec_exit.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "acquire/async/async_connect.h"
#include "acquire/full/refusal.h"
#include "acquire/lend/abandoned_call.h"
#include "acquire/lend/acquisition.h"
#include "acquire/upkeep/orders.h"
#include "acquire/upkeep/sweep.h"
#include "base/clock.h"
#include "base/scratch.h"
#include "pool/deadlock.h"
#include "pool/thread_cache.h"
#include "session/own_query.h"
#include "session/socket/epoll_registrations.h"
#include "share/shared_session.h"
#include "trace/lease/snapshot.h"

/* How long all idle sessions together may take to close at exit. */
#define SHUTDOWN_NS NS_PER_SEC

/* In a signal handler that ends the program: how long, and for how many sessions, to wait. */
#define LEAVE_NS  NS_PER_SEC
#define LEAVE_MAX 256

/* Our parent, if it forked us after it began to use libpq; else 0. */
static pid_t forked_from;

bool acquire_owner_lives(pid_t owner)
{
	/* A parent that has ended is no longer ours, even while it is a zombie. */
	if (owner == forked_from) {
		return getppid() == owner;
	}
	return kill(owner, 0) == 0 || errno == EPERM;
}

void acquire_shutdown(void)
{
	acquisition_set_closing(true);
	sweep_idle(DROP_EXIT, clock_monotonic_ns() + SHUTDOWN_NS, false);
}

bool acquire_pause(void)
{
	if (acquisition_set_closing(true)) {
		return false;
	}
	sweep_idle(DROP_EXIT, clock_monotonic_ns() + SHUTDOWN_NS, false);
	return true;
}

void acquire_resume(void)
{
	acquisition_set_closing(false);
}

void acquire_leave(void)
{
	struct lease **idle = scratch_take();
	size_t count = idle != NULL ? lease_idle(idle, LEAVE_MAX) : 0;
	uint64_t deadline_ns = clock_monotonic_ns() + LEAVE_NS;

	/* A session whose answer was read past libpq must not be lent. */
	acquisition_set_closing(true);
	for (size_t i = 0; i < count; i++) {
		if (!shared_is_idle(session_of_lease(idle[i]))) {
			own_query_swallow(session_of_lease(idle[i]), deadline_ns);
		}
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

/* A connect in progress is not closed: the child, too, has the PGconn. */
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
	abandoned_call_fork_child();
	member_fork_child();
	orders_fork_child();
	epoll_fork_child();
	thread_cache_fork_child();
	identity_fork_done();
}
