/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the shim's modules do when memory is out: for each allocation, whatever of them it
 * belongs to. `make inject` does the same with whole programs.
 *
 * This long because each module has its scene here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <sys/socket.h>

#include "base/config/config.h"
#include "base/config/program.h"
#include "base/fd.h"
#include "base/libpq/caller.h"
#include "base/libpq/objects.h"
#include "base/text/keybuf.h"
#include "key/connect_draft.h"
#include "key/home_folder.h"
#include "memory_out.h"
#include "pool/registry.h"
#include "pool/thread_cache.h"
#include "session/cancel/address_table.h"
#include "session/cancel/cancel_scope.h"
#include "share/packet.h"
#include "share/start_record.h"
#include "spellings.h"
#include "trace/lease/lease.h"
#include "trace/report/suppressions.h"
#include "trace/stack/stack.h"

static unsigned complaints;

static void hear(void *arg, const char *line)
{
	(void)arg;
	require(strncmp(line, "pqpool: ", 8) == 0);
	complaints++;
}

/* ---- base/ ---- */

/* A value that cannot be copied is complained of; then the program runs unpooled. */
static bool load_settings(void)
{
	static struct config kept[2]; /* what was copied is never freed */
	static size_t loads;
	static const char *const variables[] = {"PQPOOL_LOG=/x.log", "PQPOOL_ONLY=a,b",
	                                        "PQPOOL_PING_QUERY=SELECT 2", "PQPOOL_SIZE=7",
	                                        NULL};
	struct config *config = &kept[loads++];
	bool good;

	complaints = 0;
	good = config_load(config, (char *const *)variables, hear, NULL);
	require(good == (complaints == 0));
	require(config->size == 7 && config->log != NULL && config->ping_query != NULL);
	require(!good || strcmp(config->log, "/x.log") == 0);
	return good;
}

static void settings_are_complained_of(void **state)
{
	(void)state;
	each_allocation_fails(load_settings, 3);
}

static bool list_settings(void)
{
	bool whole = program_settings() != NULL;

	/* What the program is told is the reason, and no other one. */
	require(!program_settings_are_cut());
	return whole;
}

static void settings_of_the_program_are_asked_for_again(void **state)
{
	(void)state;
	each_allocation_fails(list_settings, 1);
}

static bool grow_key(void)
{
	char room[8];
	struct keybuf key;
	bool whole;

	keybuf_init(&key, room, sizeof(room));
	for (unsigned i = 0; i < 40; i++) {
		keybuf_field(&key, "a field");
	}
	whole = !key.failed;
	require(!whole || (key.len == 40 * 9 && memcmp(key.data + 39 * 9, "=a field", 9) == 0));
	keybuf_wipe(&key);
	return whole;
}

static void a_key_remembers_that_it_is_cut(void **state)
{
	(void)state;
	each_allocation_fails(grow_key, 2);
}

static bool find_libpq(void)
{
	struct libpq_caller caller = libpq_of_caller((const void *)find_libpq);

	require(!caller.inside);
	require(caller.libpq == NULL || caller.libpq->PQconnectdb != NULL);
	return caller.libpq != NULL;
}

static void a_libpq_is_asked_for_again(void **state)
{
	(void)state;
	each_allocation_fails(find_libpq, 1);
}

/* One that was overlooked would make another the only one. */
static bool find_only_libpq(void)
{
	void *found = object_only_landmark();

	require(found == NULL || memory_point < 0 || !memory_failed);
	return found != NULL;
}

static void the_only_libpq_is_none_if_one_may_be_overlooked(void **state)
{
	(void)state;
	each_allocation_fails(find_only_libpq, 4);
}

/* ---- trace/ ---- */

static bool capture_stack(void)
{
	uint32_t id = stack_capture(__builtin_return_address(0), 8);
	const struct stack *stack = stack_get(id);

	require((id == 0) == (stack == NULL));
	require(stack == NULL || (stack->depth > 0 && stack->frames[0].module != NULL));
	return stack != NULL && stack_place(id) != 0;
}

