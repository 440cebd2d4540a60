/* SPDX-License-Identifier: PostgreSQL */
/* From the log's lines to the list of what is still held. */
#include "common/leases/lease_lines.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

/*
 * Where several threads begin at once, the lines of others come before event=config: of the
 * first moments of a process, in which starting may have to wait for a file system.
 */
#define CONFIG_LATE_US 10000000

static bool has_word(const struct log_line *line, const char *key, const char *word)
{
	const char *value = log_line_get(line, key);

	return value != NULL && strcmp(value, word) == 0;
}

/* `*kept` becomes a copy of the pair's value, if there is one. */
static void keep(char **kept, const struct log_line *line, const char *key)
{
	const char *value = log_line_get(line, key);

	if (value != NULL) {
		free(*kept);
		*kept = xalloc_copy(value, strlen(value));
	}
}

/* Takes over what a line with a lease on it tells of that. */
static void take_details(struct lease_list *list, struct held *held,
                         const struct log_line *line)
{
	const char *pool = log_line_get(line, "pool");

	log_line_u64(line, "session", &held->session);
	log_line_i64(line, "backend", &held->backend);
	log_line_i64(line, "thread", &held->thread);
	log_line_u64(line, "hold_us", &held->hold_us);
	if (pool != NULL) {
		held->pool = lease_list_word(list, pool);
	}
	if (has_word(line, "pooled", "no")) {
		held->pooled = false;
	}
	keep(&held->transaction, line, "transaction");
	keep(&held->statement, line, "statement");
}

/* The same for lines that name the stack which took the lease. */
static void take_origin(struct held *held, const struct log_line *line)
{
	log_line_u64(line, "stack", &held->stack);
	keep(&held->script, line, "script");
}

/*
 * A child that got an old pid, and does not tell its configuration as a new program does.
 * Returns the process that it is.
 */
static struct process *succeed(struct lease_list *list, struct process *process,
                               uint64_t now_us)
{
	struct owner owner = process->owner;
	const char *program = process->program;

	lease_list_end_process(list, process);
	process = lease_list_process(list, owner);
	process->program = program;
	process->first_us = now_us;
	process->last_us = now_us;
	return process;
}

/* Its thread goes on, so that it was no end of the process that released these. */
static void forget_late(struct process *process, int64_t thread)
{
	struct held *held;
	struct held *next;

	HASH_ITER (hh, process->held, held, next) {
		if (held->holding == HOLDING_RELEASED_BY_EXIT && held->thread == thread) {
			process->late--;
			lease_list_forget(process, held);
		}
	}
}

/* Returns the process that takes it: another one if the number has been there. */
static struct process *take_acquire(struct lease_list *list, struct process *process,
                                    uint64_t lease, uint64_t now_us,
                                    const struct log_line *line)
{
	struct held *held = lease_list_find(process, lease);

	if (held != NULL) {
		process = succeed(list, process, now_us); /* numbers do not come twice */
	}
	held = lease_list_add(process, lease);
	held->began_us = now_us;
	log_line_i64(line, "tid", &held->thread);
	if (process->late > 0) {
		forget_late(process, held->thread);
	}
	take_details(list, held, line);
	take_origin(held, line);
	if (held->script != NULL) {
		lease_list_note_script(process, held->stack,
		                       lease_list_word(list, held->script));
	}
	process->acquired++;
	return process;
}

static void take_release(struct lease_list *list, struct process *process, uint64_t lease,
                         const struct log_line *line)
{
	struct held *held = lease_list_find(process, lease);

	process->released++;
	if (held == NULL) {
		return; /* taken before the log begins */
	}
	if (has_word(line, "at_exit", "yes")) {
		take_details(list, held, line);
		held->holding = HOLDING_RELEASED_BY_EXIT;
		process->late++;
	} else if (held->holding == HOLDING_OPEN) {
		if (!has_word(line, "reason", "broken")) {
			lease_list_note_given_back(process, held->stack);
		}
		lease_list_forget(process, held);
	}
}

/* What the process says at its end of a lease that it holds. */
static enum holding last_word(const char *event, const struct log_line *line)
{
	if (strcmp(event, "kept") == 0) {
		return HOLDING_KEPT;
	}
	if (has_word(line, "suppressed", "yes")) {
		return HOLDING_SUPPRESSED;
	}
	return has_word(line, "kind", "released_by_exit") ? HOLDING_RELEASED_BY_EXIT
	       : has_word(line, "kind", "never_finished") ? HOLDING_NEVER_FINISHED
	                                                  : HOLDING_NEVER_RELEASED;
}

