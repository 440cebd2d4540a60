/* SPDX-License-Identifier: PostgreSQL */
/* Gives back to the pools what blocking calls had that were left for good. */
#include "acquire/lend/abandoned_call.h"

#include <stdatomic.h>
#include <sys/socket.h>

#include "acquire/lend/blocked_record.h"
#include "acquire/upkeep/discard.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/unwind/thread_stack.h"
#include "session/opened/connect_notices.h"

/* How much later than its time a call is overdue. */
#define GRACE_NS (2 * NS_PER_SEC)

static void leave_rooms(const struct blocked_record *p)
{
	for (uint32_t i = 0; i < p->rooms; i++) {
		pool_open_failed(&p->lender->pool);
	}
}

/* What libpq has begun for the call. */
static void leave_conn(const struct blocked_record *p, bool over)
{
	if (over && p->conn != NULL) {
		notices_forget(p->conn);
		p->libpq->PQfinish(p->conn);
	}
}

/* If the call may continue, its libpq may be at work on the connection: that is left alone. */
static void leave_session(struct session *session, bool checked, bool over)
{
	if (over && checked) {
		discard_session(session, DROP_ABANDONED);
	} else if (over && session->conn == NULL) {
		discard_drop(session);
	} else {
		if (checked && session_is_ours(session)) {
			shutdown(session->libpq->PQsocket(session->conn), SHUT_RDWR);
		}
		pool_forget(&session->lender->pool, &session->slot);
	}
}

/* `over`: the call that had it is certainly over. */
static COLD void give_back(struct blocked_record *p, uint64_t turn, bool over)
{
	const struct blocked_call its = {.record = p};
	enum blocked_call_kind kind =
		(enum blocked_call_kind)atomic_load_explicit(&p->kind, memory_order_relaxed);

	switch (kind) {
	case BLOCKED_CALL_NOTHING:
		/* Its waiter may be in a line since a moment: the record is not used again. */
		if (p->stray) {
			atomic_fetch_sub(&blocked_strays, 1);
		}
		return;
	case BLOCKED_CALL_LINE:
		discard_grant(&p->lender->pool, pool_leave(&p->lender->pool, &p->waiter),
		              &p->waiter);
		break;
	case BLOCKED_CALL_ROOM:
		leave_rooms(p);
		leave_conn(p, over);
		ask_drop(&p->ask);
		break;
	case BLOCKED_CALL_CHECK:
	case BLOCKED_CALL_CLEARING:
		leave_session(session_of_slot(p->slot), kind == BLOCKED_CALL_CHECK, over);
		leave_conn(p, over);
		break;
	}
	blocked_call_hold_nothing(&its);
	bell_close(&p->waiter.bell);
	blocked_record_free(p, turn);
}

static bool is_own(const struct blocked_record *p)
{
	return atomic_load_explicit(&p->thread, memory_order_relaxed) ==
	       (uintptr_t)pthread_self();
}

/* Was the call on the thread's own stack? Not on that of a coroutine, or a signal handler's. */
static bool is_on(const struct blocked_record *p, uintptr_t low, uintptr_t high)
{
	return p->frame >= low && p->frame < high;
}

/*
 * The stack grows downwards: what was called from a frame lies below it. Above it are its
 * callers, and if the call's ticket was overwritten, the call is none of them.
 */
static bool is_over(const struct blocked_record *p, uintptr_t frame)
{
	return p->frame <= frame || p->ticket->record != p ||
	       p->ticket->turn != blocked_record_state(p) >> STATE_BITS;
}

static void take_own(struct blocked_record *p, bool over)
{
	uint64_t now = blocked_record_state(p);
	uint64_t turn = now >> STATE_BITS;
	enum blocked_state state = now & STATE_MASK;

	if ((state == OPEN || (over && state == OWNED)) &&
	    blocked_record_move(p, turn, state, TAKEN)) {
		give_back(p, turn, over);
	}
}

