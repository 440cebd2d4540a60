/* SPDX-License-Identifier: PostgreSQL */
/* From the log's lines to the history. */
#include "common/history/history_lines.h"

#include <stdlib.h>
#include <string.h>

#include "common/history/marks.h"
#include "common/leases/lease_lines.h"
#include "common/xalloc.h"

/* It has sessions, and no leases: those are in the logs of the programs. */
#define KEEPER       "pqpool-keep"
#define LATE_US      1000000
#define SIZE_MOST    10000 /* of PQPOOL_SIZE and PQPOOL_MAX_OVERFLOW */
#define OTHER_POOLS  "(other pools)"
#define UNKNOWN_POOL "(unknown)"

/* A lease or session that is not over. Without padding: the key is hashed as it lies. */
struct open_key {
	uint64_t process;
	uint64_t number;
	uint64_t is_session;
};

struct history_open {
	struct open_key key;
	size_t index; /* in the history's array */
	UT_hash_handle hh;
};

/* What a program's processes were told last. */
struct history_config {
	const char *program; /* a word of the list's: there is one of each */
	struct history_settings settings;
	UT_hash_handle hh;
};

/* A line, and whose it is. */
struct told {
	const struct log_line *line;
	const struct process *of;
	size_t process;
	const char *event;
	uint64_t now_us;
};

static bool is_event(const struct told *told, const char *event)
{
	return strcmp(told->event, event) == 0;
}

static bool has_word(const struct told *told, const char *key, const char *word)
{
	const char *value = log_line_get(told->line, key);

	return value != NULL && strcmp(value, word) == 0;
}

static uint64_t value_of(const struct told *told, const char *key, uint64_t otherwise)
{
	uint64_t value;

	return log_line_u64(told->line, key, &value) && value < HISTORY_LARGEST ? value
	                                                                        : otherwise;
}

/* ---- what is open -------------------------------------------------------------------- */

static struct history_open *find_open(const struct history *history, struct open_key key)
{
	struct history_open *open;

	HASH_FIND(hh, history->open, &key, sizeof(key), open);
	return open;
}

static void set_open(struct history *history, struct open_key key, size_t index)
{
	struct history_open *open = find_open(history, key);

	if (open == NULL) {
		open = xalloc_new(1, sizeof(*open));
		open->key = key;
		HASH_ADD(hh, history->open, key, sizeof(key), open);
		xalloc_added(open->hh.tbl);
	}
	open->index = index;
}

static void set_over(struct history *history, struct open_key key)
{
	struct history_open *open = find_open(history, key);

	if (open != NULL) {
		HASH_DEL(history->open, open);
		free(open);
	}
}

void history_lines_end(struct history *history)
{
	struct history_open *open;
	struct history_open *next;

	HASH_ITER (hh, history->open, open, next) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the next is not freed */
		HASH_DEL(history->open, open);
		free(open);
	}
}

/* ---- processes and pools ------------------------------------------------------------- */

static const struct history_settings *last_settings(const struct history *history,
                                                    const char *program)
{
	const struct history_config *config;

	HASH_FIND_PTR(history->configs, &program, config);
	return config != NULL ? &config->settings : NULL;
}

static void note_process(struct history *history, const struct told *told)
{
	const struct history_settings *last;
	struct history_process *process;

	while (history->process_count <= told->process) {
		history->processes = xalloc_grow(history->processes, history->process_count,
		                                 sizeof(*history->processes));
		history->processes[history->process_count++] = (struct history_process){0};
	}
	process = &history->processes[told->process];
	if (process->program == NULL) {
		process->pid = told->of->owner.pid;
		last = last_settings(history, told->of->program);
		if (last != NULL) {
			process->settings = *last;
		}
	}
	process->program = told->of->program;
	process->first_us = told->of->first_us;
	process->last_us = told->of->last_us;
	if (history->from_us == 0 || told->now_us < history->from_us) {
		history->from_us = told->now_us;
	}
	if (told->now_us > history->to_us) {
		history->to_us = told->now_us;
	}
}

static void take_config(struct history *history, const struct told *told)
{
	struct history_process *process = &history->processes[told->process];
	struct history_settings settings = {.known = true};
	struct history_config *config;

	if (!log_line_u64(told->line, "size", &settings.size) ||
	    !log_line_i64(told->line, "max_overflow", &settings.max_overflow) ||
	    settings.size > SIZE_MOST || settings.max_overflow < -1 ||
	    settings.max_overflow > SIZE_MOST) {
		return;
	}
	settings.shared =
		log_line_get(told->line, "share") != NULL && !has_word(told, "share", "off");
	settings.timeout_us = value_of(told, "timeout_ms", 0) * 1000;
	process->settings = settings;
	HASH_FIND_PTR(history->configs, &process->program, config);
	if (config == NULL) {
		config = xalloc_new(1, sizeof(*config));
		config->program = process->program;
		HASH_ADD_PTR(history->configs, program, config);
		xalloc_added(config->hh.tbl);
	}
	config->settings = settings;
}

