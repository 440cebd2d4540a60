/* SPDX-License-Identifier: PostgreSQL */
/*
 * The status page: its rows.
 *
 * What is in the page may be read by anybody who may read the file, and is written here
 * only: no index or length is ever taken back from it, so that a page that was scribbled
 * over misleads its readers, not us. Which rows are taken is noted in `rows_taken`; a bit
 * there is what hands a row from one owner to the next.
 *
 * Locks: LOCK_STATUS guards the making and the growing of the page and the end of its
 * stacks. `page`, the areas' sizes and the bits are atomic, to be read without it.
 */
#include "trace/status/status.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/scratch.h"
#include "base/text/strbuf.h"
#include "base/thread/pid.h"
#include "sql/redact_statement.h"
#include "trace/log/record.h"
#include "trace/stack/stack.h"
#include "trace/status/page_file.h"
#include "trace/status/page_rows.h"
#include "trace/status/page_stacks.h"
#include "trace/status/status_format.h"

/* The rows' areas grow by so much. */
#define ROWS_BYTES 8192U
/* What of a statement is looked at. */
#define SAID_BYTES 48
#define WORD_BITS  PAGE_ROWS_WORD_BITS

static atomic_uint_fast64_t pools_taken[STATUS_POOLS_MAX / WORD_BITS];
static atomic_uint_fast64_t sessions_taken[STATUS_SESSIONS_MAX / WORD_BITS];
static atomic_uint_fast64_t stacks_told[STACK_MAX / WORD_BITS + 1];

static struct page_rows pools = {.at = STATUS_POOLS_AT,
                                 .row_bytes = sizeof(struct status_pool),
                                 .max = STATUS_POOLS_MAX,
                                 .taken = pools_taken};
static struct page_rows sessions = {.at = STATUS_SESSIONS_AT,
                                    .row_bytes = sizeof(struct status_session),
                                    .max = STATUS_SESSIONS_MAX,
                                    .taken = sessions_taken};

/* Which pool the session in a row belongs to; guarded like the row. */
static uint32_t pool_of[STATUS_SESSIONS_MAX];

/*
 * The beginnings of the statements that the rows show, as they were sent: programs say the
 * same again and again. Guarded like the row.
 */
static char said[STATUS_SESSIONS_MAX][SAID_BYTES];

static struct lock page_lock = LOCK_INITIALIZER(LOCK_STATUS);
static _Atomic(char *) page; /* NULL: none yet, or none at all */
static bool given_up;        /* there will be none */
static pid_t owner;          /* whose page it is */

/* Constant once configured. */
static char program_name[sizeof(((struct status_head *)0)->program)];
static char config_text[sizeof(((struct status_head *)0)->config)];
static const char *(*reason_word)(unsigned number);
static unsigned reason_count;

void status_configure(const struct config *config, const char *program,
                      const char *(*reason)(unsigned number), unsigned reasons)
{
	struct strbuf t;

	strbuf_init(&t, program_name, sizeof(program_name));
	strbuf_str(&t, program);
	strbuf_init(&t, config_text, sizeof(config_text));
	config_describe(config, &t);
	reason_word = reason;
	reason_count = reasons < STATUS_REASONS ? reasons : STATUS_REASONS;
}

static char *page_now(void)
{
	return atomic_load_explicit(&page, memory_order_acquire);
}

static struct status_head *head_of(char *base)
{
	return (struct status_head *)(void *)base;
}

static struct status_pool *pool_row(char *base, uint32_t row)
{
	return (struct status_pool *)(void *)(base + STATUS_POOLS_AT) + (row - 1);
}

static struct status_session *session_row(char *base, uint32_t row)
{
	return (struct status_session *)(void *)(base + STATUS_SESSIONS_AT) + (row - 1);
}

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static void set_string(char *to, size_t size, const char *from)
{
	struct strbuf t;

	strbuf_init(&t, to, size);
	strbuf_str(&t, from);
}

/* ---- the page ---- */

