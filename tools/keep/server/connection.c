/* SPDX-License-Identifier: PostgreSQL */
/* The connections to the keeper. */
#include "keep/server/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/keeper/message.h"
#include "common/xalloc.h"
#include "keep/log.h"
#include "keep/pool/pool.h"
#include "keep/server/command.h"
#include "keep/settings.h"

#define ACCEPT_AGAIN_NS (100 * NS_PER_MS)
#define LOOK_AGAIN_NS   NS_PER_SEC
/* Longer texts are no one's. */
#define PROGRAM_MAX     255
#define LABEL_MAX       8192
#define PLACE_MAX       8192

/* One that is no member's: nothing was said yet, or it is a question's or a command's. */
struct connection {
	struct connection *prev, *next;
	struct watch watch;
	int socket;
	pid_t pid;
	bool asks;
	struct ask ask;
	struct command command;
};

static struct watch listening;
static int listener = -1;
static uint64_t accept_again_ns = DEADLINE_NEVER;
static int spare = -1; /* a descriptor for who cannot be served */
static bool full;      /* and the log has that */
static struct connection *connections;
static uint64_t accepted; /* ever */
static uint8_t secret[KEEPER_SECRET_LEN];

static struct connection *owner(void *part, size_t offset)
{
	return (struct connection *)((char *)part - offset);
}

static void free_connection(struct connection *connection)
{
	loop_unwatch(&connection->watch);
	DL_DELETE(connections, connection);
	command_free(&connection->command);
	pool_ring(&connection->ask);
	free(connection->ask.place);
	free(connection);
}

static void close_connection(struct connection *connection)
{
	int socket = connection->socket;

	free_connection(connection);
	close(socket);
}

/* ---- members ---- */

static void end_member(struct member *member)
{
	struct strbuf *line = log_line(LEVEL_DEBUG, "member_end");

	if (line != NULL) {
		log_u64(line, "member", (uint64_t)member->pid);
		log_end();
	}
	pool_inherit(member, clock_monotonic_ns());
	member_free(member);
}

static bool take_opened(struct member *member, struct message *m)
{
	struct keeper_opened opened;
	uint8_t *bytes;
	uint32_t n;
	char *label;

	if (!message_take(m, &opened, sizeof(opened)) || m->fd < 0 ||
	    opened.word >= KEEPER_WORDS || opened.label_len > LABEL_MAX ||
	    !session_record_is_sound(&opened.record, m->left)) {
		return false;
	}
	n = session_record_length(&opened.record);
	bytes = xalloc_new(n, 1);
	message_take(m, bytes, n);
	label = message_take_text(m, opened.label_len);
	if (label == NULL || m->left > 0) {
		free(label);
		free(bytes);
		return false;
	}
	if (pool_opened(pool_get(opened.digest, label), member, opened.word, m->fd,
	                &opened.record, bytes, clock_monotonic_ns())) {
		m->fd = -1;
	} else {
		/* It was closed meanwhile. */
		free(bytes);
	}
	free(label);
	loop_call_at(0);
	return true;
}

/* Reads all messages of a member; false: its connection is over. */
static bool read_member(struct member *member)
{
	for (;;) {
		struct message m;
		enum message_outcome outcome = message_receive(member->socket, &m);
		bool good = true;

		if (outcome != MESSAGE_CAME) {
			return outcome == MESSAGE_NONE;
		}
		if (m.type == KEEPER_OPENED) {
			good = take_opened(member, &m);
		} else if (m.type == KEEPER_NUDGE && m.left == 0) {
			pool_note_failed(member);
		} else if (m.type == KEEPER_BELL && m.left == 0 && m.fd >= 0) {
			/* It has its WELCOME. */
			shutdown(m.fd, SHUT_RD);
		} else {
			good = false;
		}
		if (m.fd >= 0) {
			close(m.fd);
		}
		if (!good) {
			return false;
		}
	}
}

static void member_ready(struct watch *watch)
{
	struct member *member =
		(struct member *)((char *)watch - offsetof(struct member, connection));

	if (read_member(member)) {
		pool_look_at(member, clock_monotonic_ns());
		return;
	}
	member_disconnect(member);
	if (member_lives(member)) {
		loop_call_at(0);
		/* It closes descriptors that it does not know: its words count until it ends.
		 */
		pool_look_at(member, clock_monotonic_ns());
	} else {
		end_member(member);
	}
}

static void member_died(struct watch *watch)
{
	struct member *member =
		(struct member *)((char *)watch - offsetof(struct member, death));

	/* What it said before it ended. */
	if (member->socket >= 0) {
		read_member(member);
	}
	end_member(member);
}

