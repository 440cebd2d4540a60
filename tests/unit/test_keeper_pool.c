/* SPDX-License-Identifier: PostgreSQL */
/*
 * The keeper's pools: who is served, and when. Members are in this process; servers are the
 * other ends of socket pairs, which answer nothing unless a test does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/keeper/message.h"
#include "keep/log.h"
#include "keep/loop.h"
#include "keep/pool/member.h"
#include "keep/pool/pool.h"
#include "keep/pool/upkeep.h"
#include "keep/settings.h"

#define MEMBERS 4
#define ROUNDS  20000

static char folder[] = "/dev/shm/test_keeper.XXXXXX";
static struct member *members[MEMBERS];
static struct pool *pool;
static int failures;

/* ---- set up ---- */

static void failed(struct ask *ask)
{
	(void)ask;
	failures++;
}

static int begin(void **state)
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

static int end(void **state)
{
	(void)state;
	return rmdir(folder);
}

static int set_up(void **state)
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

		members[i] = member_make(getpid(), strdup("test"), &page);
		if (members[i] == NULL) {
			return -1;
		}
		close(page);
		/* Connected, though it says nothing. */
		members[i]->socket = open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	return 0;
}

static int tear_down(void **state)
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

static void put(struct member *member, unsigned word, enum keeper_word_state to)
{
	uint32_t was = member_word(member, word);

	atomic_store(&member->page->words[word], KEEPER_WORD_MAKE(was, to, 0));
}

static void question(struct question *q, struct member *member, unsigned word, bool pings)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	*q = (struct question){.process = pair[1]};
	q->ask.socket = pair[0];
	q->ask.member = member->id;
	q->ask.word = word;
	q->ask.pings = pings;
	q->ask.place = strdup("here");
	q->ask.failed = failed;
	q->ask.refused_ns = clock_monotonic_ns() + settings.timeout_ns;
	pool_ask(pool, &q->ask, clock_monotonic_ns());
}

/* The type of the next message, 0: none yet. */
static unsigned said(struct question *q)
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
static unsigned answer(struct question *q)
{
	unsigned type = said(q);

	return type == KEEPER_WAIT ? said(q) : type;
}

static void withdraw(struct question *q)
{
	pool_withdraw(&q->ask, clock_monotonic_ns());
	close(q->ask.socket);
	close(q->process);
	free(q->ask.place);
}

/* Opens a session in the room of this word; the server's end of its socket. */
static int opened(struct member *member, unsigned word)
{
	struct keeper_record record = {.local = 1, .opened_ns = clock_monotonic_ns()};
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	put(member, word, KEEPER_WORD_LEASED);
	assert_true(pool_opened(pool, member, word, pair[0], &record, calloc(1, 1),
	                        clock_monotonic_ns()));
	return pair[1];
}

/* A session that is leased by the first member. */
static int lease(void)
{
	struct question q;
	int server;

	question(&q, members[0], 0, false);
	assert_int_equal(answer(&q), KEEPER_ROOM);
	server = opened(members[0], 0);
	withdraw(&q);
	return server;
}

static void stop(uint64_t now_ns)
{
	(void)now_ns;
	loop_end();
}

/* Lets the loop see what came. */
static void look(void)
{
	loop_call_at(clock_monotonic_ns() + 2 * NS_PER_MS);
	loop_run(stop);
}

static void give_back(struct member *member, unsigned word)
{
	put(member, word, KEEPER_WORD_IDLE);
	if (atomic_load(&member->page->attention) != 0) {
		pool_look_at(member, clock_monotonic_ns());
	}
}

/* ---- tests ---- */

static void test_line_is_served_in_its_order(void **state)
{
	struct question q[3];
	int server = lease();

	(void)state;
	for (int i = 0; i < 3; i++) {
		question(&q[i], members[1 + i], 7, false);
		assert_int_equal(said(&q[i]), KEEPER_WAIT);
		assert_int_equal(said(&q[i]), 0);
	}
	assert_int_equal(pool->waiting, 3);
	give_back(members[0], 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(answer(&q[i]), KEEPER_LEND);
		for (int k = i + 1; k < 3; k++) {
			assert_int_equal(answer(&q[k]), 0);
		}
		put(members[1 + i], 7, KEEPER_WORD_LEASED);
		withdraw(&q[i]);
		give_back(members[1 + i], 7);
	}
	assert_int_equal(pool->used, 1);
	close(server);
}