static void a_stack_is_unknown(void **state)
{
	(void)state;
	each_allocation_fails(capture_stack, 4);
}

static bool load_suppressions(void)
{
	if (suppress_file() != NULL) {
		return true; /* it is to be called once */
	}
	complaints = 0;
	suppress_load(servicefile, hear, NULL);
	require((suppress_file() != NULL) == (complaints == 0));
	return suppress_file() != NULL;
}

static void suppressions_are_all_there_or_none(void **state)
{
	(void)state;
	write_file(servicefile, "# none\nfunction:a\nmodule:b\nc\n");
	each_allocation_fails(load_suppressions, 2);
}

static bool lease_once(void)
{
	static char conn;
	static struct lease lease;
	struct lease *vanished;
	struct lease *entry;

	memset(&lease, 0, sizeof(lease));
	lease.conn = &conn;
	lease.pool = "u@h:1/d";
	if (!lease_register(&lease, &vanished)) {
		require(lease_find(&conn, &entry) == LEASE_UNKNOWN);
		return false;
	}
	require(vanished == NULL && lease_find(&conn, &entry) == LEASE_IDLE && entry == &lease);
	lease_forget(&lease);
	return true;
}

static void a_connection_without_an_entry_is_unknown(void **state)
{
	(void)state;
	each_allocation_fails(lease_once, 2);
}

/* ---- session/cancel/ ---- */

static bool list_address(void)
{
	static struct address_table table;
	static char places[3];
	bool whole = true;

	for (size_t i = 0; i < 3; i++) {
		void *old;
		bool put = address_table_put(&table, &places[i], &places[0], &old);

		require(!put || old == NULL);
		require(address_table_find(&table, &places[i]) == (put ? &places[0] : NULL));
		whole = whole && put;
	}
	for (size_t i = 0; i < 3; i++) {
		address_table_take(&table, &places[i]);
	}
	return whole;
}

static void an_address_is_listed_or_not(void **state)
{
	(void)state;
	each_allocation_fails(list_address, 3);
}

static bool join_scope(void)
{
	struct cancel_scope *scope = NULL;
	struct cancel_scope *joined = cancel_scope_join(&scope);
	bool whole = joined != NULL;

	require(whole == (scope != NULL));
	cancel_scope_leave(joined);
	require(cancel_scope_close(&scope) && scope == NULL);
	return whole;
}

static void a_lease_without_a_scope_ends(void **state)
{
	(void)state;
	each_allocation_fails(join_scope, 1);
}

/* ---- share/ ---- */

static int socket_7(const PGconn *conn)
{
	(void)conn;
	return 7;
}

static int number_1(const PGconn *conn)
{
	(void)conn;
	return 1;
}

static const struct libpq made_up = {
	.PQsocket = socket_7, .PQbackendPID = number_1, .PQconnectionUsedPassword = number_1};

static bool record_start(void)
{
	static const char startup[] = "\0\0\0\x10\0\x03\0\0user\0u\0";
	static const char reply[] =
		"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x2a\0\0\0\1Z\0\0\0\5I";
	struct start_tape *tape = start_tape_blank(&made_up);
	struct start_tape *played = NULL;
	struct keeper_record *record = NULL;

	if (tape != NULL) {
		tape->fd = 7;
		tape->address.ss_family = AF_UNIX;
		tape->address_len = sizeof(sa_family_t);
		memcpy(tape->sent, startup, sizeof(startup));
		tape->sent_len = sizeof(startup);
		memcpy(tape->received, reply, sizeof(reply) - 1);
		tape->received_len = sizeof(reply) - 1;
		record = start_record_make(tape, &made_up, NULL);
	}
	if (record != NULL) {
		require(start_record_is_whole(record, start_record_size(record)));
		played = start_tape_of(&made_up, record, 7);
	}
	start_tape_free(played);
	free(record);
	start_tape_free(tape);
	return played != NULL;
}

