/* SPDX-License-Identifier: PostgreSQL */
/*
 * Becomes and is a member of a keeper.
 *
 * Over 500 lines: who may hold a word when a keeper ends is understood only with how one joins.
 */
#include "share/member.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config/program.h"
#include "base/lock.h"
#include "share/find_keeper.h"
#include "share/packet.h"

/* How long a keeper that did not answer is left alone. */
#define SILENCE_NS NS_PER_SEC

/* Connections that end before WELCOME: then it is a keeper of another version. */
#define ATTEMPTS_MAX 3

/* How long a thread looks away while another one joins. */
#define LOOK_AWAY_NS (200 * NS_PER_US)

static bool on;
static const char *socket_path; /* NULL: in the directories of status pages */

static _Atomic(struct member *) current;
static _Atomic(struct member *) hailed;       /* has said HELLO, and not heard WELCOME yet */
static atomic_uint_fast64_t joining_since_ns; /* 0 = no thread is */
static atomic_uint_fast64_t silent_until_ns;
static atomic_bool unanswered; /* since the last silence */

void member_configure(const char *share)
{
	on = strcmp(share, "off") != 0;
	socket_path = share[0] == '/' ? share : NULL;
}

bool member_is_on(void)
{
	return on;
}

/* ---- joining ---- */

static bool map_page(struct member *member, int fd)
{
	struct stat st;
	void *page;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof(*member->page)) {
		return false;
	}
	page = mmap(NULL, sizeof(*member->page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED) {
		return false;
	}
	/* A child's stores would be taken for its parent's. */
	if (madvise(page, sizeof(*member->page), MADV_DONTFORK) != 0) {
		munmap(page, sizeof(*member->page));
		return false;
	}
	member->page = page;
	return true;
}

static bool take_welcome(struct member *member, const struct packet *packet)
{
	struct keeper_welcome welcome;

	if (packet->type != KEEPER_WELCOME || packet->len < sizeof(welcome)) {
		return false;
	}
	memcpy(&welcome, packet->body, sizeof(welcome));
	member->number = welcome.member;
	memcpy(member->secret, welcome.secret, sizeof(member->secret));
	explicit_bzero(&welcome, sizeof(welcome));
	return map_page(member, packet->fd);
}

static bool is_silent(void)
{
	return clock_monotonic_ns() <
	       atomic_load_explicit(&silent_until_ns, memory_order_relaxed);
}

static bool say_hello(const struct member *member)
{
	const char *program = program_short_name();
	struct keeper_hello hello = {.program_len = (uint32_t)strlen(program)};
	const struct packet_part parts[] = {{&hello, sizeof(hello)},
	                                    {program, hello.program_len}};

	return packet_send(member->fd, KEEPER_HELLO, parts, 2, -1, 0);
}

/* The program closes descriptors that it does not know. */
static bool is_there(const struct member *member)
{
	struct stat st;

	return fd_is(member->fd, &member->id, &st);
}

/* What one that has said HELLO hears: HERE, it is welcome. */
static enum packet_outcome hear(struct member *member)
{
	enum packet_outcome outcome;
	struct packet packet;

	if (!is_there(member)) {
		return PACKET_BROKEN;
	}
	outcome = packet_receive(member->fd, &packet);
	if (outcome == PACKET_HERE) {
		member_note_answer();
		outcome = take_welcome(member, &packet) ? PACKET_HERE : PACKET_BROKEN;
		packet_end(&packet);
	}
	return outcome;
}

/* Has something done meanwhile if it is not there yet. */
static bool hear_welcome(struct member *member, uint64_t patience_ns,
                         void (*meanwhile)(void *arg), void *arg)
{
	uint64_t deadline_ns = clock_monotonic_ns() + patience_ns;
	enum packet_outcome outcome;

	while ((outcome = hear(member)) == PACKET_EMPTY) {
		if (meanwhile != NULL) {
			meanwhile(arg);
			meanwhile = NULL;
		} else if (!fd_wait(member->fd, POLLIN, deadline_ns)) {
			member_note_silence();
			return false;
		}
	}
	return outcome == PACKET_HERE;
}

