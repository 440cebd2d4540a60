/* SPDX-License-Identifier: PostgreSQL */
/* What a call that may block has of a pool's. */
#include "acquire/lend/blocked_call.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "acquire/lend/lending.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/thread/cancellation.h"
#include "base/thread/pid.h"
#include "base/thread/thread_block.h"
#include "base/unwind/thread_stack.h"
#include "session/opened/connect_notices.h"

/* How long a call that is overdue is waited for. */
#define GRACE_NS   (2 * NS_PER_SEC)
/* How long a wait sleeps at a time if there is no descriptor to wake it. */
#define BLIND_NS   (10 * NS_PER_MS)
#define PAGE       4096
#define STATE_BITS 2
#define STATE_MASK 3

enum state { FREE, OWNED, OPEN, TAKEN };

struct pending {
	struct pending *next;    /* constant */
	atomic_bool kept;        /* it is the first of some thread, which alone takes it */
	_Atomic(uint64_t) state; /* turn << STATE_BITS | enum state */

	/* The call's; read by others once they have taken it, but for what is atomic. */
	_Atomic(uintptr_t) thread;
	_Atomic(uint64_t) until_ns;
	_Atomic(pid_t) tid;
	atomic_int kind;                   /* enum blocked_call_kind */
	_Atomic(uintptr_t) frame;          /* its stack reached down to this */
	const struct blocked_call *ticket; /* on its stack; for a comparison, see is_over() */
	bool stray;                        /* not the first of its thread, and so counted */
	struct lender *lender;             /* of a line, or of rooms; held */
	struct pool_slot *slot;            /* of what is checked or cleared */
	uint32_t rooms;
	const struct libpq *libpq;
	PGconn *conn; /* that libpq opens in the room */
	struct pool_waiter waiter;
	atomic_int bell; /* -1 = none */
};

/* The thread's part of its block. */
struct first {
	struct pending *pending;
};

_Static_assert(sizeof(struct first) <= sizeof(((struct thread_block *)0)->pending),
               "the thread's record fits into its part");

/* Added in front and never removed, so the list is read without a lock. */
static _Atomic(struct pending *) all;
static atomic_uint strays; /* in use */

/* ---- states -------------------------------------------------------------------------- */

static uint64_t word(uint64_t turn, enum state state)
{
	return turn << STATE_BITS | state;
}

static uint64_t load(const struct pending *p)
{
	return atomic_load_explicit(&p->state, memory_order_acquire);
}

static bool is_free(const struct pending *p)
{
	return (load(p) & STATE_MASK) == FREE;
}

static bool move(struct pending *p, uint64_t turn, enum state from, enum state to)
{
	uint64_t expected = word(turn, from);

	return atomic_compare_exchange_strong(&p->state, &expected, word(turn, to));
}

/* A free one begins its next turn. */
static bool claim(struct pending *p, uint64_t *turn)
{
	uint64_t now = load(p);

	*turn = (now >> STATE_BITS) + 1;
	return (now & STATE_MASK) == FREE &&
	       atomic_compare_exchange_strong(&p->state, &now, word(*turn, OWNED));
}

static void set_free(struct pending *p, uint64_t turn)
{
	bool stray = p->stray;

	p->stray = false;
	atomic_store_explicit(&p->state, word(turn, FREE), memory_order_release);
	if (stray) {
		atomic_fetch_sub(&strays, 1);
		atomic_store(&p->kept, false);
	}
}

/* ---- a call ---------------------------------------------------------------------------- */

static uintptr_t self(void)
{
	return (uintptr_t)pthread_self();
}

static void add(struct pending *p, bool kept)
{
	atomic_init(&p->bell, -1);
	atomic_init(&p->kept, kept);
	p->next = atomic_load(&all);
	while (!atomic_compare_exchange_weak(&all, &p->next, p)) {
	}
}

/* A page of them, the first one kept. The kernel's, as a signal handler may ask. */
static struct pending *make(void)
{
	struct pending *made =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (made == MAP_FAILED) {
		return NULL;
	}
	for (size_t i = PAGE / sizeof(*made); i-- > 0;) {
		add(&made[i], i == 0);
	}
	return made;
}

/* One that nobody else has, kept. */
static COLD struct pending *keep(void)
{
	struct pending *p = atomic_load(&all);

	while (p != NULL && atomic_exchange(&p->kept, true)) {
		p = p->next;
	}
	return p != NULL ? p : make();
}