static void a_start_is_not_recorded(void **state)
{
	(void)state;
	each_allocation_fails(record_start, 3);
}

/* What is said to be broken is hung up. */
static bool receive_packet(void)
{
	struct packet packet = {.fd = -1};
	enum packet_outcome outcome;
	int ends[2];

	require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) == 0);
	require(packet_send(ends[0], KEEPER_WAIT, NULL, 0, ends[0], 0));
	outcome = packet_receive(ends[1], &packet);
	require(outcome == PACKET_HERE || outcome == PACKET_BROKEN);
	if (outcome == PACKET_HERE) {
		require(packet.type == KEEPER_WAIT && packet.fd >= 0);
		packet_end(&packet);
	}
	close(ends[0]);
	close(ends[1]);
	return outcome == PACKET_HERE;
}

static void a_message_is_broken(void **state)
{
	(void)state;
	each_allocation_fails(receive_packet, 1);
}

/* ---- key/ and pool/ ---- */

static bool read_arguments(void)
{
	const struct connect_call call = {.function = CONNECT_STRING,
	                                  .conninfo = "host=h user=u password=p"};
	struct conninfo ci;
	char *text;
	bool whole;

	if (!conninfo_read(&ci, libpq, &call, "other:7")) {
		return false;
	}
	text = conninfo_given_text(&ci, "user=v");
	whole = text != NULL;
	require(!whole || (strstr(text, "host") != NULL && strstr(text, "other") != NULL &&
	                   strstr(text, "user=v") != NULL));
	free(text);
	conninfo_free(&ci);
	return whole;
}

static void arguments_are_read_or_not(void **state)
{
	(void)state;
	each_allocation_fails(read_arguments, 3);
}

/* Its home, too, has files that libpq may look into. */
static bool resolve_by(const char *conninfo, const char *label)
{
	struct spelling *spelling = by_string(conninfo);
	struct spelling *again = by_string(conninfo);

	for (size_t i = 0; i < 2; i++) {
		const struct spelling *each = i == 0 ? spelling : again;

		require(each == NULL ||
		        (strcmp(each->identity->label, label) == 0 && each->conninfo != NULL));
	}
	if (spelling != NULL) {
		require(identity_holds(spelling->identity));
		spelling_release(spelling);
	}
	if (again != NULL) {
		spelling_release(again);
	}
	return spelling != NULL && again != NULL && spelling == again;
}

static bool resolve(void)
{
	return resolve_by("host=h port=1 user=u dbname=d sslmode=verify-full", "u@h:1/d");
}

static bool resolve_service(void)
{
	return resolve_by("service=s user=u", "u@served:2/d service=s");
}

/* That a file of the user's own comes before it is not forgotten. */
static bool resolve_service_of_system(void)
{
	bool whole = resolve_service();
	struct spelling *spelling;
	char path[96];

	if (memory_point >= 0) {
		return whole;
	}
	snprintf(path, sizeof(path), "%s/.pg_service.conf", folder);
	require(symlink("own", path) == 0);
	spelling = by_string("service=s user=u");
	unlink(path);
	require(spelling != NULL &&
	        strcmp(spelling->identity->label, "u@own:3/d service=s") == 0);
	spelling_release(spelling);
	return whole;
}

static bool resolve_without_home_variable(void)
{
	bool whole;

	unsetenv("HOME");
	whole = resolve_by("host=h port=1 user=u dbname=d", "u@h:1/d");
	setenv("HOME", folder, 1);
	return whole;
}

static void a_connect_is_not_pooled(void **state)
{
	(void)state;
	each_allocation_fails(resolve, 10);
	each_allocation_fails(resolve_without_home_variable, 10);
}