/* For page_dir_tidy, which clears out pages of others. */
static bool holds_leases(int fd)
{
	struct status_head *head = scratch_take();
	bool holds = head != NULL &&
	             pread(fd, head, sizeof(*head), 0) == (ssize_t)sizeof(*head) &&
	             status_is_page(head) && head->acquired > head->released;

	scratch_give(head);
	return holds;
}

static void fill_head(struct status_head *head)
{
	head->version = STATUS_VERSION;
	head->pid = pid_self();
	head->created_us = clock_wall_us();
	head->created_ns = clock_monotonic_ns();
	memcpy(head->program, program_name, sizeof(head->program));
	memcpy(head->config, config_text, sizeof(head->config));
	for (unsigned i = 0; i < reason_count; i++) {
		set_string(head->reasons[i], sizeof(head->reasons[i]), reason_word(i));
	}
	memcpy(head->magic, STATUS_MAGIC, sizeof(head->magic));
}

static void set_rows(char *base, struct page_rows *area, uint32_t rows)
{
	uint32_t *told = area == &pools ? &head_of(base)->pools : &head_of(base)->sessions;

	atomic_store_explicit(&area->count, rows, memory_order_release);
	__atomic_store_n(told, rows, __ATOMIC_RELEASE);
}

/* Returns the errno of what could not be done, or 0. */
static int make_locked(void)
{
	int why = 0;
	char *base = page_file_make(&why);

	if (base == NULL) {
		return why;
	}
	if (!page_file_grow(0, STATUS_POOLS_AT + ROWS_BYTES) ||
	    !page_file_grow(STATUS_SESSIONS_AT, ROWS_BYTES) || !page_stacks_begin()) {
		why = errno;
		page_file_undo();
		return why;
	}
	fill_head(head_of(base));
	set_rows(base, &pools, ROWS_BYTES / pools.row_bytes);
	set_rows(base, &sessions, ROWS_BYTES / sessions.row_bytes);
	if (!page_file_show(holds_leases)) {
		why = errno;
		page_file_undo();
		return why;
	}
	owner = pid_self();
	atomic_store_explicit(&page, base, memory_order_release);
	return 0;
}

static void tell_none(int why)
{
	struct record r;

	if (record_begin(&r, LEVEL_DEBUG, "status")) {
		record_str(&r, "msg", "there will be no status page");
		record_str(&r, "error", strerrordesc_np(why));
		record_end(&r);
	}
}

/* The page, made if there is none yet; NULL: there will be none. */
static char *page_wanted(void)
{
	char *base = page_now();
	int why = 0;

	if (base != NULL) {
		return base;
	}
	lock_take(&page_lock);
	if (page_now() == NULL && !given_up) {
		why = make_locked();
		given_up = why != 0;
	}
	base = page_now();
	lock_drop(&page_lock);
	if (why != 0) {
		tell_none(why);
	}
	return base;
}

/* ---- rows ---- */

/* True if there are more rows than `before`. */
static bool grow_area(char *base, struct page_rows *area, uint32_t before)
{
	uint32_t rows;
	uint32_t more = ROWS_BYTES / area->row_bytes;

	lock_take(&page_lock);
	rows = atomic_load(&area->count);
	if (rows == before && rows + more <= area->max &&
	    page_file_grow(area->at + rows * area->row_bytes, ROWS_BYTES)) {
		rows += more;
		set_rows(base, area, rows);
	}
	lock_drop(&page_lock);
	return rows > before;
}

static uint32_t take_row(char *base, struct page_rows *area)
{
	uint32_t count;
	uint32_t row;

	do {
		count = atomic_load_explicit(&area->count, memory_order_acquire);
		row = page_rows_take(area, count);
	} while (row == 0 && grow_area(base, area, count));
	return row;
}

/* ---- pools ---- */

uint32_t status_take_pool(const char *label, uint32_t limit, uint32_t size)
{
	char *base = page_wanted();
	uint32_t row = base != NULL ? take_row(base, &pools) : 0;
	struct status_pool *pool;
	uint32_t odd;

	if (row == 0) {
		return 0;
	}
	pool = pool_row(base, row);
	odd = page_rows_begin(&pool->generation);
	memset((char *)pool + sizeof(odd), 0, sizeof(*pool) - sizeof(odd));
	pool->limit = limit;
	pool->size = size;
	set_string(pool->label, sizeof(pool->label), label);
	pool->state = STATUS_POOL_USED;
	page_rows_end(&pool->generation, odd);
	return row;
}

