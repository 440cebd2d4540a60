/* SPDX-License-Identifier: PostgreSQL */
/* Gives the keeper a command. */
#include "common/keeper/command.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/keeper/message.h"

#define SHOW_SECONDS 2

enum piece { PIECE_MORE, PIECE_LAST, PIECE_BAD };

/* Writes one message of the answer to `to`. */
static enum piece take_piece(int socket, int seconds, bool *failed, FILE *to)
{
	struct pollfd wait = {.fd = socket, .events = POLLIN};
	struct keeper_answer said;
	struct message m;

	for (;;) {
		int n = poll(&wait, 1, seconds < 0 ? -1 : seconds * 1000);
		enum message_outcome outcome;

		if (n == 0) {
			errno = ETIMEDOUT;
			return PIECE_BAD;
		}
		outcome = n > 0 ? message_receive(socket, &m) : MESSAGE_NONE;
		if (outcome == MESSAGE_CAME) {
			break;
		}
		if (outcome != MESSAGE_NONE) {
			errno = EPROTO;
			return PIECE_BAD;
		}
	}
	if (m.fd >= 0) {
		close(m.fd);
	}
	if (m.type != KEEPER_ANSWER || !message_take(&m, &said, sizeof(said)) ||
	    said.text_len != m.left || memchr(m.at, '\0', m.left) != NULL) {
		errno = EPROTO;
		return PIECE_BAD;
	}
	fwrite(m.at, 1, m.left, to);
	*failed = said.failed != 0;
	return said.more != 0 ? PIECE_MORE : PIECE_LAST;
}

static char *take_answer(int socket, int seconds, bool *failed)
{
	char *answer = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&answer, &size);
	enum piece piece = PIECE_BAD;

	if (to == NULL) {
		return NULL;
	}
	do {
		piece = take_piece(socket, seconds, failed, to);
	} while (piece == PIECE_MORE);
	if (fclose(to) != 0 || piece == PIECE_BAD) {
		int saved_errno = errno;

		free(answer);
		errno = saved_errno;
		return NULL;
	}
	return answer;
}

char *keeper_execute(const struct keeper_place *place, const char *text, int seconds,
                     bool *failed)
{
	struct keeper_command said = {.text_len = (uint32_t)strlen(text)};
	struct iovec parts[] = {
		{NULL, 0}, {&said, sizeof(said)}, {(void *)text, said.text_len}};
	int socket = place_connect(place);
	char *answer = NULL;
	int saved_errno;

	if (socket < 0) {
		return NULL;
	}
	if (message_send(socket, KEEPER_COMMAND, parts, 3, -1)) {
		answer = take_answer(socket, seconds, failed);
	}
	saved_errno = errno;
	close(socket);
	errno = saved_errno;
	return answer;
}

char *keeper_show(void)
{
	struct keeper_place place;
	bool failed = false;
	char *answer = NULL;

	if (place_open(&place, NULL, false)) {
		answer = keeper_execute(&place, "show", SHOW_SECONDS, &failed);
	}
	place_close(&place);
	if (failed) {
		free(answer);
		answer = NULL;
	}
	return answer;
}
