/* SPDX-License-Identifier: PostgreSQL */
/*
 * Messages of shim/share/keeper_protocol.h: one packet each, with a descriptor or without.
 *
 * Nothing here waits. What comes from outside is checked: version, length, that the texts are
 * within, that there is not more than one descriptor.
 */
#ifndef PQPOOL_TOOLS_COMMON_KEEPER_MESSAGE_H
#define PQPOOL_TOOLS_COMMON_KEEPER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "share/keeper_protocol.h"

/* A message that came; it lasts until the next one. */
struct message {
	enum keeper_type type;
	const uint8_t *at; /* what was not taken yet */
	size_t left;
	int fd; /* the receiver's, to be closed or kept; -1: none came */
};

enum message_outcome { MESSAGE_CAME, MESSAGE_NONE, MESSAGE_END, MESSAGE_BAD };

/* Receives one. MESSAGE_END: the other side closed. MESSAGE_BAD: no message of ours. */
enum message_outcome message_receive(int socket, struct message *m);

/* Takes the next `n` bytes as they are into `to`; false: the message is shorter. */
bool message_take(struct message *m, void *to, size_t n);

/* Takes `n` bytes of text, malloc'ed, with a NUL behind them; NULL: shorter, or a NUL in it. */
char *message_take_text(struct message *m, uint32_t n);

/*
 * Sends a message of these parts, of which parts[0] is left for the head, and `fd` with it,
 * unless it is -1. False: it could not be sent at once.
 */
bool message_send(int socket, enum keeper_type type, struct iovec *parts, int count, int fd);

#endif
