/* SPDX-License-Identifier: PostgreSQL */
/*
 * The keeper, whole but for its command line, and processes that say anything to it. Input: a
 * row of operations on some connections; a message has a good head, its type, and bytes of the
 * input or of a pattern in which the member and word are right. At the end of an input all
 * connections close, and nothing of them may be left.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "bytes.h"
#include "keep/log.h"
#include "keep/loop.h"
#include "keep/pool/member.h"
#include "keep/pool/pool.h"
#include "keep/pool/upkeep.h"
#include "keep/server/connection.h"
#include "keep/settings.h"

#define CONNECTIONS 6
/* How often a ready descriptor is served before the loop ends. */
#define TURNS       12

static struct client {
	int socket; /* -1: none */
	uint64_t member;
	struct keeper_page *page;
} clients[CONNECTIONS];

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static struct watch stop;
static unsigned turns;

static void end_turn(struct watch *watch)
{
	(void)watch;
	if (++turns >= TURNS) {
		loop_end();
	}
}

/* How much later it is for the keeper's upkeep than it really is. */
static uint64_t ahead_ns;

static void due(uint64_t now_ns)
{
	upkeep_due(now_ns + ahead_ns);
	connections_due(now_ns + ahead_ns);
}

static void run_keeper(void)
{
	turns = 0;
	loop_call_at(0);
	loop_run(due);
}

static char folder[PATH_MAX];

static void remove_folder(void)
{
	unlink(address.sun_path);
	rmdir(folder);
}

