/* SPDX-License-Identifier: PostgreSQL */
/*
 * A file of patterns for leaks, and the frames of a script that they are compared with. Input:
 * a count and that many bytes of frames; the file.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bytes.h"
/* The text and the patterns stay, there; here they must go. */
#define fd_read_text read_text
#include "trace/report/suppressions.c" /* NOLINT(bugprone-suspicious-include) */

static struct stack *stack;
static char *text_read;

char *fd_read_text(const char *path, size_t max)
{
	(void)max;
	text_read = strndup(path, max);
	return text_read;
}

/* Takes the place of the shim's in this program. */
const struct stack *stack_get(uint32_t id)
{
	return id == 1 ? stack : NULL;
}

static unsigned complaints;

static void hear(void *arg, const char *line)
{
	(void)arg;
	require(strncmp(line, "pqpool: ", 8) == 0 && strchr(line, '\n') == NULL);
	complaints++;
}

static char *copy_text(const struct bytes *b)
{
	char *copy = calloc(b->left + 1, 1);

	require(copy != NULL);
	memcpy(copy, b->at, b->left);
	return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};
	struct bytes taken = take_bytes(&b, take_byte(&b));
	char *frames = copy_text(&taken);
	char *path = copy_text(&b); /* the file is its own name here */
	bool all;

	stack = calloc(1, sizeof(*stack));
	require(stack != NULL);
	stack->script_frames = frames;
	complaints = 0;
	suppress_load(path, hear, NULL);
	/* A bad file hides nothing. */
	require(complaints == 0 || (suppress_file() == NULL && !suppress_matches(1)));
	all = count > 0 && patterns[0].subjects == ANY && strcmp(patterns[0].glob, "*") == 0;
	require(suppress_matches(1) || !all || strspn(frames, " ") == strlen(frames));
	require(!suppress_matches(2));
	if (complaints == 0) {
		free(text_read);
	}
	free(patterns);
	patterns = NULL;
	count = 0;
	file = NULL;
	free(stack);
	free(frames);
	free(path);
	return 0;
}
