/* SPDX-License-Identifier: PostgreSQL */
/* What a thread keeps of its last connect: as long as it says the same, and no longer. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "acquire/lend/acquisition.h"
#include "base/libpq/caller.h"
#include "base/lock.h"
#include "base/thread/thread_block.h"
#include "pool/thread_cache.h"

/* Each test has identities of its own: a thread starts out with what the one before kept. */
#define WORDS(name) "host=/nowhere dbname=" name " user=app"

static const struct libpq *libpq;

struct asked {
	struct spelling *spelling;
	struct lender *lender;
	bool counted;
};

static struct asked ask(const char *conninfo)
{
	struct connect_call call = {.function = CONNECT_STRING, .conninfo = conninfo};
	struct asked asked;

	thread_block_take();
	asked.counted = thread_cache_ask(libpq, &call, &asked.spelling, &asked.lender);
	return asked;
}

static unsigned references(const struct asked *asked)
{
	return atomic_load(&asked->spelling->refs);
}

static unsigned users(const struct asked *asked)
{
	return atomic_load(&asked->lender->users);
}

static int prepare(void **state)
{
	const struct pool_limits limits = {.size = 1, .total = 1};

	(void)state;
	registry_configure(&limits);
	thread_block_configure();
	thread_cache_configure();
	libpq = libpq_of_caller((const void *)prepare).libpq;
	/* The question is what links libpq to this program. */
	return libpq == NULL || PQlibVersion() == 0;
}

static void counts_once_however_often_it_is_asked(void **state)
{
	struct asked first = ask(WORDS("often"));

	(void)state;
	assert_non_null(first.lender);
	for (int i = 0; i < 5; i++) {
		struct asked again = ask(WORDS("often"));

		assert_false(again.counted);
		assert_ptr_equal(again.spelling, first.spelling);
		assert_ptr_equal(again.lender, first.lender);
	}
	/* The table's and this thread's. */
	assert_int_equal(references(&first), 2);
	assert_int_equal(users(&first), 1);
}

static void gives_up_what_it_kept_for_what_is_new(void **state)
{
	struct asked one = ask(WORDS("one"));
	struct asked two;

	(void)state;
	assert_ptr_equal(ask(WORDS("one")).lender, one.lender);
	two = ask(WORDS("two"));
	assert_ptr_not_equal(two.lender, one.lender);
	assert_int_equal(references(&one), 1);
	assert_int_equal(users(&one), 0);
	assert_int_equal(users(&two), 1);
	/* By turns, which is never the one of last time. */
	for (int i = 0; i < 3; i++) {
		assert_ptr_equal(ask(WORDS("one")).lender, one.lender);
		assert_ptr_equal(ask(WORDS("two")).lender, two.lender);
	}
	assert_int_equal(users(&one), 0);
	assert_int_equal(users(&two), 1);
}

static void *ask_thrice(void *arg)
{
	struct asked *asked = arg;

	for (int i = 0; i < 3; i++) {
		*asked = ask(WORDS("thread"));
	}
	asked->counted = references(asked) == 3 && users(asked) == 2;
	return NULL;
}

static void gives_all_up_when_the_thread_ends(void **state)
{
	struct asked here = ask(WORDS("thread"));
	struct asked there;
	pthread_t thread;

	(void)state;
	pthread_create(&thread, NULL, ask_thrice, &there);
	pthread_join(thread, NULL);
	assert_true(there.counted);
	assert_ptr_equal(there.lender, here.lender);
	assert_int_equal(references(&here), 2);
	assert_int_equal(users(&here), 1);
}

static void write_file(const char *path, const char *content)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(content, f);
	fclose(f);
	chmod(path, 0600);
}

static void sees_what_has_changed_behind_the_same_words(void **state)
{
	char path[] = "/tmp/pqpool-recent-XXXXXX";
	int fd = mkstemp(path);
	struct asked before;
	struct asked after;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	setenv("PGPASSFILE", path, 1);
	write_file(path, "*:*:*:*:old\n");
	before = ask(WORDS("changed"));
	assert_ptr_equal(ask(WORDS("changed")).spelling, before.spelling);
	assert_ptr_equal(ask(WORDS("changed")).spelling, before.spelling);
	write_file(path, "*:*:*:*:another\n");
	after = ask(WORDS("changed"));
	assert_ptr_not_equal(after.lender, before.lender);
	/* And by the environment. */
	setenv("PGAPPNAME", "recent", 1);
	assert_ptr_equal(ask(WORDS("changed")).lender, ask(WORDS("changed")).lender);
	assert_ptr_not_equal(ask(WORDS("changed")).lender, after.lender);
	unsetenv("PGAPPNAME");
	unsetenv("PGPASSFILE");
	unlink(path);
}

