/* SPDX-License-Identifier: PostgreSQL */
/* What a service says, and what may change before a session is opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "key/identity.h"
#include "spellings.h"

static bool is_pooled(const char *conninfo)
{
	struct spelling *s = by_string(conninfo);

	if (s != NULL) {
		spelling_release(s);
	}
	return s != NULL;
}

static void what_a_service_says_counts(void **state)
{
	(void)state;
	setenv("PGSERVICEFILE", servicefile, 1);
	write_file(servicefile,
	           "# a comment\n[replicating]\nreplication=database\n[s]\nhost=h\n"
	           "port=1\n user=u\ndbname=d\r\npassword=p\n[bad]\nnone_such=1\n"
	           "[asked]\nldap://directory/what\n[last]\nhost=h\n");
	assert_false(is_pooled("service=replicating"));
	assert_true(is_pooled("service=s"));
	assert_true(is_pooled("service=last"));
	assert_false(is_pooled("service=asked"));
	assert_false(is_pooled("service=bad"));
	assert_false(is_pooled("service=none"));
	setenv("PGSERVICE", "replicating", 1);
	assert_false(is_pooled("host=h"));
	assert_true(is_pooled("host=h service=s"));
	unsetenv("PGSERVICE");
	setenv("PGSERVICEFILE", "/nowhere", 1);
	assert_false(is_pooled("service=s"));
	unsetenv("PGSERVICEFILE");
}

/* A file that only a service names is watched as any other. */
static void files_that_a_service_names_tell_apart(void **state)
{
	static const char *const options[] = {"passfile", "sslcert",     "sslkey",
	                                      "sslcrl",   "sslrootcert", "sslcrldir"};

	(void)state;
	setenv("PGSERVICEFILE", servicefile, 1);
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct spelling *before;
		char text[256];

		write_file(passfile, "one");
		snprintf(text, sizeof(text), "[s]\nhost=h\n%s=%s\n", options[i], passfile);
		write_file(servicefile, text);
		before = by_string("service=s user=u");
		assert_true(same(by_string("service=s user=u"), by_string("service=s user=u")));
		write_file(passfile, "two and longer");
		if (same(before, by_string("service=s user=u"))) {
			fail_msg("%s makes no difference", options[i]);
		}
	}
	unsetenv("PGSERVICEFILE");
}

static void a_service_file_of_any_size(void **state)
{
	FILE *f = fopen(servicefile, "w");
	struct spelling *before;

	(void)state;
	assert_non_null(f);
	for (int i = 0; i < 20000; i++) {
		fprintf(f, "[s%d]\nhost=h%d\nuser=u\n", i, i);
	}
	fclose(f);
	setenv("PGSERVICEFILE", servicefile, 1);
	before = by_string("service=s19999");
	assert_non_null(strstr(before->conninfo, "host='h19999'"));
	spelling_release(before);
	unsetenv("PGSERVICEFILE");
}

static void services_of_the_system(void **state)
{
	char home[128];

	(void)state;
	snprintf(home, sizeof(home), "%s/pg_service.conf", folder);
	setenv("PGSYSCONFDIR", folder, 1);
	write_file(home, "[s]\nhost=system\n");
	assert_true(same(by_string("service=s user=u"), by_string("service=s user=u")));
	unlink(home);
	assert_false(is_pooled("service=s user=u"));
	unsetenv("PGSYSCONFDIR");
	/* Nothing is known of the one that is compiled in but that it is no secret. */
	assert_false(is_pooled("service=pqpool_no_such_service"));
}

/* How libpq was told to insist on TLS before there was sslmode. */
static void what_older_programs_say(void **state)
{
	struct spelling *plain = by_string("host=h user=u");
	struct spelling *by_option = by_string("host=h user=u requiressl=1");
	struct spelling *by_variable;

	(void)state;
	setenv("PGREQUIRESSL", "1", 1);
	by_variable = by_string("host=h user=u");
	unsetenv("PGREQUIRESSL");
	assert_null(strstr(plain->conninfo, "require"));
	assert_non_null(strstr(by_option->conninfo, "sslmode='require'"));
	assert_non_null(strstr(by_variable->conninfo, "sslmode='require'"));
	assert_false(same(plain, by_option));
	spelling_release(by_variable);
}

/* ---- surroundings ------------------------------------------------------------------------ */

static bool holds_without(const char *conninfo, const char *variable, const char *value)
{
	const char *before = getenv(variable);
	char *kept = before != NULL ? strdup(before) : NULL;
	struct spelling *s = by_string(conninfo);
	bool holds;

	assert_non_null(s);
	assert_true(identity_holds(s->identity));
	setenv(variable, value, 1);
	holds = identity_holds(s->identity);
	unsetenv(variable);
	if (kept != NULL) {
		setenv(variable, kept, 1);
		free(kept);
	}
	assert_true(identity_holds(s->identity));
	spelling_release(s);
	return holds;
}

/* What the session's options say is said for good; the rest must not have changed. */
static void what_may_change_before_a_session_is_opened(void **state)
{
	struct spelling *s;
	char conninfo[256];

	(void)state;
	/* Set anew it would come behind SSL_CERT_DIR, and order counts. */
	unsetenv("SSL_CERT_FILE");
	assert_true(holds_without("host=h user=u", "PGUSER", "other"));
	assert_true(holds_without("host=h user=u", "PGOPTIONS", "-c geqo=off"));
	assert_false(holds_without("host=h user=u", "PGTZ", "UTC"));
	assert_false(holds_without("host=h user=u", "PGGEQO", "off"));
	assert_false(holds_without("host=h user=u", "SSL_CERT_FILE", "/x"));
	write_file(passfile, "*:*:*:*:one\n");
	snprintf(conninfo, sizeof(conninfo), "host=h user=u passfile=%s", passfile);
	s = by_string(conninfo);
	write_file(passfile, "*:*:*:*:two and longer\n");
	assert_false(identity_holds(s->identity));
	spelling_release(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_service_says_counts),
		cmocka_unit_test(files_that_a_service_names_tell_apart),
		cmocka_unit_test(a_service_file_of_any_size),
		cmocka_unit_test(services_of_the_system),
		cmocka_unit_test(what_older_programs_say),
		cmocka_unit_test(what_may_change_before_a_session_is_opened),
	};

	return cmocka_run_group_tests(tests, prepare, tidy_up);
}
