/* SPDX-License-Identifier: PostgreSQL */
/* Gives the keeper a command. */
#include "keep/client.h"

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/exit_status.h"
#include "common/terminal_text.h"
#include "keep/message.h"
#include "keep/place.h"

/* A piece of text that may hold newlines, which terminal_text would escape. */
static void print(FILE *to, char *text)
{
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		terminal_text_put(to, line);
		putc('\n', to);
	}
}

/* Prints one message of the answer; false: that was the last one. */
static bool print_piece(int socket, int *status)
{
	struct pollfd wait = {.fd = socket, .events = POLLIN};
	struct keeper_answer said;
	struct message m;
	char *text = NULL;

	while (poll(&wait, 1, -1) < 0 && errno == EINTR) {
	}
	switch (message_receive(socket, &m)) {
	case MESSAGE_NONE:
		return true;
	case MESSAGE_CAME:
		if (m.type == KEEPER_ANSWER && message_take(&m, &said, sizeof(said)) &&
		    said.text_len == m.left) {
			text = message_take_text(&m, said.text_len);
		}
		break;
	default:
		break;
	}
	if (text == NULL) {
		warnx("the keeper gives no answer");
		*status = EXIT_FAILED;
		return false;
	}
	*status = said.failed ? EXIT_FAILED : *status;
	print(said.failed ? stderr : stdout, text);
	free(text);
	return said.more != 0;
}

int client_command(const char *path, const char *text)
{
	struct keeper_command said = {.text_len = (uint32_t)strlen(text)};
	struct iovec parts[] = {
		{NULL, 0}, {&said, sizeof(said)}, {(void *)text, said.text_len}};
	struct place place;
	int status = EXIT_FAILED;
	int socket = place_open(&place, path, false) ? place_connect(&place) : -1;

	if (socket >= 0 && message_send(socket, KEEPER_COMMAND, parts, 3, -1)) {
		status = 0;
		while (print_piece(socket, &status)) {
		}
	} else if (place.name != NULL) {
		warn("%s", place.path);
	}
	if (socket >= 0) {
		close(socket);
	}
	place_close(&place);
	return status;
}