void status_free_pool(uint32_t row)
{
	char *base = page_now();
	uint32_t odd;

	if (row == 0 || base == NULL) {
		return;
	}
	odd = page_rows_begin(&pool_row(base, row)->generation);
	pool_row(base, row)->state = STATUS_POOL_FREE;
	page_rows_end(&pool_row(base, row)->generation, odd);
	page_rows_give(&pools, row);
}

void status_pool(uint32_t row, uint32_t in_use, uint32_t idle, uint32_t waiting)
{
	char *base = page_now();
	struct status_pool *pool;
	uint32_t odd;

	if (row == 0 || base == NULL) {
		return;
	}
	pool = pool_row(base, row);
	odd = page_rows_begin(&pool->generation);
	pool->in_use = in_use;
	pool->idle = idle;
	pool->waiting = waiting;
	if (in_use > pool->peak) {
		pool->peak = in_use;
	}
	page_rows_end(&pool->generation, odd);
}

void status_opened(uint32_t pool)
{
	char *base = page_now();

	if (pool != 0 && base != NULL) {
		count(&pool_row(base, pool)->opened, 1);
	}
}

void status_closed(uint32_t pool, unsigned reason)
{
	char *base = page_now();

	if (pool != 0 && base != NULL && reason < STATUS_REASONS) {
		count(&pool_row(base, pool)->closed[reason], 1);
	}
}

