/* SPDX-License-Identifier: PostgreSQL */
/* What is told of a connect before libpq is asked, and whether it still holds afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "key/connect_draft.h"
#include "spellings.h"

static const struct connect_call plain = {.function = CONNECT_STRING,
                                          .conninfo = "host=h port=1 user=u dbname=d"};

static struct connect_draft *draft_of(const char *conninfo)
{
	struct connect_call call = {.function = CONNECT_STRING, .conninfo = conninfo};

	return connect_draft_make(libpq, &call);
}

/* Whether a draft of the plain call agrees with what it means after `change`. */
static bool holds_after(void (*change)(void))
{
	struct connect_draft *draft = connect_draft_make(libpq, &plain);
	struct spelling *spelling;
	bool holds;

	assert_non_null(draft);
	if (change != NULL) {
		change();
	}
	spelling = identity_resolve(libpq, &plain);
	assert_non_null(spelling);
	holds = connect_draft_agrees(draft, libpq, &plain, spelling);
	spelling_release(spelling);
	connect_draft_free(draft);
	return holds;
}

static void change_option_of_environment(void)
{
	setenv("PGAPPNAME", "other", 1);
}

static void change_variable(void)
{
	setenv("PGTZ", "UTC", 1);
}

static void write_passfile(void)
{
	write_file(passfile, "*:*:*:*:other\n");
}

static void make_root_certificate(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/.postgresql", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	strcat(path, "/root.crt");
	write_file(path, "none\n");
}

static void remove_root_certificate(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/.postgresql/root.crt", folder);
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
}

static void holds_while_nothing_changes(void **state)
{
	(void)state;
	assert_true(holds_after(NULL));
	/* And where the meaning is known already. */
	assert_true(holds_after(NULL));
}

static void does_not_outlive_the_environment(void **state)
{
	(void)state;
	assert_false(holds_after(change_option_of_environment));
	assert_true(holds_after(NULL));
	unsetenv("PGAPPNAME");
	assert_false(holds_after(change_variable));
	unsetenv("PGTZ");
}

static void does_not_outlive_its_files(void **state)
{
	(void)state;
	setenv("PGPASSFILE", passfile, 1);
	write_file(passfile, "*:*:*:*:p\n");
	assert_true(holds_after(NULL));
	assert_false(holds_after(write_passfile));
	unsetenv("PGPASSFILE");
	assert_false(holds_after(make_root_certificate));
	assert_false(holds_after(remove_root_certificate));
}

static void is_of_its_own_call(void **state)
{
	const struct connect_call other = {.function = CONNECT_STRING,
	                                   .conninfo = "host=h port=1 user=u dbname=e"};
	struct connect_draft *draft = connect_draft_make(libpq, &plain);
	struct spelling *spelling = identity_resolve(libpq, &other);

	(void)state;
	assert_non_null(draft);
	assert_non_null(spelling);
	assert_false(connect_draft_agrees(draft, libpq, &other, spelling));
	spelling_release(spelling);
	connect_draft_free(draft);
}

static void says_what_call_and_environment_say(void **state)
{
	struct connect_draft *draft;

	(void)state;
	setenv("PGPORT", "7", 1);
	setenv("PGUSER", "u", 1);
	draft = draft_of("host='it''s' dbname='a b' port=8");
	assert_null(draft);
	draft = draft_of("host='it\\'s' dbname='a b' port=8");
	assert_non_null(draft);
	assert_non_null(strstr(draft->conninfo, "host='it\\'s' "));
	assert_non_null(strstr(draft->conninfo, "dbname='a b' "));
	assert_non_null(strstr(draft->conninfo, "port='8' "));
	assert_non_null(strstr(draft->conninfo, "user='u' "));
	assert_null(strstr(draft->conninfo, "sslmode"));
	connect_draft_free(draft);
	unsetenv("PGPORT");
	unsetenv("PGUSER");
}

static void is_not_made_where_libpq_must_be_asked_first(void **state)
{
	(void)state;
	assert_null(draft_of("user=u replication=database"));
	assert_null(draft_of("user=u service=s"));
	assert_null(draft_of("user=u no_such_option=1"));
	setenv("PGSERVICE", "s", 1);
	assert_null(draft_of("host=h user=u"));
	unsetenv("PGSERVICE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_while_nothing_changes),
		cmocka_unit_test(does_not_outlive_the_environment),
		cmocka_unit_test(does_not_outlive_its_files),
		cmocka_unit_test(is_of_its_own_call),
		cmocka_unit_test(says_what_call_and_environment_say),
		cmocka_unit_test(is_not_made_where_libpq_must_be_asked_first),
	};

	return cmocka_run_group_tests_name("connect_draft", tests, prepare, tidy_up);
}
