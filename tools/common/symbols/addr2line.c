/* SPDX-License-Identifier: PostgreSQL */
/* addr2line(1) of binutils, asked for the source lines of one module. */
#include "common/symbols/addr2line.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/xalloc.h"

#define PROGRAM      "addr2line"
#define ANSWER_BYTES (64U << 20) /* more is no answer to a question of ours */

/* ---- the program ---- */

/* All questions in a file of no name, so that neither side waits for the other. */
static int make_questions(const uint64_t *offsets, size_t count)
{
	int fd = memfd_create("pqpool-addresses", MFD_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < count; i++) {
		if (dprintf(fd, "0x%" PRIx64 "\n", offsets[i]) < 0) {
			close(fd);
			return -1;
		}
	}
	if (fd >= 0) {
		lseek(fd, 0, SEEK_SET);
	}
	return fd;
}

/* Starts it; `*answers` is where to read. Returns an errno. */
static int start(const char *module, int questions, pid_t *pid, int *answers)
{
	/* -e's value is one whatever it begins with. */
	char *argv[] = {PROGRAM, "-a", "-f", "-i", "-C", "-e", (char *)module, NULL};
	posix_spawn_file_actions_t actions;
	int pipe_ends[2];
	int error;

	if (pipe2(pipe_ends, O_CLOEXEC) != 0) {
		return errno;
	}
	error = posix_spawn_file_actions_init(&actions);
	if (error == 0) {
		posix_spawn_file_actions_adddup2(&actions, questions, STDIN_FILENO);
		posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
		posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY,
		                                 0);
		error = posix_spawnp(pid, PROGRAM, &actions, NULL, argv, environ);
		posix_spawn_file_actions_destroy(&actions);
	}
	close(pipe_ends[1]);
	if (error != 0) {
		close(pipe_ends[0]);
		return error;
	}
	*answers = pipe_ends[0];
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct answer {
	char *text;
	size_t len;
	size_t size;
};

/* Reads to the end; false if that did not come in time, or never would. */
static bool read_answer(int fd, struct answer *answer, int64_t deadline_ms)
{
	for (;;) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		int64_t left = deadline_ms - now_ms();
		ssize_t n;

		if (left <= 0 || answer->len >= ANSWER_BYTES) {
			return false;
		}
		if (poll(&poll_fd, 1, (int)left) <= 0) {
			continue;
		}
		if (answer->size - answer->len < 4096) {
			answer->size = answer->size * 2 + 65536;
			answer->text = xalloc_resize(answer->text, answer->size, 1);
		}
		n = read(fd, answer->text + answer->len, answer->size - answer->len - 1);
		if (n > 0) {
			answer->len += (size_t)n;
		} else if (n == 0 || errno != EINTR) {
			return n == 0;
		}
	}
}

/* ---- its answers ---- */

/* Cuts the next line off; NULL at the end. */
static char *next_line(char **at)
{
	char *line = *at;
	char *newline = line != NULL ? strchr(line, '\n') : NULL;

	if (newline == NULL) {
		return NULL;
	}
	*newline = '\0';
	*at = newline + 1;
	return line;
}

static bool is_address(const char *line)
{
	return line != NULL && strncmp(line, "0x", 2) == 0 &&
	       line[2 + strspn(line + 2, "0123456789abcdef")] == '\0';
}

/* Takes "/src/app.c:12 (discriminator 3)" apart. */
static void take_place(struct source *source, char *place)
{
	char *colon = strrchr(place, ':');

	if (colon == NULL || strncmp(place, "??", 2) == 0) {
		return;
	}
	*colon = '\0';
	source->file = xalloc_copy(place, strlen(place));
	source->line = strtoul(colon + 1, NULL, 10);
}

static void add_source(struct sources *sources, const char *function, char *place)
{
	struct source *source;

	sources->all = xalloc_resize(sources->all, sources->count + 1, sizeof(*sources->all));
	source = &sources->all[sources->count++];
	*source = (struct source){0};
	if (strcmp(function, "??") != 0) {
		source->function = xalloc_copy(function, strlen(function));
	}
	take_place(source, place);
}

/* An address, then pairs of lines: a function, and the place in it. */
static void take_answer(char *text, const uint64_t *offsets, size_t count,
                        struct sources *found)
{
	char *line = next_line(&text);

	for (size_t i = 0; i < count; i++) {
		if (!is_address(line) || strtoull(line, NULL, 16) != offsets[i]) {
			return;
		}
		line = next_line(&text);
		while (line != NULL && !is_address(line)) {
			char *place = next_line(&text);

			if (place == NULL) {
				return;
			}
			add_source(&found[i], line, place);
			line = next_line(&text);
		}
	}
}

enum addr2line_outcome addr2line_ask(const char *module, const uint64_t *offsets, size_t count,
                                     struct sources *found, int timeout_ms)
{
	int64_t deadline_ms = now_ms() + timeout_ms;
	struct answer answer = {0};
	int questions = make_questions(offsets, count);
	enum addr2line_outcome outcome;
	pid_t pid;
	int answers = -1;
	bool whole;

	if (questions < 0) {
		return ADDR2LINE_FAILED;
	}
	if (start(module, questions, &pid, &answers) != 0) {
		close(questions);
		return ADDR2LINE_ABSENT;
	}
	close(questions);
	whole = read_answer(answers, &answer, deadline_ms);
	close(answers);
	outcome = whole ? ADDR2LINE_DONE
	                : (now_ms() >= deadline_ms ? ADDR2LINE_LATE : ADDR2LINE_FAILED);
	/* It has closed its output, or must not be waited for. */
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
	}
	if (answer.text != NULL) {
		answer.text[answer.len] = '\0';
		take_answer(answer.text, offsets, count, found);
	}
	free(answer.text);
	return outcome;
}

void addr2line_free(struct sources *sources)
{
	for (size_t i = 0; i < sources->count; i++) {
		free(sources->all[i].function);
		free(sources->all[i].file);
	}
	free(sources->all);
	*sources = (struct sources){0};
}
