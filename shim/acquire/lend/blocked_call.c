/* SPDX-License-Identifier: PostgreSQL */
/* What a blocking call has in hand of a pool, noted where it can be given back from. */
#include "acquire/lend/blocked_call.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "acquire/lend/blocked_record.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/thread/cancellation.h"
#include "base/thread/pid.h"
#include "base/thread/thread_block.h"
#include "pool/registry.h"

/* How long a waiter sleeps at a time if it has no descriptor to be woken by. */
#define BLIND_NS (10 * NS_PER_MS)
#define PAGE     4096
#define FEW      4

_Atomic(struct blocked_record *) blocked_records;
atomic_uint blocked_strays;

/* A free one begins its next turn. */
static bool claim(struct blocked_record *p, uint64_t *turn)
{
	uint64_t now = blocked_record_state(p);

	*turn = (now >> STATE_BITS) + 1;
	return (now & STATE_MASK) == FREE &&
	       atomic_compare_exchange_strong(&p->state, &now,
	                                      blocked_record_word(*turn, OWNED));
}

static void add(struct blocked_record *p, bool kept)
{
	atomic_init(&p->kept, kept);
	p->next = atomic_load(&blocked_records);
	while (!atomic_compare_exchange_weak(&blocked_records, &p->next, p)) {
	}
}

/*
 * Some of them, the first one kept. After the few that most programs need from the kernel, a
 * page each time, as this may be a signal handler.
 */
static struct blocked_record *make(void)
{
	static struct blocked_record few[FEW];
	static atomic_flag few_are_added = ATOMIC_FLAG_INIT;
	struct blocked_record *made = few;
	size_t count = FEW;

	if (atomic_flag_test_and_set(&few_are_added)) {
		made = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		            0);
		count = PAGE / sizeof(*made);
	}
	if (made == MAP_FAILED) {
		return NULL;
	}
	for (size_t i = count; i-- > 0;) {
		add(&made[i], i == 0);
	}
	return made;
}

/* One that no thread keeps, now kept. */
static COLD struct blocked_record *keep(void)
{
	struct blocked_record *p = atomic_load(&blocked_records);

	while (p != NULL && atomic_exchange(&p->kept, true)) {
		p = p->next;
	}
	return p != NULL ? p : make();
}

/* The thread's first is in use, or it has no memory of its own. */
static COLD struct blocked_record *begin_stray(uint64_t *turn)
{
	struct blocked_record *p = keep();

	if (p == NULL || !claim(p, turn)) {
		return NULL;
	}
	p->stray = true;
	atomic_fetch_add(&blocked_strays, 1);
	return p;
}

static struct blocked_record *begin_first(uint64_t *turn)
{
	struct first *first = THREAD_PART(struct first, pending);

	if (first != NULL && first->record == NULL) {
		first->record = keep();
	}
	return first != NULL && first->record != NULL && claim(first->record, turn)
	               ? first->record
	               : NULL;
}

bool blocked_call_begin(struct blocked_call *ticket)
{
	struct blocked_record *p = begin_first(&ticket->turn);

	if (p == NULL) {
		p = begin_stray(&ticket->turn);
	}
	ticket->record = p;
	if (p == NULL) {
		return false;
	}
	atomic_store_explicit(&p->thread, (uintptr_t)pthread_self(), memory_order_relaxed);
	atomic_store_explicit(&p->tid, tid_self(), memory_order_relaxed);
	atomic_store_explicit(&p->until_ns, DEADLINE_NEVER, memory_order_relaxed);
	atomic_store_explicit(&p->frame, (uintptr_t)__builtin_frame_address(0),
	                      memory_order_relaxed);
	p->ticket = ticket;
	return true;
}

static void set_kind(struct blocked_record *p, enum blocked_call_kind kind)
{
	atomic_store_explicit(&p->kind, kind, memory_order_relaxed);
}

/* If a signal handler leaves the call amid this, what is in neither state is lost. */
static void hold(const struct blocked_call *ticket, enum blocked_call_kind kind,
                 struct lender *lender, struct pool_slot *slot, uint32_t rooms)
{
	struct blocked_record *p = ticket->record;
	struct lender *before = p != NULL ? p->lender : NULL;

