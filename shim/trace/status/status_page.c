/* SPDX-License-Identifier: PostgreSQL */
/* The status page in memory: made with its first row, grown, its rows and stacks. */
#include "trace/status/status_page.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cold.h"
#include "base/lock.h"
#include "base/scratch.h"
#include "base/text/logfmt.h"
#include "base/text/strbuf.h"
#include "base/thread/pid.h"
#include "trace/log/record.h"
#include "trace/log/stack_pairs.h"
#include "trace/stack/stack.h"
#include "trace/status/page_file.h"

/* Rows that each area has at first, and by how much it grows: most programs need few. */
#define FIRST_BYTES 4096U
#define ROWS_BYTES  8192U
/* Room for the text of one stack; what does not fit is cut. */
#define STACK_BYTES 4096U
#define WORD_BITS   64

_Static_assert(sizeof(struct status_stack) + STACK_BYTES <= SCRATCH_BYTES, "it fits");

static atomic_uint_fast64_t pools_taken[STATUS_POOLS_MAX / WORD_BITS];
static atomic_uint_fast64_t sessions_taken[STATUS_SESSIONS_MAX / WORD_BITS];

static struct area {
	uint32_t at; /* in the page */
	uint32_t row_bytes;
	uint32_t max;
	_Atomic(uint32_t) count; /* rows that exist */
	atomic_uint_fast64_t *taken;
} areas[STATUS_AREAS] = {
	[STATUS_AREA_POOLS] = {.at = STATUS_POOLS_AT,
                               .row_bytes = sizeof(struct status_pool),
                               .max = STATUS_POOLS_MAX,
                               .taken = pools_taken},
	[STATUS_AREA_SESSIONS] = {.at = STATUS_SESSIONS_AT,
                                  .row_bytes = sizeof(struct status_session),
                                  .max = STATUS_SESSIONS_MAX,
                                  .taken = sessions_taken},
};

_Atomic(char *) status_page_base;

static struct lock page_lock = LOCK_INITIALIZER(LOCK_STATUS);
static bool given_up; /* there will be no page */
static pid_t owner;   /* whose page it is */
static uint32_t stacks_used;

/* Constant once configured. */
static const struct config *shown_config;
static const char *program_name;
static const char *(*reason_word)(unsigned number);
static unsigned reason_count;

void status_put_string(char *to, size_t size, const char *text)
{
	struct strbuf t;

	strbuf_init(&t, to, size);
	strbuf_str(&t, text);
}

void status_configure(const struct config *config, const char *program,
                      const char *(*reason)(unsigned number), unsigned reasons)
{
	shown_config = config;
	program_name = program;
	reason_word = reason;
	reason_count = reasons < STATUS_REASONS ? reasons : STATUS_REASONS;
}

/* ---- making and growing ---- */

static void fill_head(struct status_head *head)
{
	struct strbuf config;

	head->version = STATUS_VERSION;
	head->pid = pid_self();
	head->created_us = clock_wall_us();
	head->created_ns = clock_monotonic_ns();
	status_put_string(head->program, sizeof(head->program), program_name);
	strbuf_init(&config, head->config, sizeof(head->config));
	config_describe(shown_config, &config);
	for (unsigned i = 0; i < reason_count; i++) {
		status_put_string(head->reasons[i], sizeof(head->reasons[i]), reason_word(i));
	}
	memcpy(head->magic, STATUS_MAGIC, sizeof(head->magic));
}

static void set_rows(char *base, struct area *area, uint32_t rows)
{
	struct status_head *head = status_page_head(base);
	bool pools = area == &areas[STATUS_AREA_POOLS];

	atomic_store_explicit(&area->count, rows, memory_order_release);
	__atomic_store_n(pools ? &head->pools : &head->sessions, rows, __ATOMIC_RELEASE);
}

/* Returns the errno of what failed, or 0. */
static int make_locked(void)
{
	static const struct page_blocks first[] = {{0, STATUS_POOLS_AT + FIRST_BYTES},
	                                           {STATUS_SESSIONS_AT, FIRST_BYTES}};
	int why = 0;
	bool paused = false;
	char *base = page_file_make(first, sizeof(first) / sizeof(first[0]), &why);

	if (base == NULL) {
		return why;
	}
	fill_head(status_page_head(base));
	for (struct area *area = areas; area < areas + STATUS_AREAS; area++) {
		set_rows(base, area, FIRST_BYTES / area->row_bytes);
	}
	stacks_used = 0;
	if (!page_file_show(&paused)) {
		why = errno;
		page_file_undo();
		return why;
	}
	/* A tool that lists pages from now on finds this one, and has made its file before. */
	if (paused) {
		__atomic_store_n(&status_page_head(base)->order, 1, __ATOMIC_RELEASE);
	}
	owner = pid_self();
	atomic_store_explicit(&status_page_base, base, memory_order_release);
	return 0;
}

static void log_none(int why)
{
	struct record r;

	if (record_begin(&r, LEVEL_DEBUG, "status")) {
		record_str(&r, "msg",
		           "there is no status page: pqpool top, leaks PID and drain do "
		           "not see this process");
		record_str(&r, "error", strerrordesc_np(why));
		record_end(&r);
	}
}

/* The page, made if there is none yet; NULL: there will be none. */
static char *page_wanted(void)
{
	char *base = status_page();
	int why = 0;

	if (base != NULL) {
		return base;
	}
	lock_take(&page_lock);
	if (status_page() == NULL && !given_up) {
		why = make_locked();
		given_up = why != 0;
	}
	base = status_page();
	lock_drop(&page_lock);
	if (why != 0) {
		log_none(why);
	}
	return base;
}

