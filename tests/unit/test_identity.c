/* SPDX-License-Identifier: PostgreSQL */
/* Identity, with the real libpq's parser and no server: what is the same, what is not. */
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/libpq/libpq.h"
#include "key/identity.h"
#include "spellings.h"

static const char plain[] = "host=h port=1 user=u dbname=d password=p";

static void one_meaning_in_many_spellings(void **state)
{
	const char *const k[] = {"host", "port", "user", "dbname", "password", NULL};
	const char *const v[] = {"h", "1", "u", "d", "p", NULL};
	const char *const kx[] = {"dbname", "user", NULL};
	const char *const vx[] = {"postgres://x:p@h:1/d", "u", NULL};

	(void)state;
	assert_true(same(by_string(plain), by_string(plain)));
	assert_true(same(by_string(plain), by_string("postgresql://u:p@h:1/d")));
	assert_true(same(by_string(plain), by_string("  port='1' host = h dbname='d'\tuser=u "
	                                             "password=p")));
	assert_true(same(by_string(plain), by_params(k, v, 0)));
	assert_true(same(by_string(plain), by_params(k, v, 1)));
	assert_true(same(by_string(plain), by_params(kx, vx, 1)));
	assert_true(same(by_string(plain), by_login("h", "1", "d", "u", "p")));
	assert_true(same(by_string(plain),
	                 by_login("h", NULL, "port=1 host=other user=u dbname=d", "", "p")));
}

static void the_environment_fills_in(void **state)
{
	(void)state;
	setenv("PGUSER", "u", 1);
	setenv("PGPORT", "1", 1);
	assert_true(same(by_string(plain), by_string("host=h dbname=d password=p")));
	unsetenv("PGUSER");
	unsetenv("PGPORT");
	assert_false(same(by_string(plain), by_string("host=h dbname=d password=p")));
}

/* As psql does for its \\c: with what PQconninfo said of the connection before. */
static void what_libpq_fills_in_may_be_said(void **state)
{
	char said[256];
	struct passwd *pw = getpwuid(geteuid());
	char *home = getenv("HOME") != NULL ? strdup(getenv("HOME")) : NULL;

	(void)state;
	assert_true(same(by_string("host=h user=u"), by_string("host=h user=u dbname=u")));
	assert_false(same(by_string("host=h user=u"), by_string("host=h user=u dbname=d")));
	setenv("HOME", pw->pw_dir, 1);
	snprintf(said, sizeof(said), "host=h user=u passfile=%s/.pgpass", pw->pw_dir);
	assert_true(same(by_string("host=h user=u"), by_string(said)));
	assert_false(same(by_string("host=h user=u"), by_string("host=h user=u passfile=/x")));
	/* With a password there is nothing to fill in. */
	setenv("HOME", folder, 1);
	assert_false(same(by_string("host=h user=u"), by_string(said)));
	setenv("HOME", pw->pw_dir, 1);
	snprintf(said, sizeof(said), "%s passfile=%s/.pgpass", plain, pw->pw_dir);
	assert_false(same(by_string(plain), by_string(said)));
	unsetenv("HOME");
	if (home != NULL) {
		setenv("HOME", home, 1);
	}
	free(home);
}

static void every_option_tells_apart(void **state)
{
	PQconninfoOption *options = PQconndefaults();

	(void)state;
	assert_non_null(options);
	for (PQconninfoOption *o = options; o->keyword != NULL; o++) {
		char conninfo[256];

		if (strcmp(o->keyword, "replication") == 0 ||
		    strcmp(o->keyword, "service") == 0 ||
		    strcmp(o->keyword, "load_balance_hosts") == 0 ||
		    strcmp(o->keyword, "oauth_issuer") == 0) {
			continue;
		}
		snprintf(conninfo, sizeof(conninfo), "%s %s=other", plain, o->keyword);
		if (same(by_string(plain), by_string(conninfo))) {
			fail_msg("%s makes no difference", o->keyword);
		}
	}
	PQconninfoFree(options);
}

static void variables_tell_apart(void **state)
{
	static const char *const names[] = {
		"PGTZ",        "PGDATESTYLE",  "PGGEQO",        "PGOPTIONS",
		"PGAPPNAME",   "PGSSLMODE",    "KRB5CCNAME",    "PGSYSCONFDIR",
		"HOME",        "KRB5_CONFIG",  "SSL_CERT_FILE", "OPENSSL_CONF",
		"RES_OPTIONS", "LDAPTLS_CERT", "LOCALDOMAIN",   "HOSTALIASES"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct spelling *before = by_string(plain);
		const char *value = getenv(names[i]);
		char *old = value != NULL ? strdup(value) : NULL;

		setenv(names[i], "x", 1);
		if (same(before, by_string(plain))) {
			fail_msg("%s makes no difference", names[i]);
		}
		before = by_string(plain);
		setenv(names[i], "y", 1);
		assert_false(same(before, by_string(plain)));
		if (old != NULL) {
			setenv(names[i], old, 1);
			free(old);
		} else {
			unsetenv(names[i]);
		}
	}
	setenv("PQPOOL_TEST_UNRELATED", "x", 1);
	assert_true(same(by_string(plain), by_string(plain)));
	unsetenv("PQPOOL_TEST_UNRELATED");
}

