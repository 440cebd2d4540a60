/* SPDX-License-Identifier: PostgreSQL */
/* Gives the keeper a command, and prints its answer. */
#include "keep/client.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/exit_status.h"
#include "common/keeper/command.h"
#include "common/terminal_text.h"

/* Lines, whose newlines terminal_text would escape. */
static void print(FILE *to, char *text)
{
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		terminal_text_put(to, line);
		putc('\n', to);
	}
}

int client_command(const char *path, const char *text)
{
	struct keeper_place place;
	bool failed = false;
	char *answer = NULL;

	if (place_open(&place, path, false)) {
		answer = keeper_execute(&place, text, -1, &failed);
	}
	if (answer != NULL) {
		print(failed ? stderr : stdout, answer);
	} else {
		place_complain(&place);
		failed = true;
	}
	place_close(&place);
	free(answer);
	return failed ? EXIT_FAILED : 0;
}

int client_words(const char *path, int count, const char *const *words)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	int status;

	if (to == NULL) {
		return EXIT_FAILED;
	}
	for (int i = 0; i < count; i++) {
		fprintf(to, "%s%s", i > 0 ? " " : "", words[i]);
	}
	fclose(to);
	status = client_command(path, text);
	free(text);
	return status;
}