void status_make(void)
{
	int saved_errno = errno;

	page_wanted();
	errno = saved_errno;
}

/* True if there are more rows than `before`. */
static bool grow(char *base, struct area *area, uint32_t before)
{
	uint32_t rows;
	uint32_t more = ROWS_BYTES / area->row_bytes;

	lock_take(&page_lock);
	rows = atomic_load(&area->count);
	more = more <= area->max - rows ? more : area->max - rows;
	if (rows == before && more > 0 &&
	    page_file_grow(area->at + rows * area->row_bytes, more * area->row_bytes)) {
		rows += more;
		set_rows(base, area, rows);
	}
	lock_drop(&page_lock);
	return rows > before;
}

/* ---- rows ---- */

/* Takes one of the first `count` rows; 0 if all are taken. */
static uint32_t take_one(struct area *area, uint32_t count)
{
	for (uint32_t word = 0; word * WORD_BITS < count; word++) {
		uint64_t taken = atomic_load_explicit(&area->taken[word], memory_order_relaxed);

		while (taken != UINT64_MAX) {
			uint32_t bit = (uint32_t)__builtin_ctzll(~taken);
			uint64_t mask = UINT64_C(1) << bit;

			if (word * WORD_BITS + bit >= count) {
				return 0;
			}
			taken = atomic_fetch_or_explicit(&area->taken[word], mask,
			                                 memory_order_acquire);
			if ((taken & mask) == 0) {
				return word * WORD_BITS + bit + 1;
			}
		}
	}
	return 0;
}

uint32_t status_page_take(enum status_area which)
{
	struct area *area = &areas[which];
	char *base = page_wanted();
	uint32_t count;
	uint32_t row;

	if (base == NULL) {
		return 0;
	}
	do {
		count = atomic_load_explicit(&area->count, memory_order_acquire);
		row = take_one(area, count);
	} while (row == 0 && grow(base, area, count));
	return row;
}

void status_page_give(enum status_area which, uint32_t row)
{
	uint64_t mask = UINT64_C(1) << ((row - 1) % WORD_BITS);

	atomic_fetch_and_explicit(&areas[which].taken[(row - 1) / WORD_BITS], ~mask,
	                          memory_order_release);
}

/* ---- stacks ---- */

static struct status_stack *stack_at(char *base, uint32_t at)
{
	return (struct status_stack *)(void *)(base + STATUS_STACKS_AT + at);
}

static uint32_t stack_bytes(const struct status_stack *entry)
{
	return (uint32_t)((sizeof(*entry) + entry->bytes + 7) & ~(size_t)7);
}

static bool has_room_locked(void)
{
	return stacks_used + sizeof(struct status_stack) + STACK_BYTES <= STATUS_STACKS_BYTES;
}

/* `entry` has room for STACK_BYTES of text. */
static void add_locked(char *base, const struct stack *stack, struct status_stack *entry)
{
	struct strbuf t;

	strbuf_init(&t, entry->text, STACK_BYTES);
	if (stack->script != NULL) {
		strbuf_str(&t, "script=");
		logfmt_value(&t, stack->script);
	}
	stack_pairs_put(&t, stack);
	entry->id = stack->id | (stack_gives_back(stack->id) ? STATUS_GIVEN_BACK : 0);
	entry->bytes = (uint32_t)t.len;
	if (page_file_write(STATUS_STACKS_AT + stacks_used, entry, sizeof(*entry) + t.len)) {
		stacks_used += stack_bytes(entry);
		__atomic_store_n(&status_page_head(base)->stack_bytes, stacks_used,
		                 __ATOMIC_RELEASE);
	}
}

void status_stack(uint32_t stack)
{
	char *base = status_page();
	struct status_stack *entry;

	if (base == NULL || !stack_claim_for_page(stack)) {
		return;
	}
	entry = scratch_take();
	lock_take(&page_lock);
	if (entry != NULL && has_room_locked()) {
		add_locked(base, stack_get(stack), entry);
	}
	lock_drop(&page_lock);
	scratch_give(entry);
	/* New stacks are rare, and so is what else needs scratch. */
	scratch_rest();
}

void status_given_back(uint32_t stack)
{
	char *base = status_page();

	if (base == NULL) {
		return;
	}
	lock_take(&page_lock);
	for (uint32_t at = 0; at < stacks_used; at += stack_bytes(stack_at(base, at))) {
		if (stack_at(base, at)->id == stack) {
			__atomic_store_n(&stack_at(base, at)->id, stack | STATUS_GIVEN_BACK,
			                 __ATOMIC_RELAXED);
		}
	}
	lock_drop(&page_lock);
}

/* ---- the process ---- */

bool status_is_paused(void)
{
	int saved_errno = errno;
	bool paused = status_page() != NULL && page_file_is_paused();

	errno = saved_errno;
	return paused;
}

void status_remove(void)
{
	int saved_errno = errno;

	if (status_page() != NULL && owner == getpid()) {
		page_file_unlink();
	}
	errno = saved_errno;
}

void status_fork_prepare(void)
{
	lock_take(&page_lock);
}

void status_fork_parent(void)
{
	lock_drop(&page_lock);
}

void status_fork_child(bool usable)
{
	int saved_errno = errno;

	if (usable) {
		lock_drop(&page_lock);
	}
	given_up = !usable;
	if (status_page() != NULL) {
		atomic_store(&status_page_base, NULL);
		page_file_leave();
		/* There is one thread. */
		memset((void *)pools_taken, 0, sizeof(pools_taken));
		memset((void *)sessions_taken, 0, sizeof(sessions_taken));
	}
	errno = saved_errno;
}