/* The connection becomes a member's, and is no connection any more. */
static void take_hello(struct connection *connection, struct message *m)
{
	struct keeper_hello hello;
	struct keeper_welcome welcome = {.size = settings.size,
	                                 .total = settings.total,
	                                 .timeout_ms =
	                                         (uint32_t)(settings.timeout_ns / NS_PER_MS)};
	struct iovec parts[] = {{NULL, 0}, {&welcome, sizeof(welcome)}};
	struct member *member = NULL;
	char *program = NULL;
	int page = -1;

	if (message_take(m, &hello, sizeof(hello)) && hello.program_len <= PROGRAM_MAX &&
	    hello.program_len == m->left) {
		program = message_take_text(m, hello.program_len);
	}
	if (program != NULL) {
		member = member_make(connection->pid, program, &page);
	}
	if (member == NULL) {
		close_connection(connection);
		return;
	}
	welcome.member = member->id;
	memcpy(welcome.secret, secret, sizeof(welcome.secret));
	member->socket = connection->socket;
	free_connection(connection);
	if (member_watch_death(member, member_died) &&
	    loop_watch(&member->connection, member->socket, member_ready) &&
	    message_send(member->socket, KEEPER_WELCOME, parts, 2, page)) {
		struct strbuf *line = log_line(LEVEL_DEBUG, "member");

		if (line != NULL) {
			log_u64(line, "member", (uint64_t)member->pid);
			pair_str(line, "of", member->program);
			log_end();
		}
	} else {
		member_free(member);
	}
	close(page);
}

/* ---- questions ---- */

static void ask_failed(struct ask *ask)
{
	close_connection(owner(ask, offsetof(struct connection, ask)));
}

static void take_ask(struct connection *connection, struct message *m)
{
	struct ask *ask = &connection->ask;
	const struct member *member = NULL;
	struct keeper_ask said;
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t wait_ns;
	char *label = NULL;

	if (message_take(m, &said, sizeof(said)) && said.word < KEEPER_WORDS &&
	    said.label_len <= LABEL_MAX && said.place_len <= PLACE_MAX) {
		label = message_take_text(m, said.label_len);
	}
	if (label != NULL) {
		ask->place = message_take_text(m, said.place_len);
		member = member_find(said.member);
	}
	/* What is lent is written into the member's page: no other process may ask for that. */
	if (ask->place == NULL || m->left > 0 || member == NULL ||
	    member->pid != connection->pid) {
		free(label);
		close_connection(connection);
		return;
	}
	wait_ns = said.timeout_ms * NS_PER_MS;
	connection->asks = true;
	ask->member = said.member;
	ask->word = said.word;
	ask->pings = said.ping != 0;
	ask->socket = connection->socket;
	ask->failed = ask_failed;
	ask->refused_ns =
		now_ns + (wait_ns < settings.timeout_ns ? wait_ns : settings.timeout_ns);
	pool_ask(pool_get(said.digest, label), ask, now_ns);
	free(label);
}

/* ---- all of them ---- */

static void take_message(struct connection *connection, struct message *m)
{
	char *text = NULL;
	struct keeper_command said;

	switch (m->type) {
	case KEEPER_HELLO:
		take_hello(connection, m);
		return;
	case KEEPER_ASK:
		take_ask(connection, m);
		return;
	case KEEPER_COMMAND:
		if (message_take(m, &said, sizeof(said)) && said.text_len == m->left) {
			text = message_take_text(m, said.text_len);
		}
		break;
	default:
		break;
	}
	if (text == NULL) {
		close_connection(connection);
		return;
	}
	if (!command_run(&connection->command, connection->socket, text)) {
		close_connection(connection);
	} else if (command_has_output(&connection->command)) {
		loop_watch_output(&connection->watch);
	}
	free(text);
}

/* What was read of one that is watched. */
static void heard(struct connection *connection, enum message_outcome outcome,
                  struct message *m)
{
	switch (outcome) {
	case MESSAGE_NONE:
		return;
	case MESSAGE_CAME:
		if (connection->asks && m->type == KEEPER_BELL && m->left == 0 && m->fd >= 0) {
			pool_bell(&connection->ask, m->fd);
			return;
		}
		if (m->fd >= 0) {
			close(m->fd);
		}
		if (!connection->asks && m->fd < 0 && connection->command.awaits == NULL) {
			take_message(connection, m);
			return;
		}
		break;
	default:
		break;
	}
	if (connection->asks) {
		pool_withdraw(&connection->ask, clock_monotonic_ns());
	}
	close_connection(connection);
}