/* One that has said HELLO; NULL: there is no keeper. */
static struct member *hail_keeper(void)
{
	struct member *member = calloc(1, sizeof(*member));
	struct stat st;

	if (member == NULL) {
		return NULL;
	}
	member->owner = pid_self();
	member->fd = keeper_find(socket_path, &member->address)
	                     ? keeper_connect(&member->address)
	                     : -1;
	if (member->fd >= 0 && say_hello(member)) {
		fd_identify(member->fd, &member->id, &st);
		return member;
	}
	if (member->fd >= 0) {
		close(member->fd);
	}
	free(member);
	return NULL;
}

/* Once: another thread may find its end, too. */
static void hang_up(struct member *member)
{
	if (!atomic_exchange(&member->hung_up, true) && is_there(member)) {
		close(member->fd);
	}
}

/* One that never was this process's: no session knows it. */
static void discard(struct member *member)
{
	hang_up(member);
	if (member->page != NULL) {
		munmap(member->page, sizeof(*member->page));
	}
	explicit_bzero(member->secret, sizeof(member->secret));
	free(member);
}

static struct member *become_member(uint64_t patience_ns, void (*meanwhile)(void *arg),
                                    void *arg)
{
	struct member *member = atomic_exchange(&hailed, NULL);

	/* One that ends meanwhile may be followed by another at once. */
	for (unsigned i = 0; i < ATTEMPTS_MAX && !is_silent(); i++) {
		if (member == NULL) {
			member = hail_keeper();
		}
		if (member == NULL) {
			return NULL;
		}
		if (hear_welcome(member, patience_ns, meanwhile, arg)) {
			return member;
		}
		discard(member);
		member = NULL;
	}
	return NULL;
}

void member_hail(void)
{
	static atomic_flag done = ATOMIC_FLAG_INIT;

	if (on && !atomic_flag_test_and_set(&done)) {
		atomic_store(&hailed, hail_keeper());
	}
}

static bool has_keeper(const struct member *member)
{
	char byte;

	return is_there(member) &&
	       recv(member->fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) < 0 &&
	       (errno == EAGAIN || errno == EWOULDBLOCK);
}

void member_note_silence(void)
{
	atomic_store(&unanswered, true);
	atomic_store(&silent_until_ns, clock_monotonic_ns() + SILENCE_NS);
}

void member_note_answer(void)
{
	atomic_store(&unanswered, false);
}

uint64_t member_patience(uint64_t patience_ns)
{
	return atomic_load(&unanswered) && patience_ns > MEMBER_PATIENCE_NS ? MEMBER_PATIENCE_NS
	                                                                    : patience_ns;
}

struct member *member_now(void)
{
	struct member *member = atomic_load(&current);

	return member != NULL && !is_silent() && has_keeper(member) ? member : NULL;
}

struct member *member_last(void)
{
	return atomic_load(&current);
}

static void disconnect(struct member *member)
{
	if (member != NULL) {
		hang_up(member);
		member->id.known = false;
	}
}

/* The joining thread may have been left by a longjmp: not waited for without end. */
static bool begin_to_join(uint64_t patience_ns)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t since_ns = 0;

	return atomic_compare_exchange_strong(&joining_since_ns, &since_ns, now_ns) ||
	       (now_ns - since_ns > patience_ns + SILENCE_NS &&
	        atomic_compare_exchange_strong(&joining_since_ns, &since_ns, now_ns));
}

static struct member *await_other_thread(uint64_t patience_ns)
{
	const struct timespec moment = {.tv_nsec = LOOK_AWAY_NS};
	uint64_t deadline_ns = clock_monotonic_ns() + patience_ns;

	while (atomic_load(&joining_since_ns) != 0 && clock_monotonic_ns() < deadline_ns) {
		nanosleep(&moment, NULL);
	}
	return member_now();
}

/*
 * What was left to a keeper that has ended, or offered by it, nobody will claim: it would count
 * with the next one for as long as this process lives.
 */
static void give_up_word(struct member *member, unsigned word)
{
	if (!member_move(member, word, KEEPER_WORD_IDLE, KEEPER_WORD_GONE, 0)) {
		member_move(member, word, KEEPER_WORD_OFFERED, KEEPER_WORD_GONE, 0);
	}
}