static void take_last_word(struct lease_list *list, struct process *process, uint64_t lease,
                           const char *event, uint64_t now_us, const struct log_line *line)
{
	struct held *held = lease_list_find(process, lease);

	if (held == NULL) {
		held = lease_list_add(process, lease);
	}
	held->holding = last_word(event, line);
	held->said = true;
	take_details(list, held, line);
	take_origin(held, line);
	if (held->began_us == 0 && held->hold_us < now_us) {
		held->began_us = now_us - held->hold_us;
	}
	process->ended = true;
}

static struct process *take_lease(struct lease_list *list, struct process *process,
                                  const char *event, uint64_t now_us,
                                  const struct log_line *line)
{
	uint64_t lease;
	struct held *held;

	if (!log_line_u64(line, "lease", &lease)) {
		return process;
	}
	held = lease_list_find(process, lease);
	if (strcmp(event, "acquire") == 0) {
		return take_acquire(list, process, lease, now_us, line);
	}
	if (strcmp(event, "release") == 0) {
		take_release(list, process, lease, line);
	} else if (strcmp(event, "leak") == 0 || strcmp(event, "kept") == 0) {
		take_last_word(list, process, lease, event, now_us, line);
	} else if (held != NULL && strcmp(event, "given_away") == 0) {
		lease_list_forget(process, held);
	} else if (held != NULL) {
		take_details(list, held, line);
	}
	return process;
}

static struct process *take_stack(struct lease_list *list, struct process *process,
                                  uint64_t now_us, const struct log_line *line)
{
	const char *texts[LEASE_LIST_TEXTS] = {
		log_line_get(line, "frames"), log_line_get(line, "build_ids"),
		log_line_get(line, "script"), log_line_get(line, "script_frames")};
	uint64_t stack;
	const struct place *place;

	if (!log_line_u64(line, "stack", &stack)) {
		return process;
	}
	place = lease_list_place(list, texts);
	if (!lease_list_number(process, stack, place)) {
		process = succeed(list, process, now_us);
		lease_list_number(process, stack, place);
	}
	return process;
}

static uint64_t number(const struct log_line *line, const char *key)
{
	uint64_t value = 0;

	log_line_u64(line, key, &value);
	return value;
}

static void take_totals(struct lease_list *list, const struct log_line *line)
{
	struct totals *all = &list->totals;
	const char *reasons = log_line_get(line, "reasons");
	uint64_t peak = number(line, "peak");
	uint64_t longest_us = number(line, "longest_us");

	all->processes++;
	all->opened += number(line, "opened");
	all->closed += number(line, "closed");
	all->reasons = reasons != NULL ? lease_list_word(list, reasons) : NULL;
	if (peak > all->peak) {
		all->peak = peak;
		all->limit = number(line, "limit");
	}
	all->waits += number(line, "waits");
	all->longest_us = longest_us > all->longest_us ? longest_us : all->longest_us;
	all->timeouts += number(line, "timeouts");
}

/* The process that this line is of: another one than before if a new program begins. */
static struct process *process_of(struct lease_list *list, struct owner owner,
                                  const char *event, uint64_t now_us)
{
	struct process *process = lease_list_process(list, owner);

	if (strcmp(event, "config") == 0) {
		if (process->first_us != 0 && (process->configured || process->replaced ||
		                               now_us > process->first_us + CONFIG_LATE_US)) {
			lease_list_end_process(list, process);
			process = lease_list_process(list, owner);
		}
		process->configured = true;
	}
	if (process->first_us == 0) {
		process->first_us = now_us;
	}
	return process;
}

const struct process *lease_lines_take(struct lease_list *list, unsigned family,
                                       const struct log_line *line)
{
	const char *event = log_line_get(line, "event");
	const char *program = log_line_get(line, "program");
	struct owner owner = {.family = family};
	struct process *process;
	uint64_t now_us;
	uint64_t lost;

	if (event == NULL || program == NULL || !log_line_time_us(line, &now_us) ||
	    !log_line_i64(line, "pid", &owner.pid)) {
		return NULL;
	}
	process = process_of(list, owner, event, now_us);
	process->last_us = now_us > process->last_us ? now_us : process->last_us;
	process->program = lease_list_word(list, program);
	process->replaced = strcmp(event, "exec") == 0;
	process->lost += log_line_u64(line, "lost", &lost) ? lost : 0;
	if (strcmp(event, "stack") == 0) {
		return take_stack(list, process, now_us, line);
	}
	if (strcmp(event, "totals") == 0) {
		take_totals(list, line);
		return process;
	}
	return take_lease(list, process, event, now_us, line);
}