static void test_rooms_up_to_the_limit(void **state)
{
	struct question q[5];

	(void)state;
	settings.total = 3;
	for (int i = 0; i < 5; i++) {
		question(&q[i], members[0], (unsigned)i, false);
		assert_int_equal(answer(&q[i]), i < 3 ? KEEPER_ROOM : 0);
	}
	assert_int_equal(pool->used, 3);
	/* One that could not be opened. */
	put(members[0], 1, KEEPER_WORD_GONE);
	pool_note_failed(members[0]);
	pool_look_at(members[0], clock_monotonic_ns());
	assert_int_equal(answer(&q[3]), KEEPER_ROOM);
	assert_int_equal(answer(&q[4]), 0);
	settings.total = UINT_MAX;
	pool_serve(pool, clock_monotonic_ns());
	assert_int_equal(answer(&q[4]), KEEPER_ROOM);
	for (int i = 0; i < 5; i++) {
		withdraw(&q[i]);
	}
}

static void test_room_that_is_opening_is_not_taken_for_closed(void **state)
{
	struct question q;
	struct question other;
	int server;

	(void)state;
	question(&q, members[0], 0, false);
	assert_int_equal(answer(&q), KEEPER_ROOM);
	/* It was opened and closed again, but the message about the first is still on its way.
	 */
	put(members[0], 0, KEEPER_WORD_GONE);
	question(&other, members[1], 0, false);
	assert_int_equal(answer(&other), 0);
	server = opened(members[0], 0);
	put(members[0], 0, KEEPER_WORD_GONE);
	pool_look_at(members[0], clock_monotonic_ns());
	assert_int_equal(KEEPER_WORD_STATE(member_word(members[0], 0)), KEEPER_WORD_FREE);
	/* Its server's process is still there, but is not waited for without end. */
	assert_int_equal(answer(&other), 0);
	upkeep_due(clock_monotonic_ns() + 2 * NS_PER_SEC);
	assert_int_equal(answer(&other), KEEPER_ROOM);
	withdraw(&q);
	withdraw(&other);
	close(server);
}

static void test_leased_session_is_not_claimed(void **state)
{
	struct question q;
	int server = lease();

	(void)state;
	put(members[0], 0, KEEPER_WORD_IDLE);
	put(members[0], 0, KEEPER_WORD_LEASED); /* by its own process again */
	question(&q, members[1], 0, false);
	assert_int_equal(answer(&q), 0);
	assert_int_equal(atomic_load(&members[0]->page->attention), 1);
	withdraw(&q);
	assert_int_equal(atomic_load(&members[0]->page->attention), 0);
	close(server);
}

static void write_all(int fd, const char *bytes, size_t n)
{
	assert_int_equal(write(fd, bytes, n), n);
}

static void test_ping_goes_before_a_lend(void **state)
{
	struct question q;
	char sent[64];
	int server = lease();

	(void)state;
	put(members[0], 0, KEEPER_WORD_IDLE);
	question(&q, members[1], 0, true);
	assert_int_equal(answer(&q), 0);
	assert_int_equal(read(server, sent, sizeof(sent)), REPLY_PING_LEN);
	assert_memory_equal(sent, REPLY_PING, REPLY_PING_LEN);
	assert_int_equal(write(server, "I\0\0\0\4Z\0\0", 8), 8);
	look();
	assert_int_equal(answer(&q), 0);
	assert_int_equal(write(server, "\0\5I", 3), 3);
	look();
	assert_int_equal(answer(&q), KEEPER_LEND);
	withdraw(&q);
	close(server);
}

/* What was there when it was asked for may have been sent by a server that is dead by now. */
static void test_answer_to_a_reset_proves_life_if_it_comes_later(void **state)
{
	static const char answer_to_reset[] = "C\0\0\0\x10"
					      "DISCARD ALL\0Z\0\0\0\5I";
	struct question q;
	char sent[64];

	(void)state;
	for (int later = 0; later < 2; later++) {
		unsigned word = (unsigned)later;
		int server;

		question(&q, members[0], word, false);
		server = opened(members[0], word);
		withdraw(&q);
		atomic_store(
			&members[0]->page->words[word],
			KEEPER_WORD_MAKE(member_word(members[0], word), KEEPER_WORD_IDLE, 1));
		if (!later) {
			write_all(server, answer_to_reset, sizeof(answer_to_reset) - 1);
		}
		question(&q, members[1], word, true);
		assert_int_equal(answer(&q), 0);
		if (later) {
			assert_int_equal(read(server, sent, sizeof(sent)), -1);
			write_all(server, answer_to_reset, sizeof(answer_to_reset) - 1);
		} else {
			assert_int_equal(read(server, sent, sizeof(sent)), REPLY_PING_LEN);
			write_all(server, "I\0\0\0\4Z\0\0\0\5I", 11);
		}
		look();
		assert_int_equal(answer(&q), KEEPER_LEND);
		withdraw(&q);
		upkeep_drain(NULL, -1, clock_monotonic_ns());
		close(server);
		look();
	}
}