/* Though somebody still has it. */
static void an_outdated_spelling_is_not_found_again(void **state)
{
	char conninfo[256];
	struct spelling *outdated;
	struct spelling *now;
	struct spelling *again;

	(void)state;
	write_file(passfile, "*:*:*:*:one\n");
	snprintf(conninfo, sizeof(conninfo), "host=h user=u passfile=%s", passfile);
	outdated = by_string(conninfo);
	write_file(passfile, "*:*:*:*:two and longer\n");
	now = by_string(conninfo);
	again = by_string(conninfo);
	assert_ptr_not_equal(now, outdated);
	assert_ptr_equal(now, again);
	spelling_release(outdated);
	spelling_release(now);
	spelling_release(again);
}

static void files_tell_apart(void **state)
{
	char conninfo[256];
	struct spelling *before;

	(void)state;
	write_file(passfile, "*:*:*:*:one\n");
	snprintf(conninfo, sizeof(conninfo), "host=h user=u passfile=%s", passfile);
	before = by_string(conninfo);
	write_file(passfile, "*:*:*:*:two and longer\n");
	assert_false(same(before, by_string(conninfo)));
	/* With a password of its own a connection does not look into the file. */
	strcat(conninfo, " password=p");
	before = by_string(conninfo);
	write_file(passfile, "*:*:*:*:three\n");
	assert_true(same(before, by_string(conninfo)));

	setenv("PGSERVICEFILE", servicefile, 1);
	write_file(servicefile, "[s]\nhost=one\n[t]\nhost=two\n");
	assert_false(same(by_string("service=s user=u"), by_string("service=t user=u")));
	before = by_string("service=s user=u");
	write_file(servicefile, "[s]\nhost=other\n");
	assert_false(same(before, by_string("service=s user=u")));
	unsetenv("PGSERVICEFILE");
}

/* As long as no server asks for a password it does not matter what the file says. */
static void a_passfile_matters_to_who_asks(void **state)
{
	char conninfo[256];
	struct spelling *before;

	(void)state;
	snprintf(conninfo, sizeof(conninfo), "host=h user=u passfile=%s", passfile);
	write_file(passfile, "*:*:*:*:one\n");
	before = by_string(conninfo);
	identity_note_password(before->identity, false);
	write_file(passfile, "*:*:*:*:two and longer\n");
	assert_true(identity_holds(before->identity));
	spelling_hold(before); /* same() gives one back each time */
	assert_true(same(before, by_string(conninfo)));
	identity_note_password(before->identity, true);
	assert_false(identity_holds(before->identity));
	/* One host may ask, and another not. */
	identity_note_password(before->identity, false);
	assert_false(same(before, by_string(conninfo)));
}

/* Of all the files that may be in ~/.postgresql none is, as long as there is no such folder. */
static void a_missing_folder_is_one_look(void **state)
{
	char inner[256];
	char key[300];
	struct spelling *before = by_string(plain);
	size_t looks = before->identity->watches.count;

	(void)state;
	snprintf(inner, sizeof(inner), "%s/.postgresql", folder);
	snprintf(key, sizeof(key), "%s/postgresql.key", inner);
	assert_int_equal(mkdir(inner, 0700), 0);
	assert_false(same(before, by_string(plain)));
	before = by_string(plain);
	assert_true(before->identity->watches.count > looks + 2);
	write_file(key, "a key");
	assert_false(same(before, by_string(plain)));
	unlink(key);
	rmdir(inner);
}

static void the_effective_user_tells_apart(void **state)
{
	struct spelling *before = by_string(plain);
	bool equal;

	(void)state;
	if (geteuid() != 0) {
		spelling_release(before);
		print_message("not root: the effective user cannot be changed\n");
		return;
	}
	assert_int_equal(seteuid(65534), 0);
	equal = same(before, by_string(plain));
	assert_int_equal(seteuid(0), 0);
	assert_false(equal);
}