static size_t add_pool(struct history *history, const char *name, bool pooled)
{
	struct history_pool *pool = xalloc_new(1, sizeof(*pool));

	pool->name = lease_list_word(&history->held, name);
	pool->pooled = pooled;
	HASH_ADD_KEYPTR(hh, history->pools_by_name, pool->name, strlen(pool->name), pool);
	xalloc_added(pool->hh.tbl);
	pool->number = history->pool_count;
	history->pools[history->pool_count++] = pool;
	return pool->number;
}

static size_t pool_of(struct history *history, const struct told *told)
{
	const char *name = log_line_get(told->line, "pool");
	struct history_pool *pool;

	name = name != NULL ? name : UNKNOWN_POOL;
	HASH_FIND(hh, history->pools_by_name, name, strlen(name), pool);
	if (pool == NULL && history->pool_count >= HISTORY_POOLS) {
		name = OTHER_POOLS;
		HASH_FIND(hh, history->pools_by_name, name, strlen(name), pool);
	}
	return pool != NULL ? pool->number
	                    : add_pool(history, name, !has_word(told, "pooled", "no"));
}

/* ---- sessions ------------------------------------------------------------------------ */

static struct open_key key_of_session(const struct told *told)
{
	return (struct open_key){told->process, value_of(told, "session", 0), 1};
}

static struct history_session *add_session(struct history *history, const struct told *told)
{
	struct history_session *session;

	history->sessions = xalloc_grow(history->sessions, history->session_count,
	                                sizeof(*history->sessions));
	set_open(history, key_of_session(told), history->session_count);
	session = &history->sessions[history->session_count++];
	*session = (struct history_session){.process = told->process,
	                                    .pool = pool_of(history, told),
	                                    .session = value_of(told, "session", 0),
	                                    .opened_us = HISTORY_UNKNOWN,
	                                    .took_us = HISTORY_UNKNOWN,
	                                    .closed_us = HISTORY_UNKNOWN};
	log_line_i64(told->line, "backend", &session->backend);
	return session;
}

/* The session that the line is about; made if no line before told of it. */
static struct history_session *session_of(struct history *history, const struct told *told)
{
	const struct history_open *open = find_open(history, key_of_session(told));

	return open != NULL ? &history->sessions[open->index] : add_session(history, told);
}

static void take_session(struct history *history, const struct told *told)
{
	struct history_session *session;

	if (is_event(told, "session_close")) {
		const char *reason = log_line_get(told->line, "reason");

		history->closed++;
		session = session_of(history, told);
		session->closed_us = told->now_us;
		session->reason =
			reason != NULL ? lease_list_word(&history->held, reason) : NULL;
		set_over(history, key_of_session(told));
		return;
	}
	session = add_session(history, told);
	session->opened_us = told->now_us;
	session->took_us = value_of(told, "took_us", HISTORY_UNKNOWN);
	session->borrowed = is_event(told, "session_borrow");
	history->opened += !session->borrowed;
	history->borrowed += session->borrowed;
}

/* ---- leases -------------------------------------------------------------------------- */

static struct history_lease *add_lease(struct history *history, size_t process, uint64_t lease)
{
	struct history_lease *added;

	history->leases =
		xalloc_grow(history->leases, history->lease_count, sizeof(*history->leases));
	set_open(history, (struct open_key){process, lease, 0}, history->lease_count);
	added = &history->leases[history->lease_count++];
	*added = (struct history_lease){.process = process,
	                                .lease = lease,
	                                .acquired_us = HISTORY_UNKNOWN,
	                                .wait_us = HISTORY_UNKNOWN,
	                                .query_us = HISTORY_UNKNOWN,
	                                .transaction_us = HISTORY_UNKNOWN,
	                                .end = HISTORY_OPEN};
	return added;
}

struct history_lease *history_lines_find(struct history *history, size_t process,
                                         uint64_t lease)
{
	const struct history_open *open =
		find_open(history, (struct open_key){process, lease, 0});

	return open != NULL ? &history->leases[open->index] : NULL;
}

/* What any line with a lease on it may tell. */
static void take_details(struct history *history, struct history_lease *lease,
                         const struct told *told)
{
	const char *statement = log_line_get(told->line, "statement");
	const char *transaction = log_line_get(told->line, "transaction");
	uint64_t stack = value_of(told, "stack", 0);

	if (lease->session == 0) {
		lease->session = value_of(told, "session", 0);
		lease->pool = pool_of(history, told);
	}
	lease->hold_us = value_of(told, "hold_us", lease->hold_us);
	lease->query_us = value_of(told, "query_us", lease->query_us);
	lease->transaction_us = value_of(told, "transaction_us", lease->transaction_us);
	log_line_i64(told->line, "thread", &lease->thread);
	if (statement != NULL) {
		lease->statement = lease_list_word(&history->held, statement);
	}
	if (transaction != NULL) {
		lease->transaction = lease_list_word(&history->held, transaction);
	}
	if (lease->acquired_us == HISTORY_UNKNOWN) {
		lease->acquired_us =
			told->now_us > lease->hold_us ? told->now_us - lease->hold_us : 0;
	}
	/* A release names where it was given back. */
	if (lease->place == NULL && stack != 0 && !is_event(told, "release") &&
	    !is_event(told, "misuse")) {
		const char *script = log_line_get(told->line, "script");

		lease->place = lease_list_place_of(told->of, stack);
		lease->script = script != NULL ? lease_list_word(&history->held, script) : NULL;
	}
}

