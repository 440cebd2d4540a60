/* SPDX-License-Identifier: PostgreSQL */
/*
 * The keeper's pools with members in this process; after cmocka.h. Servers are the other ends
 * of socket pairs, which answer nothing unless a test does.
 */
#ifndef PQPOOL_TESTS_KEEPER_MEMBERS_H
#define PQPOOL_TESTS_KEEPER_MEMBERS_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/keeper/message.h"
#include "common/xalloc.h"
#include "keep/log.h"
#include "keep/loop.h"
#include "keep/pool/member.h"
#include "keep/pool/pool.h"
#include "keep/pool/upkeep.h"
#include "keep/settings.h"

#define MEMBERS 4

static char folder[] = "/dev/shm/test_keeper.XXXXXX";
static struct member *members[MEMBERS];
static struct pool *pool;
static int failures;

static inline void failed(struct ask *ask)
{
	(void)ask;
	failures++;
}

static inline int begin(void **state)
{
	int dir;

	(void)state;
	if (mkdtemp(folder) == NULL || !loop_begin()) {
		return -1;
	}
	dir = open(folder, O_RDONLY | O_DIRECTORY);
	members_begin(dir, "test");
	settings.config.log = "stderr";
	log_begin(&settings.config);
	return 0;
}

static inline int end(void **state)
{
	(void)state;
	return rmdir(folder);
}

static inline int set_up(void **state)
{
	static uint8_t digest[KEEPER_DIGEST_LEN];

	(void)state;
	settings.size = 1;
	settings.total = 1;
	settings.timeout_ns = DEADLINE_NEVER / 4;
	settings.recycle_ns = UINT64_MAX;
	settings.idle_timeout_ns = UINT64_MAX;
	settings.ping_timeout_ns = 3600 * NS_PER_SEC;
	settings.keepalive_ns = 0;
	digest[0]++;
	pool = pool_get(digest, "u@h:1/d");
	failures = 0;
	for (int i = 0; i < MEMBERS; i++) {
		int page;

		members[i] = member_make(getpid(), xalloc_copy("test", 4), &page);
		if (members[i] == NULL) {
			return -1;
		}
		close(page);
		/* Connected, though it says nothing. */
		members[i]->socket = open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < MEMBERS; i++) {
		pool_inherit(members[i], clock_monotonic_ns());
		member_free(members[i]);
	}
	upkeep_end();
	return 0;
}

/* ---- what a process does ---- */

struct question {
	struct ask ask;
	int process; /* its end of the connection */
};

static inline void put(struct member *member, unsigned word, enum keeper_word_state to)
{
	uint32_t was = member_word(member, word);

	atomic_store(&member->page->words[word], KEEPER_WORD_MAKE(was, to, 0));
}

static inline void question(struct question *q, struct member *member, unsigned word,
                            bool pings)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	*q = (struct question){.process = pair[1]};
	q->ask.socket = pair[0];
	q->ask.member = member->id;
	q->ask.word = word;
	q->ask.pings = pings;
	q->ask.place = xalloc_copy("here", 4);
	q->ask.failed = failed;
	q->ask.bell = -1;
	q->ask.refused_ns = clock_monotonic_ns() + settings.timeout_ns;
	pool_ask(pool, &q->ask, clock_monotonic_ns());
}

/* The type of the next message, 0: none yet. */
static inline unsigned said(struct question *q)
{
	struct message m;

	if (message_receive(q->process, &m) != MESSAGE_CAME) {
		return 0;
	}
	if (m.fd >= 0) {
		close(m.fd);
	}
	return m.type;
}

/* The type of the answer, 0: none yet, or only that it is in line. */
static inline unsigned answer(struct question *q)
{
	unsigned type = said(q);

	return type == KEEPER_WAIT ? said(q) : type;
}

static inline void withdraw(struct question *q)
{
	pool_withdraw(&q->ask, clock_monotonic_ns());
	close(q->ask.socket);
	close(q->process);
	free(q->ask.place);
}

/* Opens a session in the room of this word; the server's end of its socket. */
static inline int opened(struct member *member, unsigned word)
{
	struct keeper_record record = {.local = 1, .opened_ns = clock_monotonic_ns()};
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	put(member, word, KEEPER_WORD_LEASED);
	assert_true(pool_opened(pool, member, word, pair[0], &record, xalloc_new(1, 1),
	                        clock_monotonic_ns()));
	return pair[1];
}

/* A session that is leased by the first member. */
static inline int lease(void)
{
	struct question q;
	int server;

	question(&q, members[0], 0, false);
	assert_int_equal(answer(&q), KEEPER_ROOM);
	server = opened(members[0], 0);
	withdraw(&q);
	return server;
}

static uint64_t look_until_ns;

/* The pool may ask for an earlier time. */
static inline void stop(uint64_t now_ns)
{
	if (now_ns >= look_until_ns) {
		loop_end();
	} else {
		loop_call_at(look_until_ns);
	}
}

/* Lets the loop see what came. */
static inline void look(void)
{
	look_until_ns = clock_monotonic_ns() + 2 * NS_PER_MS;
	loop_call_at(look_until_ns);
	loop_run(stop);
}

static inline void give_back(struct member *member, unsigned word)
{
	put(member, word, KEEPER_WORD_IDLE);
	if (atomic_load(&member->page->attention) != 0) {
		pool_look_at(member, clock_monotonic_ns());
	}
}

#endif
