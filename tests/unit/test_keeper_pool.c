/* SPDX-License-Identifier: PostgreSQL */
/* The keeper's pools: who is served, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <limits.h>
#include <pthread.h>

#include "keeper_members.h"

#define ROUNDS 20000

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