/* The thread's first is in use, or it has no memory of its own. */
static COLD struct pending *begin_stray(uint64_t *turn)
{
	struct pending *p = keep();

	if (p == NULL || !claim(p, turn)) {
		return NULL;
	}
	p->stray = true;
	atomic_fetch_add(&strays, 1);
	return p;
}

static struct pending *begin_first(uint64_t *turn)
{
	struct first *first = THREAD_PART(struct first, pending);

	if (first != NULL && first->pending == NULL) {
		first->pending = keep();
	}
	return first != NULL && first->pending != NULL && claim(first->pending, turn)
	               ? first->pending
	               : NULL;
}

bool blocked_call_begin(struct blocked_call *ticket)
{
	struct pending *p = begin_first(&ticket->turn);

	if (p == NULL) {
		p = begin_stray(&ticket->turn);
	}
	ticket->pending = p;
	if (p == NULL) {
		return false;
	}
	atomic_store_explicit(&p->thread, self(), memory_order_relaxed);
	atomic_store_explicit(&p->tid, tid_self(), memory_order_relaxed);
	atomic_store_explicit(&p->until_ns, DEADLINE_NEVER, memory_order_relaxed);
	atomic_store_explicit(&p->frame, (uintptr_t)__builtin_frame_address(0),
	                      memory_order_relaxed);
	p->ticket = ticket;
	return true;
}

static void set_kind(struct pending *p, enum blocked_call_kind kind)
{
	atomic_store_explicit(&p->kind, kind, memory_order_relaxed);
}

/* A signal handler that leaves the call from within here loses what is in neither. */
static void hold(struct pending *p, enum blocked_call_kind kind, struct lender *lender,
                 struct pool_slot *slot, uint32_t rooms)
{
	struct lender *before = p->lender;

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
	if (ticket->pending != NULL) {
		hold(ticket->pending, BLOCKED_CALL_LINE, lender, NULL, 0);
	}
}

void blocked_call_hold_rooms(const struct blocked_call *ticket, struct lender *lender,
                             uint32_t rooms)
{
	if (ticket->pending != NULL) {
		hold(ticket->pending, BLOCKED_CALL_ROOM, lender, NULL, rooms);
	}
}

void blocked_call_hold_slot(const struct blocked_call *ticket, enum blocked_call_kind kind,
                            struct pool_slot *slot)
{
	/* A session counts its lender itself. */
	if (ticket->pending != NULL) {
		hold(ticket->pending, kind, NULL, slot, 0);
	}
}

void blocked_call_hold_nothing(const struct blocked_call *ticket)
{
	if (ticket->pending != NULL) {
		hold(ticket->pending, BLOCKED_CALL_NOTHING, NULL, NULL, 0);
	}
}

/* In a frame of its own: where the call blocks its stack reaches down to this, at least. */
__attribute__((noinline)) void blocked_call_block(const struct blocked_call *ticket,
                                                  uint64_t until_ns)
{
	struct pending *p = ticket->pending;

	if (p != NULL) {
		atomic_store_explicit(&p->frame, (uintptr_t)__builtin_frame_address(0),
		                      memory_order_relaxed);
		atomic_store_explicit(&p->until_ns, until_ns, memory_order_relaxed);
		atomic_store_explicit(&p->state, word(ticket->turn, OPEN),
		                      memory_order_release);
		cancellation_allow();
	}
}

bool blocked_call_back(struct blocked_call *ticket)
{
	cancellation_forbid();
	if (ticket->pending != NULL && !move(ticket->pending, ticket->turn, OPEN, OWNED)) {
		ticket->pending = NULL;
		return false;
	}
	return true;
}

static void close_bell(struct pending *p)
{
	int bell = atomic_exchange(&p->bell, -1);

	if (bell >= 0) {
		close(bell);
	}
}

void blocked_call_end(struct blocked_call *ticket)
{
	struct pending *p = ticket->pending;

	if (p == NULL) {
		return;
	}
	blocked_call_hold_nothing(ticket);
	ticket->pending = NULL;
	if (atomic_load_explicit(&p->bell, memory_order_relaxed) >= 0) {
		close_bell(p);
	}
	set_free(p, ticket->turn);
}

