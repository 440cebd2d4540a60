/* SPDX-License-Identifier: PostgreSQL */
/*
 * Messages to the keeper and from it, one a packet (keeper_protocol.h). Nothing here waits but
 * what says so.
 */
#ifndef PQPOOL_SHARE_PACKET_H
#define PQPOOL_SHARE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cold.h"
#include "share/keeper_protocol.h"

/* A part of a message. */
struct packet_part {
	const void *bytes;
	size_t len;
};

#define PACKET_PARTS_MAX 4

/*
 * Sends a message of these parts, with the descriptor `fd` unless it is -1. Waits for
 * `patience_ns` if the keeper does not read. False: it could not, see errno.
 */
COLD bool packet_send(int to, enum keeper_type type, const struct packet_part *parts,
                      size_t count, int fd, uint64_t patience_ns);

struct packet {
	uint32_t type;
	const uint8_t *body; /* behind the head */
	size_t len;          /* of that */
	int fd;              /* that came with it, with a low number; -1 */
	void *memory;
};

/* EMPTY: nothing has come. BROKEN: the other end is closed, or said what no keeper says. */
enum packet_outcome { PACKET_HERE, PACKET_EMPTY, PACKET_BROKEN };

/* Takes the next message; only PACKET_HERE leaves something to be ended. */
COLD enum packet_outcome packet_receive(int from, struct packet *packet);
/* Frees its memory, and closes its descriptor unless that was taken out (-1). */
COLD void packet_end(struct packet *packet);

#endif