static void connection_ready(struct watch *watch)
{
	struct connection *connection = owner(watch, offsetof(struct connection, watch));
	struct message m;

	if (command_has_output(&connection->command)) {
		if (!command_write(&connection->command, connection->socket)) {
			close_connection(connection);
		}
		return;
	}
	heard(connection, message_receive(connection->socket, &m), &m);
}

/* Mostly it has said something by now. A member's is watched as that. */
static void take_in(struct connection *connection)
{
	struct message m = {.fd = -1};
	enum message_outcome outcome = message_receive(connection->socket, &m);

	if (outcome == MESSAGE_CAME && m.type == KEEPER_HELLO && m.fd < 0) {
		take_hello(connection, &m);
	} else if (loop_watch(&connection->watch, connection->socket, connection_ready)) {
		heard(connection, outcome, &m);
	} else {
		if (outcome == MESSAGE_CAME && m.fd >= 0) {
			close(m.fd);
		}
		close_connection(connection);
	}
}

static bool is_ours(int socket, pid_t *pid)
{
	struct ucred other;
	socklen_t n = sizeof(other);

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &other, &n) != 0) {
		return false;
	}
	*pid = other.pid;
	return other.uid == geteuid();
}

static void hold_spare(void)
{
	spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/*
 * There is no descriptor for who comes. In the backlog it would be waited for as one that is
 * slow; whose connection ends goes on alone at once. False: not even the spare one was there.
 */
static bool turn_away(int listening_fd)
{
	struct strbuf *line;
	int socket;

	if (spare < 0) {
		return false;
	}
	close(spare);
	socket = accept4(listening_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (socket >= 0) {
		close(socket);
	}
	/* The log needs it, too. */
	line = full ? NULL : log_line(LEVEL_ERROR, "status");
	full = true;
	if (line != NULL) {
		pair_str(line, "msg",
		         "no descriptor is free (RLIMIT_NOFILE): programs that come "
		         "now do not share");
		log_end();
	}
	hold_spare();
	return true;
}

static void accept_one(struct watch *watch)
{
	struct connection *connection;
	pid_t pid;
	int socket = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (socket < 0) {
		if ((errno == EMFILE || errno == ENFILE) && turn_away(watch->fd)) {
			return;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			loop_unwatch(watch);
			accept_again_ns = clock_monotonic_ns() + ACCEPT_AGAIN_NS;
			loop_call_at(accept_again_ns);
		}
		return;
	}
	full = false;
	if (!is_ours(socket, &pid)) {
		close(socket);
		return;
	}
	accepted++;
	connection = xalloc_new(1, sizeof(*connection));
	connection->socket = socket;
	connection->pid = pid;
	connection->watch.fd = -1;
	connection->ask.bell = -1;
	DL_APPEND(connections, connection);
	take_in(connection);
}

bool connections_begin(int socket)
{
	listener = socket;
	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret)) {
		return false;
	}
	hold_spare();
	members_adopt(member_died);
	loop_call_at(0);
	return loop_watch(&listening, listener, accept_one);
}

/* Members of whom there is only a page: it may have been given up without an event. */
static void look_at_pages(uint64_t now_ns)
{
	struct member *member = members_all();

	while (member != NULL) {
		struct member *next_member = member->hh.next;

		if (member->socket < 0) {
			if (member_lives(member) && !member_is_over(member)) {
				loop_call_at(now_ns + LOOK_AGAIN_NS);
			} else {
				end_member(member);
			}
		}
		member = next_member;
	}
}

void connections_due(uint64_t now_ns)
{
	struct connection *connection;
	struct connection *next;

	if (now_ns >= accept_again_ns) {
		accept_again_ns = DEADLINE_NEVER;
		loop_watch(&listening, listener, accept_one);
	}
	look_at_pages(now_ns);
	DL_FOREACH_SAFE (connections, connection, next) {
		if (connection->command.awaits != NULL &&
		    !command_look(&connection->command, connection->socket)) {
			close_connection(connection);
		}
	}
}

bool connections_were_quiet(void)
{
	static uint64_t seen;
	bool quiet = connections == NULL && members_all() == NULL && seen == accepted;

	seen = accepted;
	return quiet;
}

void connections_end(void)
{
	loop_unwatch(&listening);
	while (connections != NULL) {
		if (connections->asks) {
			pool_leave(&connections->ask);
		}
		close_connection(connections);
	}
	members_end();
}