/* The service of a file that could not be found out is in no pool. */
static void a_service_is_not_pooled(void **state)
{
	char path[96];
	char own[96];

	(void)state;
	snprintf(path, sizeof(path), "%s/.pg_service.conf", folder);
	write_file(path, "[s]\nhost=served\nport=2\ndbname=d\n");
	each_allocation_fails(resolve_service, 10);
	unlink(path);
	snprintf(path, sizeof(path), "%s/pg_service.conf", folder);
	write_file(path, "[s]\nhost=served\nport=2\ndbname=d\n");
	snprintf(own, sizeof(own), "%s/own", folder);
	write_file(own, "[s]\nhost=own\nport=3\ndbname=d\n");
	setenv("PGSYSCONFDIR", folder, 1);
	each_allocation_fails(resolve_service_of_system, 10);
	unsetenv("PGSYSCONFDIR");
	unlink(path);
	unlink(own);
}

static bool find_home(void)
{
	char *home = home_folder_find(libpq);
	bool whole = home != NULL;

	require(!whole || strcmp(home, folder) == 0);
	free(home);
	return whole;
}

static void a_home_is_none(void **state)
{
	(void)state;
	each_allocation_fails(find_home, 1);
}

static bool draft(void)
{
	const struct connect_call call = {.function = CONNECT_STRING,
	                                  .conninfo = "host=h port=1 user=u dbname=d"};
	struct connect_draft *made = connect_draft_make(libpq, &call);
	struct spelling *spelling = identity_resolve(libpq, &call);
	bool whole = made != NULL && spelling != NULL;

	require(!whole || connect_draft_agrees(made, libpq, &call, spelling) || memory_failed);
	if (spelling != NULL) {
		spelling_release(spelling);
	}
	connect_draft_free(made);
	return whole;
}

static void a_connect_is_not_begun_early(void **state)
{
	(void)state;
	each_allocation_fails(draft, 10);
}

static bool ask_lender(void)
{
	const struct connect_call call = {.function = CONNECT_STRING,
	                                  .conninfo = "host=h port=1 user=u dbname=d"};
	struct spelling *spelling;
	struct lender *lender;
	bool counted = thread_cache_ask(libpq, &call, &spelling, &lender);
	bool whole = spelling != NULL && lender != NULL;

	require(lender == NULL || (spelling != NULL && lender->identity == spelling->identity));
	if (counted && lender != NULL) {
		lender_release(lender);
	}
	if (counted && spelling != NULL) {
		spelling_release(spelling);
	}
	return whole;
}

static void a_pool_is_none(void **state)
{
	(void)state;
	thread_cache_configure();
	/* A home that cannot be found out makes another pool, which stays. */
	memory_spare = 4;
	each_allocation_fails(ask_lender, 10);
	memory_spare = 0;
}

int main(void)
{
	const struct CMUnitTest bare[] = {
		/* First: later ones know a libpq. */
		cmocka_unit_test(a_libpq_is_asked_for_again),
		cmocka_unit_test(the_only_libpq_is_none_if_one_may_be_overlooked),
		cmocka_unit_test(settings_are_complained_of),
		cmocka_unit_test(settings_of_the_program_are_asked_for_again),
		cmocka_unit_test(a_key_remembers_that_it_is_cut),
		cmocka_unit_test(a_stack_is_unknown),
		cmocka_unit_test(a_connection_without_an_entry_is_unknown),
		cmocka_unit_test(an_address_is_listed_or_not),
		cmocka_unit_test(a_lease_without_a_scope_ends),
		cmocka_unit_test(a_start_is_not_recorded),
		cmocka_unit_test(a_message_is_broken),
	};
	const struct CMUnitTest with_libpq[] = {
		cmocka_unit_test(suppressions_are_all_there_or_none),
		cmocka_unit_test(arguments_are_read_or_not),
		cmocka_unit_test(a_connect_is_not_pooled),
		cmocka_unit_test(a_service_is_not_pooled),
		cmocka_unit_test(a_home_is_none),
		cmocka_unit_test(a_connect_is_not_begun_early),
		cmocka_unit_test(a_pool_is_none),
	};

	return cmocka_run_group_tests(bare, NULL, NULL) +
	       cmocka_run_group_tests(with_libpq, prepare, tidy_up);
}