static void give_up_left(struct member *member)
{
	for (unsigned word = 0; word < KEEPER_WORDS; word++) {
		if (atomic_load(&member->uses[word]) != MEMBER_USED) {
			give_up_word(member, word);
		}
	}
}

/* In place of the last one, whose keeper has ended; NULL: there is no keeper. */
static struct member *replace(struct member *last, struct member *member, bool *fresh)
{
	if (member != NULL && !atomic_compare_exchange_strong(&current, &last, member)) {
		/* By a connect that did not wait for it. */
		discard(member);
		return member_now();
	}
	*fresh = member != NULL;
	disconnect(last);
	if (last == NULL || !member_is_mine(last) || (member == NULL && is_silent())) {
		return member;
	}
	give_up_left(last);
	if (member == NULL) {
		/* The next one will say if it wants something (member_is_wanted). */
		atomic_store(&last->page->attention, 0);
	}
	return member;
}

struct member *member_join(uint64_t patience_ns, bool *fresh, void (*meanwhile)(void *arg),
                           void *arg)
{
	struct member *member = member_now();

	lock_assert_none();
	*fresh = false;
	if (!on || member != NULL || is_silent()) {
		return member;
	}
	patience_ns = member_patience(patience_ns);
	if (!begin_to_join(patience_ns)) {
		return await_other_thread(patience_ns);
	}
	member = member_now();
	if (member == NULL) {
		struct member *last = atomic_load(&current);

		disconnect(last);
		member = replace(last, become_member(patience_ns, meanwhile, arg), fresh);
	}
	atomic_store(&joining_since_ns, 0);
	return member;
}

/* ---- joining without waiting ---- */

/* Says HELLO, and hears what has come; `*member` is it, if it is welcome. */
static enum member_step go_on_joining(struct member_hail *hail, struct member **member)
{
	while (hail->member != NULL || hail->attempts < ATTEMPTS_MAX) {
		if (hail->member == NULL) {
			hail->member = atomic_exchange(&hailed, NULL);
			hail->attempts++;
		}
		if (hail->member == NULL) {
			hail->member = hail_keeper();
		}
		if (hail->member == NULL) {
			break;
		}
		switch (hear(hail->member)) {
		case PACKET_EMPTY:
			return MEMBER_JOINING;
		case PACKET_HERE:
			*member = hail->member;
			hail->member = NULL;
			return MEMBER_JOINED;
		case PACKET_BROKEN:
			member_hail_drop(hail);
			break;
		}
	}
	return MEMBER_ALONE;
}

enum member_step member_join_step(struct member_hail *hail, struct member **member, bool *fresh)
{
	struct member *last = atomic_load(&current);
	struct member *made = NULL;

	*fresh = false;
	*member = member_now();
	if (*member == NULL && on && (hail->member != NULL || !is_silent())) {
		if (go_on_joining(hail, &made) == MEMBER_JOINING) {
			return MEMBER_JOINING;
		}
		*member = replace(last, made, fresh);
	}
	member_hail_drop(hail);
	hail->attempts = 0;
	return *member != NULL ? MEMBER_JOINED : MEMBER_ALONE;
}

struct member *member_join_at_once(bool *fresh)
{
	struct member_hail hail = {.member = atomic_exchange(&hailed, NULL)};
	struct member *member;

	if (member_join_step(&hail, &member, fresh) == MEMBER_JOINING) {
		hail.member = atomic_exchange(&hailed, hail.member);
		member_hail_drop(&hail);
	}
	return member;
}

void member_hail_drop(struct member_hail *hail)
{
	if (hail->member != NULL) {
		discard(hail->member);
		hail->member = NULL;
	}
}

void member_hail_fork_child(struct member_hail *hail)
{
	if (hail->member != NULL) {
		hang_up(hail->member);
		hail->member = NULL;
	}
}