static COLD void tend_own(uintptr_t frame)
{
	uintptr_t low;
	uintptr_t high;

	thread_stack(&low, &high);
	if (frame < low || frame >= high || thread_stack_is_copied()) {
		return;
	}
	for (struct blocked_record *p = atomic_load(&blocked_records); p != NULL; p = p->next) {
		if (is_own(p) && is_on(p, low, high) && is_over(p, frame)) {
			take_own(p, true);
		}
	}
}

void abandoned_call_tend(void)
{
	struct first *first = THREAD_PART(struct first, pending);
	bool in_use = first != NULL && first->record != NULL &&
	              !blocked_record_is_free(first->record);

	if (!in_use && atomic_load_explicit(&blocked_strays, memory_order_relaxed) == 0) {
		return;
	}
	tend_own((uintptr_t)__builtin_frame_address(0));
	/* Never to be used again: see give_back. */
	if (in_use && (blocked_record_state(first->record) & STATE_MASK) == TAKEN) {
		first->record = NULL;
	}
}

bool abandoned_call_others(const struct blocked_call *ticket)
{
	/* A thread's first call has no others beside it but these. */
	if (atomic_load_explicit(&blocked_strays, memory_order_relaxed) == 0) {
		return false;
	}
	for (struct blocked_record *p = atomic_load(&blocked_records); p != NULL; p = p->next) {
		if (p != ticket->record && !blocked_record_is_free(p) && is_own(p)) {
			return true;
		}
	}
	return false;
}

static bool is_overdue(const struct blocked_record *p, uint64_t now_ns)
{
	uint64_t until_ns = atomic_load_explicit(&p->until_ns, memory_order_relaxed);

	return until_ns != DEADLINE_NEVER && now_ns > until_ns && now_ns - until_ns > GRACE_NS;
}

/* As far as the kernel tells of another thread; a call in line is overdue soon enough. */
static bool seems_over(const struct blocked_record *p)
{
	int kind = atomic_load_explicit(&p->kind, memory_order_relaxed);

	return (kind == BLOCKED_CALL_ROOM || kind == BLOCKED_CALL_CHECK) &&
	       thread_stack_was_left(atomic_load_explicit(&p->tid, memory_order_relaxed),
	                             atomic_load_explicit(&p->thread, memory_order_relaxed),
	                             atomic_load_explicit(&p->frame, memory_order_relaxed));
}

void abandoned_call_tend_overdue(uint64_t now_ns)
{
	for (struct blocked_record *p = atomic_load(&blocked_records); p != NULL; p = p->next) {
		uint64_t now = blocked_record_state(p);
		uint64_t turn = now >> STATE_BITS;

		if ((now & STATE_MASK) == OPEN && (is_overdue(p, now_ns) || seems_over(p)) &&
		    blocked_record_move(p, turn, OPEN, TAKEN)) {
			give_back(p, turn, false);
		}
	}
}

void abandoned_call_thread_end(void)
{
	const struct first *first = THREAD_PART(struct first, pending);
	uintptr_t low = 0;
	uintptr_t high = 0;

	if (lock_barred()) {
		return;
	}
	thread_stack(&low, &high);
	for (struct blocked_record *p = atomic_load(&blocked_records); p != NULL; p = p->next) {
		if (is_own(p)) {
			take_own(p, is_on(p, low, high));
		}
	}
	if (first != NULL && first->record != NULL && blocked_record_is_free(first->record)) {
		atomic_store(&first->record->kept, false);
	}
}

void abandoned_call_fork_child(void)
{
	/* The pools are forgotten, and what is in a record is the parent's. */
	for (struct blocked_record *p = atomic_load(&blocked_records); p != NULL; p = p->next) {
		if (!is_own(p)) {
			bell_forget(&p->waiter.bell);
			p->lender = NULL;
			ask_fork_child(&p->ask);
			atomic_store(&p->kind, BLOCKED_CALL_NOTHING);
			blocked_record_free(p, (blocked_record_state(p) >> STATE_BITS) + 1);
			atomic_store(&p->kept, false);
		}
	}
}