static void test_dead_one_makes_older_proofs_worthless(void **state)
{
	struct question q[4];
	int servers[2];

	(void)state;
	settings.total = 2;
	for (unsigned i = 0; i < 2; i++) {
		question(&q[i], members[0], i, false);
		servers[i] = opened(members[0], i);
		withdraw(&q[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		put(members[0], i, KEEPER_WORD_IDLE);
	}
	close(servers[0]); /* the one that is claimed first */
	question(&q[2], members[1], 0, false);
	/* It does not ask for a ping, but the other one is in doubt now. */
	assert_int_equal(answer(&q[2]), 0);
	assert_int_equal(write(servers[1], "I\0\0\0\4Z\0\0\0\5I", 11), 11);
	look();
	assert_int_equal(answer(&q[2]), KEEPER_LEND);
	withdraw(&q[2]);
	close(servers[1]);
}

static void test_offer_is_taken_back_unless_it_was_taken(void **state)
{
	struct question q;
	int server = lease();

	(void)state;
	put(members[0], 0, KEEPER_WORD_IDLE);
	question(&q, members[1], 3, false);
	assert_int_equal(answer(&q), KEEPER_LEND);
	withdraw(&q);
	assert_int_equal(KEEPER_WORD_STATE(member_word(members[1], 3)), KEEPER_WORD_FREE);
	question(&q, members[1], 3, false);
	assert_int_equal(answer(&q), KEEPER_LEND);
	put(members[1], 3, KEEPER_WORD_LEASED);
	withdraw(&q);
	assert_int_equal(KEEPER_WORD_STATE(member_word(members[1], 3)), KEEPER_WORD_LEASED);
	assert_ptr_equal(members[1]->sessions[3]->member, members[1]);
	close(server);
}

static void test_question_about_a_word_in_use_fails(void **state)
{
	struct question q;
	int server = lease();

	(void)state;
	settings.total = 2;
	question(&q, members[0], 0, false);
	assert_int_equal(failures, 1);
	assert_int_equal(answer(&q), 0);
	assert_int_equal(pool->used, 1);
	withdraw(&q);
	close(server);
}

/* ---- no wake-up is lost ---- */

static pthread_barrier_t round_begins;
static pthread_barrier_t round_ends;
static unsigned round_word;
static bool nudged;

/* The process: gives back, then looks whether somebody waits. */
static void *process(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&round_begins);
		put(members[0], round_word, KEEPER_WORD_IDLE);
		nudged = atomic_load(&members[0]->page->attention) != 0;
		pthread_barrier_wait(&round_ends);
	}
	return NULL;
}

static void test_no_wake_up_is_lost(void **state)
{
	int server = lease();
	unsigned by_nudge = 0;
	pthread_t thread;

	(void)state;
	pthread_barrier_init(&round_begins, NULL, 2);
	pthread_barrier_init(&round_ends, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, process, NULL), 0);
	for (int i = 0; i < ROUNDS; i++) {
		struct question q;
		unsigned other = 1 - round_word;

		pthread_barrier_wait(&round_begins);
		question(&q, members[0], other, false);
		pthread_barrier_wait(&round_ends);
		if (nudged) {
			by_nudge++;
			pool_look_at(members[0], clock_monotonic_ns());
		}
		assert_int_equal(answer(&q), KEEPER_LEND);
		put(members[0], round_word, KEEPER_WORD_FREE);
		put(members[0], other, KEEPER_WORD_LEASED);
		round_word = other;
		withdraw(&q);
	}
	pthread_join(thread, NULL);
	print_message("%u of %u by nudge\n", by_nudge, (unsigned)ROUNDS);
	close(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_line_is_served_in_its_order, set_up,
	                                        tear_down),
		cmocka_unit_test_setup_teardown(test_rooms_up_to_the_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_room_that_is_opening_is_not_taken_for_closed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_leased_session_is_not_claimed, set_up,
	                                        tear_down),
		cmocka_unit_test_setup_teardown(test_ping_goes_before_a_lend, set_up,
	                                        tear_down),
		cmocka_unit_test_setup_teardown(
			test_answer_to_a_reset_proves_life_if_it_comes_later, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(test_dead_one_makes_older_proofs_worthless,
	                                        set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_offer_is_taken_back_unless_it_was_taken,
	                                        set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_question_about_a_word_in_use_fails, set_up,
	                                        tear_down),
		cmocka_unit_test_setup_teardown(test_no_wake_up_is_lost, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
