/* SPDX-License-Identifier: PostgreSQL */
/* The processes that share, each with its page of words. */
#include "keep/pool/member.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/terminal_text.h"
#include "common/xalloc.h"

#define PAGE_END    ".member"
#define PAGE_DIGITS 16 /* between the keeper's name and that */
/* Whole pages, whatever their size: what is behind the struct is for later versions. */
#define PAGE_BYTES  ((sizeof(struct keeper_page) + 4095) / 4096 * 4096)

static int folder = -1;
static const char *name_prefix;
static struct member *members;
static uint64_t next_id;

void members_begin(int dir, const char *prefix)
{
	folder = dir;
	name_prefix = prefix;
	/* A question to the keeper before this one is no question to this one. */
	if (getrandom(&next_id, sizeof(next_id), GRND_NONBLOCK) < 0) {
		next_id = (uint64_t)getpid() << 32;
	}
}

/* ---- pages ---- */

static bool map_page(struct member *member)
{
	void *page =
		mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, member->page_fd, 0);

	if (page == MAP_FAILED) {
		return false;
	}
	member->page = page;
	return true;
}

static bool take_memory(int fd)
{
	errno = posix_fallocate(fd, 0, PAGE_BYTES);
	return errno == 0;
}

/* An open file of a fresh page, locked; -1: see errno. */
static int create_page(struct member *member)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = -1;

	for (unsigned i = 0; fd < 0 && i < 1000; i++) {
		free(member->page_name);
		if (asprintf(&member->page_name, "%s.%016llx" PAGE_END, name_prefix,
		             (unsigned long long)(member->id + i * 0x9e3779b97f4a7c15ULL)) <
		    0) {
			member->page_name = NULL;
			return -1;
		}
		fd = openat(folder, member->page_name,
		            O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0 && errno != EEXIST) {
			return -1;
		}
	}
	/* Its memory now: where there is none left, a first store would end the process. */
	if (fd >= 0 && (!take_memory(fd) || fcntl(fd, F_OFD_SETLK, &lock) != 0)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

bool members_lost_page(const void *address)
{
	for (struct member *member = members; member != NULL; member = member->hh.next) {
		char *page = (char *)member->page;

		if (page != NULL && (const char *)address >= page &&
		    (const char *)address < page + PAGE_BYTES) {
			return mmap(page, PAGE_BYTES, PROT_READ | PROT_WRITE,
			            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page;
		}
	}
	return false;
}

static bool open_page(struct member *member)
{
	member->page_fd = openat(folder, member->page_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return member->page_fd >= 0 && map_page(member);
}

bool member_lives(const struct member *member)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(member->page_fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* ---- members ---- */

static struct member *new_member(void)
{
	struct member *member = xalloc_new(1, sizeof(*member));

	member->id = ++next_id;
	member->socket = -1;
	member->connection.fd = -1;
	member->death.fd = -1;
	member->pidfd = -1;
	member->page_fd = -1;
	HASH_ADD(hh, members, id, sizeof(member->id), member);
	xalloc_added(member->hh.tbl);
	return member;
}

struct member *member_make(pid_t pid, char *program, int *page)
{
	struct member *member = new_member();

	member->pid = pid;
	member->program = program;
	*page = create_page(member);
	if (*page < 0 || !open_page(member)) {
		int saved_errno = errno;

		if (*page >= 0) {
			close(*page);
		}
		member_free(member);
		errno = saved_errno;
		return NULL;
	}
	member->page->protocol = KEEPER_PROTOCOL;
	member->page->pid = pid;
	snprintf(member->page->program, sizeof(member->page->program), "%s", program);
	return member;
}

struct member *member_find(uint64_t id)
{
	struct member *member;

	HASH_FIND(hh, members, &id, sizeof(id), member);
	return member;
}

struct member *members_all(void)
{
	return members;
}

bool member_watch_death(struct member *member, void (*ended)(struct watch *death))
{
	if (member->pid <= 0) {
		return false;
	}
	member->pidfd = (int)syscall(SYS_pidfd_open, member->pid, 0);
	return member->pidfd >= 0 && loop_watch(&member->death, member->pidfd, ended);
}

void member_disconnect(struct member *member)
{
	loop_unwatch(&member->connection);
	if (member->socket >= 0) {
		close(member->socket);
		member->socket = -1;
	}
}

static void release(struct member *member)
{
	HASH_DEL(members, member);
	member_disconnect(member);
	loop_unwatch(&member->death);
	if (member->pidfd >= 0) {
		close(member->pidfd);
	}
	if (member->page != NULL) {
		munmap(member->page, PAGE_BYTES);
	}
	if (member->page_fd >= 0) {
		close(member->page_fd);
	}
	free(member->page_name);
	free(member->program);
	free(member);
}

void member_free(struct member *member)
{
	if (member->page_name != NULL) {
		unlinkat(folder, member->page_name, 0);
	}
	release(member);
}

/* ---- pages that were left ---- */

/* Opens the page of a member that has a name for it; false: it is none of a living process. */
static bool open_left(struct member *member)
{
	struct stat st;

	return open_page(member) && fstat(member->page_fd, &st) == 0 &&
	       st.st_size >= (off_t)sizeof(struct keeper_page) && st.st_uid == geteuid() &&
	       member_lives(member);
}

static void adopt(struct member *member, void (*ended)(struct watch *death))
{
	if (!open_left(member)) {
		member_free(member);
		return;
	}
	if (member->page->protocol != KEEPER_PROTOCOL) {
		/* What is in it is for a keeper of that version, which may be started again. */
		release(member);
		return;
	}
	member->pid = member->page->pid;
	member->program =
		xalloc_copy(member->page->program,
	                    strnlen(member->page->program, sizeof(member->page->program)));
	/* Its process is to say HELLO, and hand over what it has. */
	atomic_store(&member->page->attention, 1);
	member_watch_death(member, ended);
}

void members_adopt(void (*ended)(struct watch *death))
{
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *names = copy >= 0 ? fdopendir(copy) : NULL;
	size_t prefix = strlen(name_prefix);
	const struct dirent *entry;

	while (names != NULL && (entry = readdir(names)) != NULL) {
		size_t n = strlen(entry->d_name);

		/* A keeper whose name begins as this one's has pages here, too. */
		if (n == prefix + 1 + PAGE_DIGITS + strlen(PAGE_END) &&
		    strncmp(entry->d_name, name_prefix, prefix) == 0 &&
		    entry->d_name[prefix] == '.' &&
		    strspn(entry->d_name + prefix + 1, "0123456789abcdef") == PAGE_DIGITS &&
		    strcmp(entry->d_name + prefix + 1 + PAGE_DIGITS, PAGE_END) == 0) {
			struct member *member = new_member();

			member->page_name = xalloc_copy(entry->d_name, n);
			adopt(member, ended);
		}
	}
	if (names != NULL) {
		closedir(names);
	}
}

static bool is_in_use(uint32_t word)
{
	switch (KEEPER_WORD_STATE(word)) {
	case KEEPER_WORD_ROOM:
	case KEEPER_WORD_OFFERED:
	case KEEPER_WORD_LEASED:
	case KEEPER_WORD_IDLE:
		return true;
	default:
		return false;
	}
}

/* Of the sessions in its page that are not known, those with this label; NULL: all. */
static unsigned count_unknown(const struct member *member, const uint32_t *label)
{
	unsigned count = 0;

	for (unsigned i = 0; i < KEEPER_WORDS; i++) {
		count += member->sessions[i] == NULL &&
		         (label == NULL || member->page->labels[i] == *label) &&
		         is_in_use(member_word(member, i));
	}
	return count;
}

unsigned members_left_with(uint32_t label)
{
	unsigned count = 0;
	bool any = false;

	for (const struct member *left = members; left != NULL; left = left->hh.next) {
		if (left->socket < 0 && member_lives(left)) {
			any = true;
			count += count_unknown(left, &label);
		}
	}
	/* After the pages that were left: what is handed over is in the other one first. */
	for (const struct member *m = members; any && m != NULL; m = m->hh.next) {
		if (m->socket >= 0) {
			count += count_unknown(m, &label);
		}
	}
	return count;
}

bool member_is_over(const struct member *member)
{
	bool came_over = false;

	if (member->socket >= 0 || member->pid <= 0 || count_unknown(member, NULL) > 0) {
		return false;
	}
	for (unsigned i = 0; i < KEEPER_WORDS; i++) {
		if (member->sessions[i] != NULL) {
			return false;
		}
	}
	for (const struct member *m = members; m != NULL; m = m->hh.next) {
		if (m->socket >= 0 && m->pid == member->pid) {
			came_over = count_unknown(m, NULL) == 0;
		}
	}
	return came_over;
}

void members_end(void)
{
	while (members != NULL) {
		bool in_use = false;

		for (unsigned i = 0; i < KEEPER_WORDS; i++) {
			in_use |= is_in_use(member_word(members, i));
		}
		if (in_use) {
			release(members);
		} else {
			member_free(members);
		}
	}
}

/* ---- words ---- */

uint32_t member_word(const struct member *member, unsigned word)
{
	return atomic_load(&member->page->words[word]);
}

const char *member_place(const struct member *member, unsigned word,
                         char buf[KEEPER_PLACE_BYTES])
{
	size_t n = 0;

	if (word < KEEPER_PLACES) {
		const volatile char *said = member->page->places[word];
		char c;

		/* Each byte is looked at once: it may change meanwhile. */
		while (n < KEEPER_PLACE_BYTES - 1 && (unsigned char)(c = said[n]) >= ' ') {
			buf[n++] = c;
		}
	}
	buf[n] = '\0';
	for (size_t at = 0; at < n;) {
		unsigned code;
		size_t length = terminal_text_utf8(buf + at, &code);

		if (length == 0) {
			buf[at++] = '?';
		}
		at += length;
	}
	return buf;
}

bool member_change(struct member *member, unsigned word, uint32_t seen,
                   enum keeper_word_state state, uint32_t *now)
{
	uint32_t made = KEEPER_WORD_MAKE(seen, state, 0);

	if (!atomic_compare_exchange_strong(&member->page->words[word], &seen, made)) {
		return false;
	}
	if (now != NULL) {
		*now = made;
	}
	return true;
}

bool member_attend(struct member *member, bool more)
{
	member->attended += more ? 1U : -1U;
	if (member->attended > 1 || (!more && member->attended == 1)) {
		return false;
	}
	atomic_store(&member->page->attention, member->attended > 0);
	return member->attended > 0;
}