	if (p == NULL) {
		return;
	}
	set_kind(p, BLOCKED_CALL_NOTHING);
	atomic_signal_fence(memory_order_seq_cst);
	if (lender != NULL) {
		lender_hold(lender);
	}
	p->lender = lender;
	p->slot = slot;
	p->rooms = rooms;
	p->conn = NULL;
	atomic_signal_fence(memory_order_seq_cst);
	set_kind(p, kind);
	if (before != NULL) {
		lender_release(before);
	}
}

void blocked_call_hold_line(const struct blocked_call *ticket, struct lender *lender)
{
	hold(ticket, BLOCKED_CALL_LINE, lender, NULL, 0);
}

void blocked_call_hold_rooms(const struct blocked_call *ticket, struct lender *lender,
                             uint32_t rooms)
{
	hold(ticket, BLOCKED_CALL_ROOM, lender, NULL, rooms);
}

void blocked_call_hold_slot(const struct blocked_call *ticket, enum blocked_call_kind kind,
                            struct pool_slot *slot)
{
	/* A session counts its lender itself. */
	hold(ticket, kind, NULL, slot, 0);
}

void blocked_call_hold_nothing(const struct blocked_call *ticket)
{
	hold(ticket, BLOCKED_CALL_NOTHING, NULL, NULL, 0);
}

/* Not inlined: where the call blocks its stack reaches down to this frame, at least. */
__attribute__((noinline)) void blocked_call_block(const struct blocked_call *ticket,
                                                  uint64_t until_ns)
{
	struct blocked_record *p = ticket->record;

	if (p != NULL) {
		atomic_store_explicit(&p->frame, (uintptr_t)__builtin_frame_address(0),
		                      memory_order_relaxed);
		atomic_store_explicit(&p->until_ns, until_ns, memory_order_relaxed);
		atomic_store_explicit(&p->state, blocked_record_word(ticket->turn, OPEN),
		                      memory_order_release);
		cancellation_allow();
	}
}

bool blocked_call_back(struct blocked_call *ticket)
{
	cancellation_forbid();
	if (ticket->record != NULL &&
	    !blocked_record_move(ticket->record, ticket->turn, OPEN, OWNED)) {
		ticket->record = NULL;
		return false;
	}
	return true;
}

void blocked_call_end(struct blocked_call *ticket)
{
	struct blocked_record *p = ticket->record;

	if (p == NULL) {
		return;
	}
	blocked_call_hold_nothing(ticket);
	ticket->record = NULL;
	bell_close(&p->waiter.bell);
	blocked_record_free(p, ticket->turn);
}

PGconn **blocked_call_conn(const struct blocked_call *ticket, const struct libpq *libpq)
{
	if (ticket->record == NULL) {
		return NULL;
	}
	ticket->record->libpq = libpq;
	return &ticket->record->conn;
}

struct ask *blocked_call_ask(const struct blocked_call *ticket)
{
	return ticket->record != NULL ? &ticket->record->ask : NULL;
}

/* ---- waiting ----------------------------------------------------------------------------- */

struct pool_waiter *blocked_call_waiter(const struct blocked_call *ticket)
{
	return &ticket->record->waiter;
}

bool blocked_call_sleep(const struct blocked_call *ticket, uint64_t until_ns)
{
	struct blocked_record *p = ticket->record;
	struct pollfd bell = {.events = POLLIN};
	uint64_t now_ns = clock_monotonic_ns();

	lock_assert_none();
	bell.fd = bell_open(&p->waiter.bell);
	if (bell.fd < 0 && until_ns > now_ns + BLIND_NS) {
		until_ns = now_ns + BLIND_NS;
	}
	/* It may have been granted before there was a bell. */
	if (pool_granted(&p->lender->pool, &p->waiter) != POOL_FULL) {
		return true;
	}
	return poll(&bell, 1, clock_ms_until(now_ns, until_ns)) >= 0 || errno != EINTR;
}
