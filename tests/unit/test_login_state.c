/* SPDX-License-Identifier: PostgreSQL */
/* What is asked of a session, by its server's version and by what was answered before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include "base/clock.h"
#include "session/opened/login_state.h"

#define NOW (10000 * NS_PER_SEC)

/* A result of one column, which stands for a PGresult. */
struct answer {
	const char *column;
	char *value; /* NULL: no row */
};

static int version;

static int server_version(const PGconn *conn)
{
	(void)conn;
	return version;
}

static ExecStatusType result_status(const PGresult *result)
{
	return result != NULL ? PGRES_TUPLES_OK : PGRES_COMMAND_OK;
}

static int tuples(const PGresult *result)
{
	return ((const struct answer *)result)->value != NULL;
}

static int field_number(const PGresult *result, const char *name)
{
	return strcmp(((const struct answer *)result)->column, name) == 0 ? 0 : -1;
}

static char *value(const PGresult *result, int row, int column)
{
	assert_int_equal(row + column, 0);
	return ((const struct answer *)result)->value;
}

static const struct libpq libpq = {
	.PQserverVersion = server_version,
	.PQresultStatus = result_status,
	.PQntuples = tuples,
	.PQfnumber = field_number,
	.PQgetvalue = value,
};

static struct login_state login;

static void on_version(int number)
{
	version = number;
	login_state_note(&login, &libpq, NULL);
}

static void answered(const char *column, const char *text)
{
	char copy[16] = "";
	struct answer answer = {column, text != NULL ? strcpy(copy, text) : NULL};

	login_state_answer(&login, &libpq, (const PGresult *)&answer);
}

static bool asks(const char *word, uint64_t now_ns)
{
	struct login_state asked = login;
	const char *question = login_state_question(&asked, now_ns, true);

	return question != NULL && strstr(question, word) != NULL;
}

static void roles_are_lost_before_some_minors(void **state)
{
	static const int losing[] = {90600,  100023, 110022, 120021, 130017,
	                             140014, 150009, 160005, 170001};
	static const int keeping[] = {120022, 130018, 140015, 150010, 160006,
	                              170002, 170010, 180000, 190000};

	(void)state;
	for (size_t i = 0; i < sizeof(losing) / sizeof(losing[0]); i++) {
		on_version(losing[i]);
		assert_false(asks("ROLE", NOW));
		login_state_was_reset(&login);
		assert_true(asks("RESET ROLE", NOW));
	}
	for (size_t i = 0; i < sizeof(keeping) / sizeof(keeping[0]); i++) {
		on_version(keeping[i]);
		login_state_was_reset(&login);
		assert_false(asks("ROLE", NOW));
	}
}

static void a_role_is_brought_back_after_each_reset(void **state)
{
	(void)state;
	on_version(150008);
	for (int i = 0; i < 3; i++) {
		login_state_was_reset(&login);
		assert_true(asks("ROLE", NOW));
		login_state_answer(&login, &libpq, NULL);
		assert_true(asks("ROLE", NOW));
		answered("role", "owner");
		assert_false(asks("ROLE", NOW));
	}
}

static void no_role_is_asked_for_once(void **state)
{
	(void)state;
	on_version(150008);
	login_state_was_reset(&login);
	answered("role", "none");
	login_state_was_reset(&login);
	assert_false(asks("ROLE", NOW));
	/* Without a row nothing is known. */
	on_version(150008);
	login_state_was_reset(&login);
	answered("role", NULL);
	login_state_was_reset(&login);
	assert_true(asks("ROLE", NOW));
}

static void triggers_are_asked_for_every_second(void **state)
{
	(void)state;
	on_version(160014);
	assert_null(login_state_question(&login, NOW, true));
	on_version(170010);
	assert_true(asks("dathasloginevt", NOW));
	assert_non_null(login_state_question(&login, NOW, true));
	answered("dathasloginevt", "f");
	assert_false(login.triggers);
	assert_null(login_state_question(&login, NOW + NS_PER_SEC, true));
	assert_non_null(login_state_question(&login, NOW + NS_PER_SEC + 1, true));
	assert_null(login_state_question(&login, NOW + 9 * NS_PER_SEC, false));
	answered("dathasloginevt", "t");
	assert_true(login.triggers);
}

static void a_database_that_is_not_there_may_have_triggers(void **state)
{
	(void)state;
	on_version(170010);
	answered("dathasloginevt", NULL);
	assert_true(login.triggers);
}

static void both_are_asked_at_once(void **state)
{
	(void)state;
	on_version(170000);
	login_state_was_reset(&login);
	assert_true(asks("ROLE", NOW) && asks("dathasloginevt", NOW));
	login_state_question(&login, NOW, true);
	assert_true(asks("ROLE", NOW) && !asks("dathasloginevt", NOW));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roles_are_lost_before_some_minors),
		cmocka_unit_test(a_role_is_brought_back_after_each_reset),
		cmocka_unit_test(no_role_is_asked_for_once),
		cmocka_unit_test(triggers_are_asked_for_every_second),
		cmocka_unit_test(a_database_that_is_not_there_may_have_triggers),
		cmocka_unit_test(both_are_asked_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