void status_waited(uint32_t pool, uint64_t ns, bool served)
{
	char *base = page_now();
	uint64_t us = ns / NS_PER_US;
	struct status_pool *row;
	uint64_t longest;

	if (pool == 0 || base == NULL) {
		return;
	}
	row = pool_row(base, pool);
	count(&row->waits, 1);
	count(&row->wait_us, us);
	if (!served) {
		count(&row->timeouts, 1);
	}
	longest = __atomic_load_n(&row->wait_max_us, __ATOMIC_RELAXED);
	while (longest < us &&
	       !__atomic_compare_exchange_n(&row->wait_max_us, &longest, us, true,
	                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
	}
}

/* ---- sessions ---- */

uint32_t status_take_session(uint64_t session, int backend_pid, uint32_t pool)
{
	char *base = page_wanted();
	uint32_t row = base != NULL ? take_row(base, &sessions) : 0;
	struct status_session *shown;
	uint32_t odd;

	if (row == 0) {
		return 0;
	}
	pool_of[row - 1] = pool;
	shown = session_row(base, row);
	odd = page_rows_begin(&shown->generation);
	shown->id = session;
	shown->backend = backend_pid;
	shown->pool = pool != 0 ? pool - 1 : STATUS_NO_POOL;
	shown->state = STATUS_SESSION_IDLE;
	page_rows_end(&shown->generation, odd);
	memset(said[row - 1], '\0', SAID_BYTES);
	return row;
}

static void set_state(struct status_session *shown, enum status_session_state state)
{
	uint32_t odd = page_rows_begin(&shown->generation);

	shown->state = state;
	page_rows_end(&shown->generation, odd);
}

void status_free_session(uint32_t row)
{
	char *base = page_now();

	if (row != 0 && base != NULL) {
		set_state(session_row(base, row), STATUS_SESSION_FREE);
		page_rows_give(&sessions, row);
	}
}

void status_lease_begun(uint32_t row, const struct status_lease *lease)
{
	char *base = page_now();
	struct status_session *shown;
	uint32_t odd;

	if (base == NULL) {
		return;
	}
	count(&head_of(base)->acquired, 1);
	if (row == 0) {
		count(&head_of(base)->untold, 1);
		return;
	}
	shown = session_row(base, row);
	odd = page_rows_begin(&shown->generation);
	shown->backend = lease->backend;
	shown->lease = lease->id;
	shown->began_us = lease->began_us;
	shown->began_ns = lease->began_ns;
	shown->wait_ns = lease->wait_ns;
	shown->tid = lease->tid;
	shown->stack = lease->stack;
	shown->transaction = STATUS_TRANSACTION_IDLE;
	shown->spoken = 0;
	shown->state = STATUS_SESSION_LEASED;
	page_rows_end(&shown->generation, odd);
	if (pool_of[row - 1] != 0) {
		count(&pool_row(base, pool_of[row - 1])->acquired, 1);
	}
}

void status_lease_ended(uint32_t row, uint64_t held_ns)
{
	char *base = page_now();
	uint32_t pool;

	if (base == NULL) {
		return;
	}
	count(&head_of(base)->released, 1);
	if (row == 0) {
		return;
	}
	set_state(session_row(base, row), STATUS_SESSION_IDLE);
	pool = pool_of[row - 1];
	if (pool != 0) {
		count(&pool_row(base, pool)->released, 1);
		count(&pool_row(base, pool)->held_us, held_ns / NS_PER_US);
	}
}

void status_statement(uint32_t row, const char *text)
{
	char *base = page_now();
	struct status_session *shown;
	char beginning[SAID_BYTES + 1];
	char *known;
	size_t n;
	uint32_t odd;

	if (row == 0 || base == NULL) {
		return;
	}
	shown = session_row(base, row);
	known = said[row - 1];
	n = strnlen(text, SAID_BYTES);
	if (memcmp(known, text, n) == 0 && (n == SAID_BYTES || known[n] == '\0')) {
		__atomic_store_n(&shown->spoken, 1, __ATOMIC_RELAXED);
		return;
	}
	memcpy(beginning, text, n);
	memset(beginning + n, '\0', sizeof(beginning) - n);
	memcpy(known, beginning, SAID_BYTES);
	odd = page_rows_begin(&shown->generation);
	headline(beginning, n == SAID_BYTES, shown->statement, sizeof(shown->statement));
	shown->spoken = 1;
	page_rows_end(&shown->generation, odd);
}

void status_transaction(uint32_t row, enum status_transaction transaction)
{
	char *base = page_now();

	if (row != 0 && base != NULL) {
		__atomic_store_n(&session_row(base, row)->transaction, (uint32_t)transaction,
		                 __ATOMIC_RELAXED);
	}
}

void status_backend(uint32_t row, int backend_pid)
{
	char *base = page_now();
	uint32_t odd;

	if (row != 0 && base != NULL) {
		odd = page_rows_begin(&session_row(base, row)->generation);
		session_row(base, row)->backend = backend_pid;
		page_rows_end(&session_row(base, row)->generation, odd);
	}
}

/* ---- stacks ---- */

void status_stack(uint32_t stack)
{
	char *base = page_now();
	uint64_t mask = UINT64_C(1) << (stack % WORD_BITS);
	atomic_uint_fast64_t *told;
	const struct stack *known;

	if (base == NULL || stack == 0 || stack > STACK_MAX) {
		return;
	}
	told = &stacks_told[stack / WORD_BITS];
	if ((atomic_load_explicit(told, memory_order_relaxed) & mask) != 0 ||
	    (atomic_fetch_or(told, mask) & mask) != 0) {
		return;
	}
	known = stack_get(stack);
	lock_take(&page_lock);
	if (known != NULL) {
		page_stacks_add(base, known);
	}
	lock_drop(&page_lock);
}

void status_given_back(uint32_t stack)
{
	char *base = page_now();

	if (base == NULL) {
		return;
	}
	lock_take(&page_lock);
	page_stacks_given_back(base, stack);
	lock_drop(&page_lock);
}

/* ---- the process ---- */

void status_remove(void)
{
	int saved_errno = errno;

	if (page_now() != NULL && owner == getpid()) {
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
	if (page_now() != NULL) {
		atomic_store(&page, NULL);
		page_file_leave();
		/* There is one thread. */
		memset((void *)pools_taken, 0, sizeof(pools_taken));
		memset((void *)sessions_taken, 0, sizeof(sessions_taken));
		memset((void *)stacks_told, 0, sizeof(stacks_told));
	}
	errno = saved_errno;
}