/*
 * A line is written a moment after what it tells of: the lease began at the latest when the
 * line of its end has it. Much more than a moment is a clock that was set.
 */
static void correct_beginning(struct history_lease *lease, uint64_t now_us)
{
	uint64_t began_us = now_us > lease->hold_us ? now_us - lease->hold_us : 0;

	if (began_us < lease->acquired_us && lease->acquired_us - began_us < LATE_US) {
		lease->acquired_us = began_us;
	}
}

static void take_acquire(struct history *history, const struct told *told, uint64_t number_of)
{
	struct history_lease *lease = add_lease(history, told->process, number_of);
	struct history_session *session = session_of(history, told);

	lease->acquired_us = told->now_us;
	take_details(history, lease, told);
	log_line_i64(told->line, "tid", &lease->thread);
	lease->wait_us = value_of(told, "wait_us", HISTORY_UNKNOWN);
	lease->queued_us = value_of(told, "queued_us", 0);
	lease->opened =
		!session->used && !session->borrowed && session->opened_us != HISTORY_UNKNOWN;
	session->used = true;
	session->leases++;
	history->pools[lease->pool]->acquired++;
	history->acquired++;
}

static void take_lease(struct history *history, const struct told *told, uint64_t lease)
{
	const struct open_key key = {told->process, lease, 0};
	struct history_lease *found;

	if (is_event(told, "acquire")) {
		take_acquire(history, told, lease);
		return;
	}
	if (is_event(told, "misuse")) {
		return; /* it is over */
	}
	if (is_event(told, "long_hold_ended") && find_open(history, key) == NULL) {
		return;
	}
	found = history_lines_find(history, told->process, lease);
	if (found == NULL) {
		found = add_lease(history, told->process, lease);
	}
	take_details(history, found, told);
	if (is_event(told, "given_away")) {
		found->end = HISTORY_GIVEN_AWAY;
		found->hold_us = told->now_us > found->acquired_us
		                         ? told->now_us - found->acquired_us
		                         : 0;
		set_over(history, key);
	} else if (is_event(told, "release")) {
		history->released++;
		found->end = HISTORY_RELEASED;
		correct_beginning(found, told->now_us);
		found->dropped = has_word(told, "kept", "no");
		if (!has_word(told, "at_exit", "yes")) {
			set_over(history, key);
		}
	}
}

/* ---- pools --------------------------------------------------------------------------- */

static void take_pool(struct history *history, const struct told *told)
{
	size_t number_of = pool_of(history, told);
	struct history_pool *pool = history->pools[number_of];
	uint64_t limit = value_of(told, "limit", 0);

	if (limit > pool->limit_seen && limit <= 2 * SIZE_MOST) {
		pool->limit_seen = limit;
	}
	if (is_event(told, "wait")) {
		pool->waits++;
		history->waits++;
	} else if (is_event(told, "timeout")) {
		history->timeouts = xalloc_grow(history->timeouts, history->timeout_count,
		                                sizeof(*history->timeouts));
		history->timeouts[history->timeout_count++] = (struct history_timeout){
			told->process, number_of, told->now_us, value_of(told, "wait_us", 0)};
	}
	marks_take(history, number_of, told->event, told->now_us, told->line);
}

bool history_lines_take(struct history *history, unsigned family, const struct log_line *line)
{
	struct told told = {.line = line, .of = lease_lines_take(&history->held, family, line)};
	uint64_t lease;

	if (told.of == NULL) {
		return false;
	}
	told.process = told.of->number;
	told.event = log_line_get(line, "event");
	log_line_time_us(line, &told.now_us);
	note_process(history, &told);
	history->lost_lines += value_of(&told, "lost", 0);
	if (strcmp(told.of->program, KEEPER) == 0) {
		return true;
	}
	if (is_event(&told, "config")) {
		take_config(history, &told);
	} else if (is_event(&told, "session_open") || is_event(&told, "session_borrow") ||
	           is_event(&told, "session_close")) {
		take_session(history, &told);
	} else if (log_line_u64(line, "lease", &lease)) {
		take_lease(history, &told, lease);
		marks_take(history, HISTORY_NO_POOL, told.event, told.now_us, line);
	} else if (log_line_get(line, "pool") != NULL) {
		take_pool(history, &told);
	} else {
		marks_take(history, HISTORY_NO_POOL, told.event, told.now_us, line);
	}
	return true;
}