static void begin(void)
{
	const char *where = getenv("TMPDIR");
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int dir;

	snprintf(folder, sizeof(folder), "%s/pqpool-fuzz.XXXXXX",
	         where != NULL ? where : "/tmp");
	require(mkdtemp(folder) != NULL);
	require(snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/s", folder) > 0);
	atexit(remove_folder);
	dir = open(folder, O_RDONLY | O_DIRECTORY);
	settings = (struct settings){.size = 2,
	                             .total = 3,
	                             .timeout_ns = DEADLINE_NEVER / 4,
	                             .recycle_ns = UINT64_MAX,
	                             .idle_timeout_ns = UINT64_MAX,
	                             .ping_timeout_ns = DEADLINE_NEVER / 4};
	settings.config.log = "/dev/null";
	log_begin(&settings.config);
	members_begin(dir, "fuzz");
	require(loop_begin() && loop_watch(&stop, eventfd(1, EFD_CLOEXEC), end_turn));
	require(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	        listen(listener, 64) == 0 && connections_begin(listener));
	for (int i = 0; i < CONNECTIONS; i++) {
		clients[i].socket = -1;
	}
}

/* ---- what a process does ---- */

static void hang_up(struct client *client)
{
	if (client->page != NULL) {
		munmap(client->page, sizeof(*client->page));
	}
	if (client->socket >= 0) {
		close(client->socket);
	}
	*client = (struct client){.socket = -1};
}

static void come(struct client *client)
{
	hang_up(client);
	client->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	require(connect(client->socket, (struct sockaddr *)&address, sizeof(address)) == 0);
}

/* A part of a message may be long, and is 0 bytes then. */
static void say(const struct client *client, uint32_t type, const void *fixed, size_t fixed_len,
                const struct bytes *rest, int fd)
{
	struct keeper_head head = {KEEPER_PROTOCOL, type,
	                           (uint32_t)(sizeof(head) + fixed_len + rest->left)};
	struct iovec pieces[] = {{&head, sizeof(head)},
	                         {(void *)fixed, fixed_len},
	                         {(void *)rest->at, rest->left}};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 3};

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control.room);
	}
	sendmsg(client->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Takes what has come: a WELCOME makes it a member. */
static void hear(struct client *client)
{
	static uint8_t buffer[KEEPER_MESSAGE_MAX];
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec piece = {buffer, sizeof(buffer)};
	struct msghdr message = {.msg_iov = &piece,
	                         .msg_iovlen = 1,
	                         .msg_control = &control,
	                         .msg_controllen = sizeof(control)};
	const struct keeper_head *head = (const struct keeper_head *)buffer;
	ssize_t n = recvmsg(client->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fd = -1;

	if (n <= 0) {
		return;
	}
	require(n >= (ssize_t)sizeof(*head) && head->length == (size_t)n &&
	        head->protocol == KEEPER_PROTOCOL);
	if (message.msg_controllen > 0) {
		memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	}
	if (head->type == KEEPER_WELCOME && client->page == NULL) {
		memcpy(&client->member, head + 1, sizeof(client->member));
		client->page = mmap(NULL, sizeof(*client->page), PROT_READ | PROT_WRITE,
		                    MAP_SHARED, fd, 0);
		require(client->page != MAP_FAILED);
	}
	if (fd >= 0) {
		close(fd);
	}
}

/* One of a few words, now and then one that there is not. */
static uint32_t take_word(struct bytes *b)
{
	uint8_t n = take_byte(b);

	return n < 250 ? n % 5 : KEEPER_WORDS << 4 * (n - 250);
}

static void ask(const struct client *client, const struct client *member, struct bytes *b)
{
	struct keeper_ask asked = {.member = member->member, .place_len = 1};
	static const uint32_t patience_ms[] = {0, 1, 1000, UINT32_MAX};
	struct bytes texts;

	asked.word = take_word(b);
	asked.timeout_ms = patience_ms[take_byte(b) % 4];
	asked.ping = take_byte(b) % 2;
	asked.label_len = take_byte(b) % 32;
	asked.place_len -= asked.label_len / 16; /* it is in the page */
	asked.label_len %= 16;
	asked.digest[0] = take_byte(b) % 3;
	texts = take_bytes(b, asked.label_len + asked.place_len);
	say(client, KEEPER_ASK, &asked, sizeof(asked), &texts, -1);
}

/* The server's ends of sessions. */
static int servers[16];
static unsigned server_count;

static void tell_opened(const struct client *client, struct bytes *b)
{
	struct keeper_opened opened = {.word = take_word(b)};
	struct bytes rest;
	int pair[2];

	if (server_count == sizeof(servers) / sizeof(servers[0])) {
		return;
	}
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	servers[server_count++] = pair[1];
	opened.label_len = take_byte(b) % 4;
	opened.digest[0] = take_byte(b) % 3;
	opened.record.local = take_byte(b) % 2;
	opened.record.address_len = take_byte(b) % 8;
	opened.record.startup_len = take_byte(b) % 16;
	opened.record.reply_len = take_byte(b);
	rest = take_bytes(b, (size_t)opened.record.address_len + opened.record.startup_len +
	                             opened.record.reply_len + opened.label_len);
	say(client, KEEPER_OPENED, &opened, sizeof(opened), &rest, pair[0]);
	close(pair[0]);
}

static void change(const struct client *client, struct bytes *b)
{
	unsigned word = take_byte(b) % 5;
	unsigned state = take_byte(b) % 16;
	unsigned answers = take_byte(b) % 4;
	uint32_t now;

	if (client->page != NULL) {
		now = atomic_load(&client->page->words[word]);
		atomic_store(&client->page->words[word], KEEPER_WORD_MAKE(now, state, answers));
	}
}

static void tell_place(const struct client *client, struct bytes *b)
{
	unsigned word = take_byte(b) % KEEPER_PLACES;
	unsigned at = take_byte(b);
	struct bytes said = take_bytes(b, take_byte(b) % (KEEPER_PLACE_BYTES - at));

	if (client->page != NULL && said.left > 0) {
		memcpy(client->page->places[word] + at, said.at, said.left);
	}
}

static void serve(struct bytes *b)
{
	unsigned i = take_byte(b) % sizeof(servers);
	struct bytes said = take_bytes(b, take_byte(b));

	if (i >= server_count) {
		return;
	}
	if (said.left == 0) {
		shutdown(servers[i], SHUT_RDWR);
	} else {
		send(servers[i], said.at, said.left, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

static void command(const struct client *client, struct bytes *b)
{
	static const char *const words[] = {
		"show",       "drain all",          "pause",   "resume", "wait",
		"set size=1", "set max_overflow=1", "drain 1", ""};
	const char *word = words[take_byte(b) % (sizeof(words) / sizeof(words[0]))];
	struct bytes more = take_bytes(b, take_byte(b) % 16);
	char text[64];
	struct keeper_command said;

	snprintf(text, sizeof(text), "%s", word);
	memcpy(text + strlen(word), more.at, more.left);
	said.text_len = (uint32_t)(strlen(word) + more.left);
	more = (struct bytes){(const uint8_t *)text, said.text_len};
	say(client, KEEPER_COMMAND, &said, sizeof(said), &more, -1);
}

static void operate(struct bytes *b)
{
	struct client *client = &clients[take_byte(b) % CONNECTIONS];
	const struct client *other = &clients[take_byte(b) % CONNECTIONS];
	const struct keeper_hello hello = {.program_len = 0};
	const struct bytes none = {NULL, 0};
	uint8_t what = take_byte(b) % 15;
	struct bytes said;

	if (client->socket < 0) {
		come(client);
	}
	switch (what) {
	case 0:
		come(client);
		break;
	case 1:
		hang_up(client);
		break;
	case 2:
		said = take_bytes(b, take_number(b));
		say(client, take_byte(b) % 16, NULL, 0, &said, take_byte(b) % 2 ? 0 : -1);
		break;
	case 3:
		say(client, KEEPER_HELLO, &hello, sizeof(hello), &none, -1);
		run_keeper();
		hear(client);
		break;
	case 4:
		ask(client, other, b);
		break;
	case 5:
		tell_opened(client, b);
		break;
	case 6:
		change(client, b);
		break;
	case 7:
		say(client, KEEPER_NUDGE, NULL, 0, &none, -1);
		break;
	case 8:
		serve(b);
		break;
	case 9:
		command(client, b);
		break;
	case 10:
		hear(client);
		break;
	case 11:
		ahead_ns += NS_PER_SEC;
		break;
	case 12:
		say(client, KEEPER_BELL, NULL, 0, &none, client->socket);
		break;
	case 13:
		tell_place(client, b);
		break;
	default:
		said = take_bytes(b, take_byte(b));
		send(client->socket, said.at, said.left, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	}
	run_keeper();
}

/* All go, and time passes: nothing may be left of them. */
static void require_nothing_left(void)
{
	for (int i = 0; i < CONNECTIONS; i++) {
		hang_up(&clients[i]);
	}
	while (server_count > 0) {
		close(servers[--server_count]);
	}
	pools_are_paused = false;
	for (int i = 0; i < 100 && (members_all() != NULL || pools_all() != NULL); i++) {
		ahead_ns += NS_PER_SEC;
		upkeep_drain(NULL, -1, clock_monotonic_ns() + ahead_ns);
		run_keeper();
	}
	require(members_all() == NULL && pools_all() == NULL);
	settings.size = 2;
	settings.total = 3;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool begun;
	struct bytes b = {data, size};

	if (!begun) {
		begun = true;
		begin();
	}
	while (b.left > 0) {
		operate(&b);
	}
	require_nothing_left();
	return 0;
}
