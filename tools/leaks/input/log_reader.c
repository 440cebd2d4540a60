/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reads logs, line by line, into the list of what is still held.
 *
 * Of each process: acquire opens a lease; release and given_away close it; leak, kept, and
 * release with at_exit=yes, say that it was never closed in time. What is open when all
 * is read is up to the caller: the process may live. After exec it does not, whatever has
 * its pid: unless it says something after that, for then the exec failed.
 *
 * A torn line, and one that others wrote, is skipped. Where a whole line stands behind a
 * torn one, or behind what syslog puts before it, it is found by its beginning.
 */
#include "leaks/input/log_reader.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log_line.h"
#include "common/xalloc.h"

#define BUFFER_BYTES ((size_t)256 * 1024)
/* Much longer than any line of a log with its prefix: what is longer is none. */
#define LINE_BYTES   ((size_t)64 * 1024)
#define LINE_BEGINS  "time="
/* How often the beginning of a line is looked for in one. */
#define BEGINNINGS   8

/* ---- what the lines mean ---- */

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

static void take_acquire(struct lease_list *list, struct process *process, uint64_t lease,
                         uint64_t now_us, const struct log_line *line)
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
	process->acquired++;
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

static void take_lease(struct lease_list *list, struct process *process, const char *event,
                       uint64_t now_us, const struct log_line *line)
{
	uint64_t lease;
	struct held *held;

	if (!log_line_u64(line, "lease", &lease)) {
		return;
	}
	held = lease_list_find(process, lease);
	if (strcmp(event, "acquire") == 0) {
		take_acquire(list, process, lease, now_us, line);
	} else if (strcmp(event, "release") == 0) {
		take_release(list, process, lease, line);
	} else if (strcmp(event, "leak") == 0 || strcmp(event, "kept") == 0) {
		take_last_word(list, process, lease, event, now_us, line);
	} else if (held == NULL) {
		return;
	} else if (strcmp(event, "given_away") == 0) {
		lease_list_forget(process, held);
	} else {
		take_details(list, held, line);
	}
}

static void take_stack(struct lease_list *list, struct process *process, uint64_t now_us,
                       const struct log_line *line)
{
	const char *texts[LEASE_LIST_TEXTS] = {
		log_line_get(line, "frames"), log_line_get(line, "build_ids"),
		log_line_get(line, "script"), log_line_get(line, "script_frames")};
	uint64_t stack;
	const struct place *place;

	if (!log_line_u64(line, "stack", &stack)) {
		return;
	}
	place = lease_list_place(list, texts);
	if (!lease_list_number(process, stack, place)) {
		lease_list_number(succeed(list, process, now_us), stack, place);
	}
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

/* False if it is not a line of ours, however well it is written. */
static bool take_line(struct lease_list *list, unsigned family, const struct log_line *line)
{
	const char *event = log_line_get(line, "event");
	const char *program = log_line_get(line, "program");
	struct owner owner = {.family = family};
	struct process *process;
	uint64_t now_us;
	uint64_t lost;

	if (event == NULL || program == NULL || !log_line_time_us(line, &now_us) ||
	    !log_line_i64(line, "pid", &owner.pid)) {
		return false;
	}
	process = lease_list_process(list, owner);
	if (strcmp(event, "config") == 0 && process->first_us != 0) {
		lease_list_end_process(list, process);
		process = lease_list_process(list, owner);
	}
	if (process->first_us == 0) {
		process->first_us = now_us;
	}
	process->last_us = now_us > process->last_us ? now_us : process->last_us;
	process->program = lease_list_word(list, program);
	process->replaced = strcmp(event, "exec") == 0;
	process->lost += log_line_u64(line, "lost", &lost) ? lost : 0;
	if (strcmp(event, "stack") == 0) {
		take_stack(list, process, now_us, line);
	} else if (strcmp(event, "totals") == 0) {
		take_totals(list, line);
	} else {
		take_lease(list, process, event, now_us, line);
	}
	return true;
}

/* ---- lines ---- */

static void note_format(struct log_reader *reader, const struct log_line *line)
{
	uint64_t format;

	if (has_word(line, "event", "config") && log_line_u64(line, "format", &format) &&
	    format > reader->format) {
		reader->format = format;
	}
}

static void take_text(struct log_reader *reader, unsigned family, char *text)
{
	char *at = strstr(text, LINE_BEGINS);
	bool torn = at == NULL;

	reader->lines++;
	for (int i = 0; at != NULL && i < BEGINNINGS; i++) {
		char *next = strstr(at + 1, LINE_BEGINS);
		char *copy = next != NULL ? xalloc_copy(at, strlen(at)) : NULL;
		struct log_line line;

		/* Taking it apart spoils it, and there may be another beginning. */
		if (log_line_parse(&line, copy != NULL ? copy : at) &&
		    take_line(reader->list, family, &line)) {
			note_format(reader, &line);
			next = NULL;
		} else {
			torn = true;
		}
		free(copy);
		at = next;
	}
	reader->skipped += torn;
}

/* Bytes read and not yet taken: [begin, end) of the buffer. */
struct window {
	char *buffer;
	size_t begin;
	size_t end;
	bool inside_long; /* what comes next belongs to a line that is too long */
};

static void take_lines(struct log_reader *reader, unsigned family, struct window *window)
{
	for (;;) {
		char *line = window->buffer + window->begin;
		char *newline = memchr(line, '\n', window->end - window->begin);
		size_t n = newline != NULL ? (size_t)(newline - line) : 0;

		if (newline == NULL) {
			return;
		}
		window->begin += n + 1;
		if (window->inside_long || n > LINE_BYTES || memchr(line, '\0', n) != NULL) {
			window->inside_long = false;
			reader->lines++;
			reader->skipped++;
			continue;
		}
		*newline = '\0';
		take_text(reader, family, line);
	}
}

/* What is left is the beginning of a line: it goes to the front, or away if too long. */
static void move_rest(struct window *window)
{
	size_t rest = window->end - window->begin;

	if (window->inside_long || rest > LINE_BYTES) {
		window->inside_long = true;
		rest = 0;
	}
	memmove(window->buffer, window->buffer + window->begin, rest);
	window->begin = 0;
	window->end = rest;
}

static bool read_file(struct log_reader *reader, const struct log_file *file, char *buffer)
{
	struct window window = {.buffer = buffer};

	for (;;) {
		ssize_t n = read(file->fd, buffer + window.end, BUFFER_BYTES - window.end);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			warn("%s", file->name);
			return false;
		}
		if (n == 0) {
			break;
		}
		window.end += (size_t)n;
		take_lines(reader, file->family, &window);
		move_rest(&window);
	}
	if (window.end > 0 || window.inside_long) {
		reader->lines++;
		reader->skipped++; /* without its newline: cut off by a death */
	}
	return true;
}

bool log_reader_read(struct log_reader *reader, const struct log_files *files)
{
	char *buffer = xalloc_new(BUFFER_BYTES, 1);
	bool good = true;

	for (size_t i = 0; i < files->count && good; i++) {
		good = read_file(reader, &files->all[i], buffer);
	}
	free(buffer);
	return good;
}