static void keeps_nothing_that_is_not_pooled(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct asked asked = ask("replication=database");

		assert_null(asked.spelling);
		assert_null(asked.lender);
	}
}

/* As acquire_fork_child does it. */
static int ask_in_child(const struct lender *of_parent)
{
	struct asked first;
	struct asked second;

	registry_fork_child();
	thread_cache_fork_child();
	first = ask(WORDS("fork"));
	second = ask(WORDS("fork"));
	return first.lender != NULL && first.lender != of_parent &&
	                       second.lender == first.lender && users(&first) == 1
	               ? 0
	               : 1;
}

static void asks_anew_in_a_child(void **state)
{
	struct asked before;
	int status;
	pid_t child;

	(void)state;
	ask(WORDS("fork"));
	before = ask(WORDS("fork"));
	registry_fork_prepare();
	child = fork();
	if (child == 0) {
		_exit(ask_in_child(before.lender));
	}
	registry_fork_parent();
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_ptr_equal(ask(WORDS("fork")).lender, before.lender);
	assert_int_equal(users(&before), 1);
}

/* As if a signal handler had forked meanwhile, and this were its child. */
static PQconninfoOption *fork_meanwhile(PGconn *conn)
{
	registry_fork_prepare();
	registry_fork_child();
	thread_cache_fork_child();
	return PQconninfo(conn);
}

static void keeps_nothing_of_before_a_fork_in_the_middle(void **state)
{
	static struct libpq forking;
	struct connect_call call = {.function = CONNECT_STRING, .conninfo = WORDS("middle")};
	struct asked asked;
	unsigned before;

	(void)state;
	forking = *libpq;
	forking.PQconninfo = fork_meanwhile;
	thread_cache_ask(&forking, &call, &asked.spelling, &asked.lender);
	assert_non_null(asked.lender);
	before = users(&asked);
	/* Had the thread kept it, it would be let go for this one. */
	ask(WORDS("after"));
	assert_int_equal(users(&asked), before);
}

/* Where a signal handler has forked in the middle of anything nothing is to be touched. */
static void *ask_and_forsake(void *arg)
{
	ask_thrice(arg);
	lock_forsake();
	return NULL;
}

static int end_a_thread_that_has_no_locks(void)
{
	struct asked there;
	pthread_t thread;

	pthread_create(&thread, NULL, ask_and_forsake, &there);
	pthread_join(thread, NULL);
	return references(&there) == 3 && users(&there) == 2 ? 0 : 1;
}

static void leaves_all_as_it_is_where_locks_are_nothing(void **state)
{
	int status;
	pid_t child;

	(void)state;
	ask(WORDS("thread"));
	child = fork();
	if (child == 0) {
		_exit(end_a_thread_that_has_no_locks());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* A connect in steps goes on after its thread has connected to something else. */
static void is_kept_for_who_needs_it_longer(void **state)
{
	struct connect_call call = {.function = CONNECT_STRING, .conninfo = WORDS("steps")};
	struct acquisition a;
	struct asked same;

	(void)state;
	ask(WORDS("steps"));
	ask(WORDS("steps"));
	acquisition_begin(&a, libpq, &call, NULL);
	same = (struct asked){.spelling = a.spelling, .lender = a.lender};
	assert_non_null(a.lender);
	assert_int_equal(users(&same), 1);
	acquisition_keep(&a);
	ask(WORDS("other"));
	assert_int_equal(references(&same), 2);
	assert_int_equal(users(&same), 1);
	acquisition_end(&a);
	assert_int_equal(references(&same), 1);
	assert_int_equal(users(&same), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_once_however_often_it_is_asked),
		cmocka_unit_test(gives_up_what_it_kept_for_what_is_new),
		cmocka_unit_test(gives_all_up_when_the_thread_ends),
		cmocka_unit_test(sees_what_has_changed_behind_the_same_words),
		cmocka_unit_test(keeps_nothing_that_is_not_pooled),
		cmocka_unit_test(asks_anew_in_a_child),
		cmocka_unit_test(leaves_all_as_it_is_where_locks_are_nothing),
		cmocka_unit_test(is_kept_for_who_needs_it_longer),
		cmocka_unit_test(keeps_nothing_of_before_a_fork_in_the_middle),
	};

	return cmocka_run_group_tests(tests, prepare, NULL);
}
