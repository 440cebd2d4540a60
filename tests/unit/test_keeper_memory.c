/* SPDX-License-Identifier: PostgreSQL */
/*
 * The keeper when memory is out: a process of its own, it ends with one line (common/xalloc.h),
 * or goes on without; the next keeper, which the service manager starts, finds the pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#include <dirent.h>
#include <limits.h>

#include "common/exit_status.h"
#include "keep/listen.h"
#include "keeper_members.h"
#include "memory_out.h"

static unsigned complaints;

static void hear(void *arg, const char *line)
{
	(void)arg;
	require(strchr(line, '\n') == NULL);
	complaints++;
}

/* What a keeper that ended has left. */
static void clear_folder(void)
{
	DIR *names = opendir(folder);
	const struct dirent *entry;

	assert_non_null(names);
	while ((entry = readdir(names)) != NULL) {
		unlinkat(dirfd(names), entry->d_name, 0);
	}
	closedir(names);
}

/* Until a run passes; `ended`: how often the keeper ended. */
static void each_ends_or_goes_on(memory_scene *scene, unsigned ended)
{
	const int end = EXIT_FAILED << 8;
	unsigned ends = 0;
	int status;

	memory_share();
	for (long point = 0;; point++) {
		memory_told->failed = false;
		status = memory_child(scene, point);
		clear_folder();
		ends += status == end;
		if (status == 0 && !memory_told->failed) {
			break;
		}
		if (status != 0 && status != end) {
			fail_msg("allocation %ld of the scene fails: status %#x", point,
			         (unsigned)status);
		}
	}
	assert_true(ends >= ended);
}

/* What is not taken is complained of. */
static bool change_settings(void)
{
	bool good;

	complaints = 0;
	setenv("PQPOOL_SIZE", "3", 1);
	good = settings_load(NULL, hear, NULL);
	require(good == (complaints == 0));
	if (good) {
		require(settings.size == 3);
		good = settings_change("size=5", hear, NULL);
		require(good == (complaints == 0));
		require(settings.size == (good ? 5 : 3));
	}
	return good;
}

static void settings_are_complained_of(void **state)
{
	(void)state;
	each_ends_or_goes_on(change_settings, 2);
}

/* A process that joins, asks, opens a session, gives it back and ends. */
static bool serve(void)
{
	static uint8_t digest[KEEPER_DIGEST_LEN];
	struct question q;
	struct member *member;
	int page;
	int server;
	bool room;

	settings.size = 1;
	settings.total = 1;
	settings.timeout_ns = DEADLINE_NEVER / 4;
	settings.recycle_ns = UINT64_MAX;
	settings.idle_timeout_ns = UINT64_MAX;
	settings.ping_timeout_ns = 3600 * NS_PER_SEC;
	digest[0]++;
	pool = pool_get(digest, "u@h:1/d");
	member = member_make(getpid(), xalloc_copy("test", 4), &page);
	if (member == NULL) {
		return false;
	}
	close(page);
	member->socket = open("/dev/null", O_RDWR | O_CLOEXEC);
	question(&q, member, 0, false);
	room = answer(&q) == KEEPER_ROOM;
	require(room);
	server = opened(member, 0);
	withdraw(&q);
	give_back(member, 0);
	pool_inherit(member, clock_monotonic_ns());
	member_free(member);
	upkeep_end();
	close(server);
	return true;
}

static void the_keeper_ends_with_a_line(void **state)
{
	(void)state;
	each_ends_or_goes_on(serve, 4);
}

/* A keeper that cannot listen says so. */
static bool take_place(void)
{
	struct keeper_place place = {.path = "here", .name = "socket", .directory = AT_FDCWD};
	int fd;

	require(chdir(folder) == 0);
	fd = listen_at(&place);
	require(fd >= 0 || memory_failed);
	if (fd >= 0) {
		listen_end(&place);
		close(fd);
	}
	return fd >= 0;
}

static void a_keeper_without_a_place_says_so(void **state)
{
	int ends[2];
	char said[256] = "";
	int usual = dup(STDERR_FILENO);

	(void)state;
	memory_share();
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	memory_child(take_place, 0);
	dup2(usual, STDERR_FILENO);
	clear_folder();
	assert_true(read(ends[0], said, sizeof(said) - 1) > 0);
	assert_non_null(strstr(said, "keep: here.lock: Cannot allocate memory\n"));
	close(usual);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_are_complained_of),
		cmocka_unit_test(the_keeper_ends_with_a_line),
		cmocka_unit_test(a_keeper_without_a_place_says_so),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
