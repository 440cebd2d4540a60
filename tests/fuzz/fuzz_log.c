/* SPDX-License-Identifier: PostgreSQL */
/*
 * Logs that anybody may have written, and what the tools take from them. Input: 0 and a log; or
 * a value, which is written as the shim writes it and must be read as it was.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/text/logfmt.h"
#include "bytes.h"
#include "common/leases/lease_lines.h"
#include "common/log/log_line.h"
#include "common/log/log_lines.h"
#include "common/replay/what_if.h"
#include "common/symbols/call_frames.h"
/* For struct word, and what the history has open. */
#include "common/history/history_lines.c" /* NOLINT(bugprone-suspicious-include) */
#include "common/leases/lease_list.c"     /* NOLINT(bugprone-suspicious-include) */

static void free_processes(struct lease_list *list)
{
	struct process *process;
	struct process *next;

	DL_FOREACH_SAFE (list->all, process, next) {
		struct held *held;
		struct held *next_held;

		HASH_ITER (hh, process->held, held, next_held) {
			lease_list_forget(process, held);
		}
		forget_numbers(process);
		free(process);
	}
}

/* The tool does not: it ends. */
static void free_list(struct lease_list *list)
{
	struct place *place;
	struct place *next_place;
	struct word *word;
	struct word *next_word;

	HASH_CLEAR(hh, list->by_pid);
	free_processes(list);
	HASH_ITER (hh, list->places, place, next_place) {
		HASH_DEL(list->places, place);
		free((char *)(uintptr_t)place->frames);
		free(place);
	}
	HASH_ITER (hh, list->words, word, next_word) {
		HASH_DEL(list->words, word);
		free(word);
	}
}

static void take_apart(const struct place *place)
{
	const char *script = place->script_frames;
	struct script_frame frame;
	struct frames frames;

	frames_parse(&frames, place->frames, place->build_ids);
	require(frames.count <= FRAMES_MAX);
	frames_free(&frames);
	while (frames_next_script(&script, &frame)) {
		frames_free_script(&frame);
	}
}

static void free_history(struct history *history)
{
	struct history_config *config;
	struct history_config *next;

	HASH_CLEAR(hh, history->pools_by_name);
	HASH_ITER (hh, history->configs, config, next) {
		HASH_DEL(history->configs, config);
		free(config);
	}
	for (size_t i = 0; i < history->pool_count; i++) {
		free(history->pools[i]);
	}
	for (size_t kind = 0; kind < MARK_KINDS; kind++) {
		for (size_t i = 0; i < history->marks[kind].count; i++) {
			free(history->marks[kind].all[i].text);
		}
		free(history->marks[kind].all);
	}
	free(history->processes);
	free(history->leases);
	free(history->sessions);
	free(history->timeouts);
	free_list(&history->held);
}

static void replay(const struct history *history)
{
	for (size_t pool = 0; pool < history->pool_count; pool++) {
		struct what_if rows[WHAT_IF_ROWS];
		struct pool_trace trace;

		pool_trace_make(&trace, history, pool);
		if (trace.count > 0) {
			what_if_around(&trace, rows);
			require(rows[0].limit < rows[WHAT_IF_ROWS - 1].limit);
			require(what_if_smallest(&trace, what_if_wait(&trace)) <= trace.count);
		}
		pool_trace_free(&trace);
	}
}

static bool take_line(void *history, unsigned family, const struct log_line *line)
{
	return history_lines_take(history, family, line);
}

static void read_log(const struct bytes *b)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct log_file file = {.name = (char[]){"log"}, .fd = fd};
	struct log_files files = {&file, 1};
	struct history history = {0};
	struct log_lines lines = {.take = take_line, .arg = &history};

	require(fd >= 0 && write(fd, b->at, b->left) == (ssize_t)b->left &&
	        lseek(fd, 0, SEEK_SET) == 0);
	require(log_lines_read_open(&lines, &files));
	require(file.unread <= file.lines);
	history_settle(&history);
	replay(&history);
	for (const struct place *place = history.held.places; place != NULL;
	     place = place->hh.next) {
		take_apart(place);
	}
	close(fd);
	free_history(&history);
}

/* However it is quoted, and whatever it says: nobody can forge a pair or a line by it. */
static void write_and_read(const struct bytes *b)
{
	size_t room = 4 * b->left + 64;
	char *value = calloc(b->left + 1, 1);
	char *text = malloc(room);
	struct log_line line;
	struct strbuf t;

	require(value != NULL && text != NULL);
	memcpy(value, b->at, b->left);
	strbuf_init(&t, text, room);
	strbuf_str(&t, "before=1 value=");
	logfmt_value(&t, value);
	strbuf_str(&t, " after=\"2\"");
	require(strchr(text, '\n') == NULL && log_line_parse(&line, text) && line.count == 3);
	require(strcmp(log_line_get(&line, "value"), value) == 0 &&
	        strcmp(log_line_get(&line, "after"), "2") == 0);
	free(value);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};

	if (take_byte(&b) == 0) {
		read_log(&b);
	} else {
		write_and_read(&b);
	}
	return 0;
}