PGconn **blocked_call_conn(const struct blocked_call *ticket, const struct libpq *libpq)
{
	if (ticket->pending == NULL) {
		return NULL;
	}
	ticket->pending->libpq = libpq;
	return &ticket->pending->conn;
}

/* ---- waiting ----------------------------------------------------------------------------- */

struct pool_waiter *blocked_call_waiter(const struct blocked_call *ticket)
{
	return &ticket->pending->waiter;
}

/* Under the pool's lock, by the one who grants. */
void blocked_call_granted(struct pool_waiter *waiter)
{
	struct pending *p =
		(struct pending *)((char *)waiter - offsetof(struct pending, waiter));
	const uint64_t one = 1;
	int bell = atomic_load(&p->bell);

	/* Only a bell that rings already is full. */
	if (bell >= 0 && write(bell, &one, sizeof(one)) < 0) {
		return;
	}
}

bool blocked_call_sleep(const struct blocked_call *ticket, uint64_t until_ns)
{
	struct pending *p = ticket->pending;
	struct pollfd bell = {.events = POLLIN};
	uint64_t now_ns = clock_monotonic_ns();

	lock_assert_none();
	if (atomic_load(&p->bell) < 0) {
		atomic_store(&p->bell, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	}
	bell.fd = atomic_load(&p->bell);
	if (bell.fd < 0 && until_ns > now_ns + BLIND_NS) {
		until_ns = now_ns + BLIND_NS;
	}
	/* What was granted before there was a bell. */
	if (pool_granted(&p->lender->pool, &p->waiter) != POOL_FULL) {
		return true;
	}
	return poll(&bell, 1, clock_ms_until(now_ns, until_ns)) >= 0 || errno != EINTR;
}

/* ---- giving back --------------------------------------------------------------------------
 */

static void leave_line(struct pending *p)
{
	struct pool *pool = &p->lender->pool;
	struct session *session;

	switch (pool_leave(pool, &p->waiter)) {
	case POOL_FULL:
		break;
	case POOL_LEND:
		pool_keep(pool, p->waiter.slot, clock_monotonic_ns());
		break;
	case POOL_REPLACE:
		session = session_of_slot(p->waiter.slot);
		if (session->conn != NULL) {
			lending_close(session, p->waiter.why, 0);
		}
		lending_drop(session);
		break;
	case POOL_OPEN:
		pool_open_failed(pool);
		break;
	}
}

static void leave_rooms(struct pending *p, bool over)
{
	for (uint32_t i = 0; i < p->rooms; i++) {
		pool_open_failed(&p->lender->pool);
	}
	if (over && p->conn != NULL) {
		notices_forget(p->conn);
		p->libpq->PQfinish(p->conn);
	}
}

static void leave_check(struct pending *p, bool over)
{
	struct session *session = session_of_slot(p->slot);

	if (over) {
		lending_close(session, DROP_ABANDONED, 0);
		lending_drop(session);
		return;
	}
	if (session_is_ours(session)) {
		shutdown(session->libpq->PQsocket(session->conn), SHUT_RDWR);
	}
	pool_forget(&session->lender->pool, &session->slot);
}

static void leave_clearing(struct pending *p, bool over)
{
	struct session *session = session_of_slot(p->slot);

	if (over && session->conn == NULL) {
		lending_drop(session);
	} else {
		/* In the middle of libpq's own finish: what is left of it is let alone. */
		pool_forget(&session->lender->pool, &session->slot);
	}
}

/* `over`: the call that had it is certainly over. */
static COLD void give_back(struct pending *p, uint64_t turn, bool over)
{
	switch ((enum blocked_call_kind)atomic_load_explicit(&p->kind, memory_order_relaxed)) {
	case BLOCKED_CALL_NOTHING:
		/* Its waiter may have just come to be in a line: the record is not used again.
		 */
		if (p->stray) {
			atomic_fetch_sub(&strays, 1);
		}
		return;
	case BLOCKED_CALL_LINE:
		leave_line(p);
		break;
	case BLOCKED_CALL_ROOM:
		leave_rooms(p, over);
		break;
	case BLOCKED_CALL_CHECK:
		leave_check(p, over);
		break;
	case BLOCKED_CALL_CLEARING:
		leave_clearing(p, over);
		break;
	}
	hold(p, BLOCKED_CALL_NOTHING, NULL, NULL, 0);
	close_bell(p);
	set_free(p, turn);
}

static bool is_own(const struct pending *p)
{
	return atomic_load_explicit(&p->thread, memory_order_relaxed) == self();
}

/* Was the call on the thread's own stack? Not on that of a coroutine, or a signal handler's. */
static bool is_on(const struct pending *p, uintptr_t low, uintptr_t high)
{
	return p->frame >= low && p->frame < high;
}

/*
 * The stack grows downwards: what was called from a frame lies below it. What lies above it is
 * the callers', and where the call's own ticket has been overwritten it is none of them.
 */
static bool is_over(const struct pending *p, uintptr_t frame)
{
	return p->frame <= frame || p->ticket->pending != p ||
	       p->ticket->turn != load(p) >> STATE_BITS;
}

static void take_own(struct pending *p, bool over)
{
	uint64_t now = load(p);
	uint64_t turn = now >> STATE_BITS;
	enum state state = now & STATE_MASK;

	if ((state == OPEN || (over && state == OWNED)) && move(p, turn, state, TAKEN)) {
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
	for (struct pending *p = atomic_load(&all); p != NULL; p = p->next) {
		if (is_own(p) && is_on(p, low, high) && is_over(p, frame)) {
			take_own(p, true);
		}
	}
}

void blocked_call_tend(void)
{
	struct first *first = THREAD_PART(struct first, pending);
	bool in_use = first != NULL && first->pending != NULL && !is_free(first->pending);

	if (!in_use && atomic_load_explicit(&strays, memory_order_relaxed) == 0) {
		return;
	}
	tend_own((uintptr_t)__builtin_frame_address(0));
	/* Never to be used again: see give_back. */
	if (in_use && (load(first->pending) & STATE_MASK) == TAKEN) {
		first->pending = NULL;
	}
}

bool blocked_call_others(const struct blocked_call *ticket)
{
	for (struct pending *p = atomic_load(&all); p != NULL; p = p->next) {
		if (p != ticket->pending && !is_free(p) && is_own(p)) {
			return true;
		}
	}
	return false;
}

static bool is_overdue(const struct pending *p, uint64_t now_ns)
{
	uint64_t until_ns = atomic_load_explicit(&p->until_ns, memory_order_relaxed);

	return until_ns != DEADLINE_NEVER && now_ns > until_ns && now_ns - until_ns > GRACE_NS;
}

/* As far as can be told of another thread; a call in line is overdue soon enough. */
static bool seems_over(const struct pending *p)
{
	int kind = atomic_load_explicit(&p->kind, memory_order_relaxed);

	return (kind == BLOCKED_CALL_ROOM || kind == BLOCKED_CALL_CHECK) &&
	       thread_stack_was_left(atomic_load_explicit(&p->tid, memory_order_relaxed),
	                             atomic_load_explicit(&p->thread, memory_order_relaxed),
	                             atomic_load_explicit(&p->frame, memory_order_relaxed));
}

void blocked_call_tend_overdue(uint64_t now_ns)
{
	for (struct pending *p = atomic_load(&all); p != NULL; p = p->next) {
		uint64_t now = load(p);
		uint64_t turn = now >> STATE_BITS;

		if ((now & STATE_MASK) == OPEN && (is_overdue(p, now_ns) || seems_over(p)) &&
		    move(p, turn, OPEN, TAKEN)) {
			give_back(p, turn, false);
		}
	}
}

void blocked_call_thread_end(void)
{
	const struct first *first = THREAD_PART(struct first, pending);
	uintptr_t low = 0;
	uintptr_t high = 0;

	if (lock_barred()) {
		return;
	}
	thread_stack(&low, &high);
	for (struct pending *p = atomic_load(&all); p != NULL; p = p->next) {
		if (is_own(p)) {
			take_own(p, is_on(p, low, high));
		}
	}
	if (first != NULL && first->pending != NULL && is_free(first->pending)) {
		atomic_store(&first->pending->kept, false);
	}
}

void blocked_call_fork_child(void)
{
	/* The pools are forgotten, and what is in a record is the parent's. */
	for (struct pending *p = atomic_load(&all); p != NULL; p = p->next) {
		if (!is_own(p)) {
			p->lender = NULL;
			set_kind(p, BLOCKED_CALL_NOTHING);
			set_free(p, (load(p) >> STATE_BITS) + 1);
			atomic_store(&p->kept, false);
		}
	}
}