static void what_is_not_pooled(void **state)
{
	const char *const k[] = {"no_such_option", NULL};
	const char *const v[] = {"x", NULL};

	(void)state;
	assert_null(by_string("host='unfinished"));
	assert_null(by_string(NULL));
	assert_null(by_string("no_such_option=1"));
	assert_null(by_params(k, v, 0));
	assert_null(by_string("replication=database dbname=d"));
	assert_null(by_string("replication=true"));
	assert_true(same(by_string("replication=off"), by_string("replication=off")));
}

/* An option of a newer libpq, and what a service or the environment says of it. */
static char option[32];
static const char *option_value;

static PQconninfoOption *with_option(PQconninfoOption *options, const char *value)
{
	PQconninfoOption *more;
	size_t count = 0;

	while (options[count].keyword != NULL && strcmp(options[count].keyword, option) != 0) {
		count++;
	}
	if (options[count].keyword != NULL) { /* this libpq is one of these */
		free(options[count].val);
		options[count].val = value != NULL ? strdup(value) : NULL;
		return options;
	}
	more = realloc(options, (count + 2) * sizeof(*more));
	assert_non_null(more);
	more[count + 1] = more[count];
	more[count] = (PQconninfoOption){.keyword = option};
	if (value != NULL) {
		more[count].val = strdup(value);
	}
	return more;
}

static PQconninfoOption *parsed_and_option(const char *conninfo, char **error)
{
	return with_option(PQconninfoParse(conninfo, error), NULL);
}

static PQconninfoOption *merged_and_option(PGconn *conn)
{
	return with_option(PQconninfo(conn), option_value);
}

/* Each with a libpq of its own, by which what was understood before is remembered. */
static struct spelling *with(const char *keyword, const char *value)
{
	static struct libpq newer[16];
	static size_t count;
	struct connect_call call = {.function = CONNECT_STRING, .conninfo = plain};

	assert_true(count < sizeof(newer) / sizeof(newer[0]));
	newer[count] = *libpq;
	newer[count].PQconninfoParse = parsed_and_option;
	newer[count].PQconninfo = merged_and_option;
	snprintf(option, sizeof(option), "%s", keyword);
	option_value = value;
	return identity_resolve(&newer[count++], &call);
}

static bool is_pooled_with(const char *keyword, const char *value)
{
	struct spelling *s = with(keyword, value);

	if (s != NULL) {
		spelling_release(s);
	}
	return s != NULL;
}

static void what_newer_libpqs_know(void **state)
{
	(void)state;
	assert_true(is_pooled_with("load_balance_hosts", "disable"));
	assert_false(is_pooled_with("load_balance_hosts", "random"));
	assert_true(is_pooled_with("oauth_issuer", NULL));
	assert_false(is_pooled_with("oauth_issuer", "https://example.org"));
}

/* One that nobody has heard of yet is said as libpq has it, and part of the key. */
static void what_no_libpq_knows_yet(void **state)
{
	struct spelling *s = with("of_tomorrow", "it's");

	(void)state;
	assert_non_null(strstr(s->conninfo, "of_tomorrow='it\\'s'"));
	spelling_release(s);
}

/* The string a session is opened with, read again by libpq, says what the call said. */
static void the_string_repeats_the_call(void **state)
{
	const char *const k[] = {"host", "dbname", "user", "password", "host", NULL};
	const char *const v[] = {"ignored", "a'b\\c =d", "u", " p' ", "h", NULL};
	struct spelling *s = by_params(k, v, 0);
	PQconninfoOption *options;
	char *error = NULL;

	(void)state;
	assert_non_null(s);
	options = PQconninfoParse(s->conninfo, &error);
	assert_null(error);
	assert_non_null(options);
	for (PQconninfoOption *o = options; o->keyword != NULL; o++) {
		for (size_t i = 1; k[i] != NULL; i++) {
			if (strcmp(o->keyword, k[i]) == 0) {
				assert_string_equal(o->val, v[i]);
			}
		}
	}
	PQconninfoFree(options);
	spelling_release(s);
}

