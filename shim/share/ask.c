/* SPDX-License-Identifier: PostgreSQL */
/* Asks the keeper. */
#include "share/ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "share/find_keeper.h"
#include "share/packet.h"
#include "share/start_record.h"

bool ask_take(struct ask *ask, struct member *member)
{
	int word = member_take_word(member);

	ask->member = NULL;
	if (word < 0) {
		return false;
	}
	ask->word = (unsigned)word;
	ask->fd = -1;
	ask->member = member;
	if (ask_may_note_place(ask)) {
		/* Of the last question for this word. */
		member->page->places[word][0] = '\0';
	}
	return true;
}

static uint32_t milliseconds(uint64_t ns)
{
	return ns / NS_PER_MS < UINT32_MAX ? (uint32_t)(ns / NS_PER_MS) : UINT32_MAX;
}

bool ask_send(struct ask *ask, const struct ask_question *question)
{
	const struct member *member = ask->member;
	struct keeper_ask message = {
		.member = member->number,
		.word = ask->word,
		.timeout_ms = milliseconds(question->timeout_ns),
		.ping = question->ping,
		.label_len = (uint32_t)strlen(question->label),
		.place_len = (uint32_t)strlen(question->place),
	};
	const struct packet_part parts[] = {{&message, sizeof(message)},
	                                    {question->label, message.label_len},
	                                    {question->place, message.place_len}};

	memcpy(message.digest, question->digest, sizeof(message.digest));
	ask->fd = keeper_connect(&member->address);
	/* If its keeper has just ended, ask_read finds that. */
	if (ask->fd < 0 || (!packet_send(ask->fd, KEEPER_ASK, parts, 3, -1, 0) &&
	                    errno != EPIPE && errno != ECONNRESET)) {
		ask_drop(ask);
		return false;
	}
	return true;
}

/* The first byte last: who reads it before finds it empty, as it was. */
void ask_note_place(const struct ask *ask, const char *place)
{
	size_t len = strnlen(place, KEEPER_PLACE_BYTES - 1);
	char *at;

	if (ask->member == NULL || !member_is_mine(ask->member) || !ask_may_note_place(ask)) {
		return;
	}
	at = ask->member->page->places[ask->word];
	if (len > 0) {
		memcpy(at + 1, place + 1, len - 1);
		at[len] = '\0';
		atomic_thread_fence(memory_order_release);
		*(volatile char *)at = place[0];
	}
}

static void close_copy(struct ask *ask)
{
	if (ask->fd >= 0) {
		close(ask->fd);
		ask->fd = -1;
	}
}

/* A child that another thread forked meanwhile may have a copy, of which nobody knows. */
static void hang_up(struct ask *ask)
{
	if (ask->fd >= 0) {
		shutdown(ask->fd, SHUT_RDWR);
	}
	close_copy(ask);
}

static bool take_lend(struct ask *ask, struct packet *packet, struct ask_reply *reply)
{
	/* Its number is low: the program's next socket is to have it, as it has bare. */
	packet->fd = packet->fd >= 0 ? fd_move_up(packet->fd) : -1;
	if (packet->fd < 0 || !start_record_is_whole(packet->body, packet->len) ||
	    (reply->record = malloc(packet->len)) == NULL) {
		return false;
	}
	memcpy(reply->record, packet->body, packet->len);
	if (!member_move(ask->member, ask->word, KEEPER_WORD_OFFERED, KEEPER_WORD_LEASED, 0)) {
		free(reply->record);
		reply->record = NULL;
		return false;
	}
	reply->server = packet->fd;
	packet->fd = -1;
	return true;
}

static bool take_refuse(const struct packet *packet, struct ask_reply *reply)
{
	struct keeper_refuse refuse;

	if (packet->len < sizeof(refuse)) {
		return false;
	}
	memcpy(&refuse, packet->body, sizeof(refuse));
	if (refuse.text_len > packet->len - sizeof(refuse)) {
		return false;
	}
	reply->text = strndup((const char *)packet->body + sizeof(refuse), refuse.text_len);
	return reply->text != NULL;
}

static enum ask_answer understand(struct ask *ask, struct packet *packet,
                                  struct ask_reply *reply)
{
	switch (packet->type) {
	case KEEPER_WAIT:
		return ASK_WAITING;
	case KEEPER_LEND:
		return take_lend(ask, packet, reply) ? ASK_LENT : ASK_UNANSWERED;
	case KEEPER_ROOM:
		return member_word(ask->member, ask->word) == KEEPER_WORD_ROOM ? ASK_ROOM
		                                                               : ASK_UNANSWERED;
	case KEEPER_REFUSE:
		return take_refuse(packet, reply) ? ASK_REFUSED : ASK_UNANSWERED;
	default:
		return ASK_UNANSWERED;
	}
}

enum ask_answer ask_read(struct ask *ask, struct ask_reply *reply)
{
	enum ask_answer answer = ASK_UNANSWERED;
	struct packet packet;

	*reply = (struct ask_reply){.server = -1};
	if (!member_is_mine(ask->member)) {
		/* A handler forked meanwhile, and this is the child. */
		ask_fork_child(ask);
		return ASK_UNANSWERED;
	}
	switch (packet_receive(ask->fd, &packet)) {
	case PACKET_EMPTY:
		return ASK_NOTHING_YET;
	case PACKET_HERE:
		member_note_answer();
		answer = understand(ask, &packet, reply);
		packet_end(&packet);
		break;
	case PACKET_BROKEN:
		answer = ASK_ENDED;
		break;
	}
	if (answer == ASK_LENT || answer == ASK_ROOM) {
		hang_up(ask);
	} else if (answer != ASK_WAITING) {
		ask_drop(ask);
	}
	return answer;
}

bool ask_bell(int fd, int bell)
{
	return packet_send(fd, KEEPER_BELL, NULL, 0, bell, 0);
}

void ask_drop(struct ask *ask)
{
	struct member *member = ask->member;

	if (member == NULL || !member_is_mine(member)) {
		return;
	}
	ask->member = NULL;
	hang_up(ask);
	/* What the keeper offered it takes back, as the connection is closed. */
	if (member_move(member, ask->word, KEEPER_WORD_ROOM, KEEPER_WORD_GONE, 0) ||
	    member_move(member, ask->word, KEEPER_WORD_LEASED, KEEPER_WORD_GONE, 0)) {
		member_nudge(member);
	}
	member_leave_word(member, ask->word, MEMBER_UNUSED);
}

void ask_return(struct ask *ask)
{
	struct member *member = ask->member;

	ask->member = NULL;
	if (member_move(member, ask->word, KEEPER_WORD_LEASED, KEEPER_WORD_IDLE, 0)) {
		member_nudge(member);
	}
	member_leave_word(member, ask->word, MEMBER_LEFT);
}

void ask_fork_child(struct ask *ask)
{
	if (ask->member != NULL) {
		close_copy(ask);
		ask->member = NULL;
	}
}
