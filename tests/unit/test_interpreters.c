/* SPDX-License-Identifier: PostgreSQL */
/*
 * Interpreters of unknown versions, told by what they export: this program is linked so that it
 * exports the functions of all of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <pthread.h>

#include "base/dl.h"
#include "trace/script/interpreters.h"

#define NOINLINE __attribute__((noinline))
/* In the order in which they stand here, and not as one function. */
#ifdef __clang__
#define EXPORTED __attribute__((visibility("default"), noinline))
#else
#define EXPORTED __attribute__((visibility("default"), noinline, noclone, no_reorder))
#endif
/* Something to do after a call keeps it from becoming a jump. */
#define STAY __asm__ volatile("" ::: "memory")

static bool answer;

static NOINLINE void ask(void)
{
	answer = interpreters_ending(dl_changes());
	STAY;
}

static void *ask_in_thread(void *arg)
{
	ask();
	return arg;
}

static void ask_elsewhere(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, ask_in_thread, NULL);
	pthread_join(thread, NULL);
}

/* ---- Python ----------------------------------------------------------------------- */

static int finalizing;

EXPORTED int Py_IsFinalizing(void);
EXPORTED void PyEval_EvalCode(void (*code)(void));
EXPORTED void Py_RunMain(void (*code)(void), void (*at_end)(void));

int Py_IsFinalizing(void)
{
	return finalizing;
}

void PyEval_EvalCode(void (*code)(void))
{
	code();
	STAY;
}

void Py_RunMain(void (*code)(void), void (*at_end)(void))
{
	PyEval_EvalCode(code);
	at_end();
	STAY;
}

static void nothing(void)
{
}

static void knows_pythons_end(void **state)
{
	(void)state;
	Py_RunMain(ask, nothing);
	assert_false(answer);
	/* Exit handlers of the script. */
	Py_RunMain(nothing, ask);
	assert_true(answer);
	Py_RunMain(nothing, ask_elsewhere);
	assert_false(answer);
	/* Destruction, in whatever thread; an embedded one has no Py_RunMain(). */
	finalizing = 1;
	ask();
	assert_true(answer);
	ask_elsewhere();
	assert_true(answer);
	finalizing = 0;
	ask();
	assert_false(answer);
}

/* ---- Perl --------------------------------------------------------------------------- */

EXPORTED void perl_destruct(void (*at_end)(void));
EXPORTED void Perl_call_list(void);

void perl_destruct(void (*at_end)(void))
{
	at_end();
	STAY;
}

void Perl_call_list(void)
{
	STAY;
}

static void knows_perls_end(void **state)
{
	(void)state;
	perl_destruct(ask);
	assert_true(answer);
	/* A thread of Perl's has an interpreter of its own, which ends with it. */
	perl_destruct(ask_elsewhere);
	assert_false(answer);
}

/* ---- PHP ---------------------------------------------------------------------------- */

__attribute__((visibility("default"))) struct {
	const char *name;
} sapi_module;
EXPORTED void php_request_shutdown(void (*at_end)(void));

void php_request_shutdown(void (*at_end)(void))
{
	at_end();
	STAY;
}

static void knows_phps_end(void **state)
{
	(void)state;
	sapi_module.name = "cli";
	php_request_shutdown(ask);
	assert_true(answer);
	/* One of many requests. */
	sapi_module.name = "fpm-fcgi";
	php_request_shutdown(ask);
	assert_false(answer);
}

/* ---- Ruby --------------------------------------------------------------------------- */

EXPORTED void ruby_finalize(void (*at_end)(void));
EXPORTED void ruby_cleanup(void (*at_end)(void));
EXPORTED void clean_up(void (*at_end)(void));

void ruby_finalize(void (*at_end)(void))
{
	at_end();
	STAY;
}

void clean_up(void (*at_end)(void))
{
	at_end();
	STAY;
}

void ruby_cleanup(void (*at_end)(void))
{
	at_end();
	STAY;
}

static void knows_rubys_end(void **state)
{
	(void)state;
	assert_true((uintptr_t)&ruby_finalize < (uintptr_t)&clean_up);
	assert_true((uintptr_t)&clean_up < (uintptr_t)&ruby_cleanup);
	clean_up(ask);
	assert_true(answer);
	clean_up(ask_elsewhere);
	assert_false(answer);
	ask();
	assert_false(answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_pythons_end),
		cmocka_unit_test(knows_perls_end),
		cmocka_unit_test(knows_phps_end),
		cmocka_unit_test(knows_rubys_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