/* A connection that was made with it says of itself what one made by the call itself says. */
static void the_string_is_the_same_connection(void **state)
{
	/* No host answers: both fail, and say of their options what they say. */
	static const char call[] = "service=s host=/nowhere fallback_application_name=f";
	struct spelling *s;
	PGconn *conns[2];
	PQconninfoOption *options[2];

	(void)state;
	setenv("PGSERVICEFILE", servicefile, 1);
	setenv("PGOPTIONS", "-c geqo=off", 1);
	write_file(servicefile, "[s]\nport=77\nclient_encoding=auto\napplication_name=it's\n");
	s = by_string(call);
	assert_non_null(s);
	conns[0] = PQconnectdb(call);
	unsetenv("PGOPTIONS");
	conns[1] = PQconnectdb(s->conninfo);
	options[0] = PQconninfo(conns[0]);
	options[1] = PQconninfo(conns[1]);
	assert_string_equal(PQerrorMessage(conns[0]), PQerrorMessage(conns[1]));
	for (size_t i = 0; options[0][i].keyword != NULL; i++) {
		const char *one = options[0][i].val;
		const char *other = options[1][i].val;

		if ((one == NULL) != (other == NULL) ||
		    (one != NULL && strcmp(one, other) != 0)) {
			fail_msg("%s is %s, not %s", options[0][i].keyword, other, one);
		}
	}
	for (size_t i = 0; i < 2; i++) {
		PQconninfoFree(options[i]);
		PQfinish(conns[i]);
	}
	spelling_release(s);
	unsetenv("PGSERVICEFILE");
}

static void the_timeout_is_put_in_where_none_is(void **state)
{
	struct identity_settings settings = {.connect_timeout_s = 7};
	struct spelling *s;

	(void)state;
	identity_configure(&settings);
	s = by_string("host=timeout1");
	assert_non_null(strstr(s->conninfo, "connect_timeout=' +7'"));
	spelling_release(s);
	s = by_string("host=timeout2 connect_timeout=3");
	assert_null(strstr(s->conninfo, "'7'"));
	assert_non_null(strstr(s->conninfo, "connect_timeout='3'"));
	spelling_release(s);
	setenv("PGCONNECT_TIMEOUT", "4", 1);
	s = by_string("host=timeout3");
	assert_non_null(strstr(s->conninfo, "connect_timeout='4'"));
	spelling_release(s);
	unsetenv("PGCONNECT_TIMEOUT");
	settings.connect_timeout_s = 0;
	identity_configure(&settings);
}

static void the_route_takes_the_hosts_place(void **state)
{
	struct identity_settings settings = {.route = "[::1]:6432"};
	struct spelling *s;

	(void)state;
	identity_configure(&settings);
	s = by_string("host=routed hostaddr=10.0.0.1 port=5433 user=u");
	assert_non_null(strstr(s->conninfo, "host='::1'"));
	assert_non_null(strstr(s->conninfo, "hostaddr=''"));
	assert_non_null(strstr(s->conninfo, "port='6432'"));
	assert_string_equal(s->identity->label, "u@::1:6432/u");
	spelling_release(s);
	settings.route = "bouncer";
	identity_configure(&settings);
	s = by_string("host=routed port=5433 user=u dbname=d");
	assert_string_equal(s->identity->label, "u@bouncer:5433/d");
	spelling_release(s);
	settings.route = NULL;
	identity_configure(&settings);
}

static void the_label_keeps_the_secret(void **state)
{
	struct spelling *s = by_string("postgres://u:secret@h:5/d?application_name=a");

	(void)state;
	assert_string_equal(s->identity->label, "u@h:5/d");
	spelling_release(s);
}

/* Far more spellings than are remembered: nothing breaks, and the memory comes back. */
static void forgets_spellings(void **state)
{
	(void)state;
	for (int i = 0; i < 5000; i++) {
		char conninfo[64];
		struct spelling *s;

		snprintf(conninfo, sizeof(conninfo), "host=h application_name=%d", i);
		s = by_string(conninfo);
		assert_non_null(s);
		spelling_release(s);
	}
	assert_true(same(by_string(plain), by_string(plain)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_meaning_in_many_spellings),
		cmocka_unit_test(the_environment_fills_in),
		cmocka_unit_test(what_libpq_fills_in_may_be_said),
		cmocka_unit_test(every_option_tells_apart),
		cmocka_unit_test(variables_tell_apart),
		cmocka_unit_test(an_outdated_spelling_is_not_found_again),
		cmocka_unit_test(files_tell_apart),
		cmocka_unit_test(a_passfile_matters_to_who_asks),
		cmocka_unit_test(a_missing_folder_is_one_look),
		cmocka_unit_test(the_effective_user_tells_apart),
		cmocka_unit_test(what_is_not_pooled),
		cmocka_unit_test(what_newer_libpqs_know),
		cmocka_unit_test(what_no_libpq_knows_yet),
		cmocka_unit_test(the_string_repeats_the_call),
		cmocka_unit_test(the_string_is_the_same_connection),
		cmocka_unit_test(the_timeout_is_put_in_where_none_is),
		cmocka_unit_test(the_route_takes_the_hosts_place),
		cmocka_unit_test(the_label_keeps_the_secret),
		cmocka_unit_test(forgets_spellings),
	};

	return cmocka_run_group_tests(tests, prepare, tidy_up);
}