static bool says_no(int fd)
{
	struct keeper_answer answer = {0};
	struct packet packet;

	if (packet_receive(fd, &packet) != PACKET_HERE) {
		return true;
	}
	if (packet.type == KEEPER_ANSWER && packet.len >= sizeof(answer)) {
		memcpy(&answer, packet.body, sizeof(answer));
	} else {
		answer.failed = 1;
	}
	packet_end(&packet);
	return answer.failed != 0;
}

/*
 * Has the keeper do that; false: there is none that does, or it says no. One that is late does
 * it when it comes to it: before it answers who asks later.
 */
static COLD bool command(const char *text, uint64_t deadline_ns)
{
	const struct keeper_command head = {.text_len = (uint32_t)strlen(text)};
	const struct packet_part parts[] = {{&head, sizeof(head)}, {text, head.text_len}};
	struct sockaddr_un address;
	int fd = on && keeper_find(socket_path, &address) ? keeper_connect(&address) : -1;
	bool done;

	if (fd < 0) {
		return false;
	}
	done = packet_send(fd, KEEPER_COMMAND, parts, 2, -1, MEMBER_PATIENCE_NS) &&
	       (!fd_wait(fd, POLLIN, deadline_ns) || !says_no(fd));
	close(fd);
	return done;
}

void member_drain_all(void)
{
	command("drain all", clock_monotonic_ns() + MEMBER_PATIENCE_NS);
}

bool member_make_room(uint64_t deadline_ns)
{
	return command("room", deadline_ns);
}

void member_fork_child(void)
{
	struct member *unheard = atomic_exchange(&hailed, NULL);

	if (unheard != NULL) {
		hang_up(unheard);
	}
	disconnect(atomic_load(&current));
	atomic_store(&current, NULL);
	atomic_store(&joining_since_ns, 0);
}

/* ---- words ---- */

bool member_move(struct member *member, unsigned word, enum keeper_word_state from,
                 enum keeper_word_state to, unsigned answers)
{
	uint32_t before = atomic_load(&member->page->words[word]);

	return KEEPER_WORD_STATE(before) == from &&
	       atomic_compare_exchange_strong(&member->page->words[word], &before,
	                                      KEEPER_WORD_MAKE(before, to, answers));
}

/* One whose session the keeper has claimed since it was left to it. */
static void reclaim(struct member *member, unsigned word)
{
	if (member_move(member, word, KEEPER_WORD_CLAIMED, KEEPER_WORD_FREE, 0)) {
		atomic_store(&member->uses[word], MEMBER_UNUSED);
	}
}

int member_take_word(struct member *member)
{
	for (unsigned word = 0; word < KEEPER_WORDS; word++) {
		unsigned char use = atomic_load(&member->uses[word]);

		if (use == MEMBER_LEFT) {
			reclaim(member, word);
			use = atomic_load(&member->uses[word]);
		}
		if (use == MEMBER_UNUSED && member_word(member, word) == KEEPER_WORD_FREE &&
		    atomic_compare_exchange_strong(&member->uses[word], &use, MEMBER_USED)) {
			return (int)word;
		}
	}
	return -1;
}

void member_leave_word(struct member *member, unsigned word, enum member_use use)
{
	atomic_store(&member->uses[word], use);
	/* If another thread has found the next keeper meanwhile, it has not seen this. */
	if (use != MEMBER_USED && atomic_load(&current) != member) {
		give_up_word(member, word);
	}
}

void member_nudge(const struct member *member)
{
	if (is_there(member)) {
		packet_send(member->fd, KEEPER_NUDGE, NULL, 0, -1, 0);
	}
}

bool member_tell_opened(const struct member *member, unsigned word,
                        const uint8_t digest[KEEPER_DIGEST_LEN],
                        const struct keeper_record *record, const char *label, int fd,
                        uint64_t patience_ns)
{
	struct keeper_opened opened = {
		.word = word, .label_len = (uint32_t)strlen(label), .record = *record};
	const struct packet_part parts[] = {
		{&opened, sizeof(opened)},
		{record + 1, record->address_len + record->startup_len + record->reply_len},
		{label, opened.label_len}};

	memcpy(opened.digest, digest, sizeof(opened.digest));
	return is_there(member) &&
	       packet_send(member->fd, KEEPER_OPENED, parts, 3, fd, patience_ns);
}
