/* SPDX-License-Identifier: PostgreSQL */
/* The commands that the keeper answers. */
#include "keep/server/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "common/keeper/message.h"
#include "common/xalloc.h"
#include "keep/log.h"
#include "keep/loop.h"
#include "keep/pool/pool.h"
#include "keep/pool/show.h"
#include "keep/pool/upkeep.h"
#include "keep/settings.h"

#define PIECE_BYTES   32768
#define WAIT_AGAIN_NS (50 * NS_PER_MS)

static void answer(struct command *command, char *text)
{
	command->text = text;
	command->length = strlen(text);
}

static void answer_text(struct command *command, const char *text)
{
	answer(command, xalloc_copy(text, strlen(text)));
}

static void answer_error(struct command *command, const char *text)
{
	command->failed = true;
	answer_text(command, text);
}

/* ---- each of them ---- */

static void note_complaint(void *arg, const char *line)
{
	struct command *command = arg;

	if (command->text == NULL) {
		answer_error(command, line);
	}
}

static void run_show(struct command *command, const char *rest)
{
	(void)rest; /* it is empty */
	answer(command, show_all(clock_monotonic_ns()));
}

static void run_set(struct command *command, const char *rest)
{
	if (settings_change(rest, note_complaint, command)) {
		pools_serve(clock_monotonic_ns());
		answer_text(command, "");
	}
}

static void run_drain(struct command *command, const char *rest)
{
	uint64_t now_ns = clock_monotonic_ns();
	char text[64];
	char *end;
	long pid = strtol(rest, &end, 10);
	unsigned count;

	if (rest[0] == '\0') {
		answer_error(command, "drain what? a PID, a pool's name, or all");
		return;
	}
	if (strcmp(rest, "all") == 0) {
		count = upkeep_drain(NULL, -1, now_ns);
	} else if (*end == '\0' && pid > 0) {
		count = upkeep_drain(NULL, (pid_t)pid, now_ns);
	} else {
		count = upkeep_drain(rest, -1, now_ns);
	}
	snprintf(text, sizeof(text), "drained=%u\n", count);
	answer_text(command, text);
}

static void set_pause(struct command *command, bool paused)
{
	pools_are_paused = paused;
	pools_serve(clock_monotonic_ns());
	answer_text(command, "");
}

static void run_pause(struct command *command, const char *rest)
{
	(void)rest; /* it is empty */
	set_pause(command, true);
}

static void run_resume(struct command *command, const char *rest)
{
	(void)rest; /* it is empty */
	set_pause(command, false);
}

static void answer_when(struct command *command, bool (*awaited)(void))
{
	if (awaited()) {
		answer_text(command, "");
	} else {
		command->awaits = awaited;
		loop_call_at(clock_monotonic_ns() + WAIT_AGAIN_NS);
	}
}

static void run_wait(struct command *command, const char *rest)
{
	(void)rest; /* it is empty */
	answer_when(command, upkeep_is_drained);
}

static void run_room(struct command *command, const char *rest)
{
	(void)rest; /* it is empty */
	if (upkeep_make_room(clock_monotonic_ns()) > 0) {
		answer_when(command, upkeep_has_ended);
	} else {
		answer_error(command, "nothing is idle");
	}
}

static const struct {
	const char *name;
	void (*run)(struct command *command, const char *rest);
	bool takes_words;
} commands[] = {
	{"show", run_show, false},   {"set", run_set, true},        {"drain", run_drain, true},
	{"pause", run_pause, false}, {"resume", run_resume, false}, {"wait", run_wait, false},
	{"room", run_room, false},
};

bool command_exists(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

/* ---- on the connection ---- */

bool command_run(struct command *command, int socket, const char *text)
{
	size_t name = strcspn(text, " ");
	struct strbuf *line = log_line(LEVEL_INFO, "command");

	if (line != NULL) {
		pair_str(line, "msg", text);
		log_end();
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strlen(commands[i].name) == name &&
		    strncmp(commands[i].name, text, name) == 0) {
			const char *rest = text + name + (text[name] == ' ');

			if (rest[0] != '\0' && !commands[i].takes_words) {
				/* Who names a process means that one, and not all. */
				answer_error(command,
				             "this command takes no words: it is for all "
				             "processes that share");
				return command_write(command, socket);
			}
			commands[i].run(command, rest);
			return command->text == NULL || command_write(command, socket);
		}
	}
	answer_error(command, "no command of the keeper's");
	return command_write(command, socket);
}

bool command_has_output(const struct command *command)
{
	return command->text != NULL;
}

/* Whole lines. */
static size_t piece_length(const char *text, size_t left)
{
	const char *end = left > PIECE_BYTES ? memrchr(text, '\n', PIECE_BYTES) : NULL;

	return end != NULL ? (size_t)(end + 1 - text) : left;
}

bool command_write(struct command *command, int socket)
{
	do {
		size_t left = command->length - command->written;
		size_t n = piece_length(command->text + command->written, left);
		struct keeper_answer said = {
			.more = n < left, .failed = command->failed, .text_len = (uint32_t)n};
		struct iovec parts[] = {{NULL, 0},
		                        {&said, sizeof(said)},
		                        {command->text + command->written, n}};

		if (!message_send(socket, KEEPER_ANSWER, parts, 3, -1)) {
			return errno == EAGAIN;
		}
		command->written += n;
	} while (command->written < command->length);
	return false;
}

bool command_look(struct command *command, int socket)
{
	if (!command->awaits()) {
		loop_call_at(clock_monotonic_ns() + WAIT_AGAIN_NS);
		return true;
	}
	answer_text(command, "");
	command->awaits = NULL;
	return command_write(command, socket);
}

void command_free(struct command *command)
{
	free(command->text);
}
