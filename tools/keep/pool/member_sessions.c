/* SPDX-License-Identifier: PostgreSQL */
/* What members open, give back, close, and leave behind. */
#include "keep/log.h"
#include "keep/pool/copies.h"
#include "keep/pool/holding.h"
#include "keep/pool/pool.h"

/*
 * A process that lost its connection hands over sessions that are known by its earlier page.
 * False: this one is not its any more.
 */
static bool forget_earlier(struct pool *pool, const struct member *member, int fd)
{
	ino_t inode = copies_inode(fd);
	struct session *session;

	DL_FOREACH (pool->sessions, session) {
		if (session->fd >= 0 && session->inode == inode) {
			if (session->member == NULL || session->member->pid != member->pid) {
				return false;
			}
			holding_close(session, SESSION_FORGET, "handed_over");
			return true;
		}
	}
	return true;
}

bool pool_opened(struct pool *pool, struct member *member, unsigned word, int fd,
                 const struct keeper_record *record, uint8_t *bytes, uint64_t now_ns)
{
	struct session *session = member->sessions[word];
	uint32_t now = member_word(member, word);
	struct strbuf *line;

	if (session != NULL ? session->fd >= 0 || session->pool != pool
	                    : KEEPER_WORD_STATE(now) != KEEPER_WORD_LEASED &&
	                              KEEPER_WORD_STATE(now) != KEEPER_WORD_IDLE) {
		return false;
	}
	if (session == NULL && !forget_earlier(pool, member, fd)) {
		return false;
	}
	if (session == NULL) {
		session = holding_add(pool);
		holding_attach(session, member, word, now, NULL, now_ns);
		session->granted_ns = 0;
	}
	session->fd = fd;
	session->inode = copies_inode(fd);
	session->record = *record;
	session->bytes = bytes;
	line = log_line(LEVEL_INFO, "session_open");
	if (line != NULL) {
		log_u64(line, "backend", (uint64_t)record->backend_pid);
		pair_str(line, "pool", pool->label);
		log_u64(line, "by", (uint64_t)member->pid);
		log_end();
	}
	return true;
}

void pool_note_failed(struct member *member)
{
	for (unsigned i = 0; i < KEEPER_WORDS; i++) {
		struct session *session = member->sessions[i];

		if (session != NULL && session->fd < 0) {
			session->failed =
				KEEPER_WORD_STATE(member_word(member, i)) == KEEPER_WORD_GONE;
		}
	}
}

void pool_look_at(struct member *member, uint64_t now_ns)
{
	for (unsigned i = 0; i < KEEPER_WORDS; i++) {
		struct session *session = member->sessions[i];

		if (session != NULL) {
			enum keeper_word_state state =
				KEEPER_WORD_STATE(member_word(member, i));

			if (state == KEEPER_WORD_IDLE || state == KEEPER_WORD_GONE) {
				pool_serve(session->pool, now_ns);
			}
		}
	}
}

/* One session of a member that has ended. */
static void inherit(struct session *session, uint64_t now_ns)
{
	struct member *member = session->member;
	uint32_t word = member_word(member, session->word);
	uint32_t answers;

	if (holding_claim(session, &answers)) {
		holding_keep(session, answers, now_ns);
	} else if (KEEPER_WORD_STATE(word) == KEEPER_WORD_OFFERED && session->fd >= 0) {
		holding_detach(session);
		holding_keep(session, 0, now_ns);
	} else {
		holding_abandon(session, now_ns);
	}
}

void pool_inherit(struct member *member, uint64_t now_ns)
{
	for (struct pool *pool = pools_all(); pool != NULL; pool = pool->hh.next) {
		struct ask *ask;
		struct ask *next;

		DL_FOREACH_SAFE (pool->line, ask, next) {
			if (ask->member == member->id) {
				pool_leave(ask);
				ask->failed(ask);
			}
		}
	}
	for (unsigned i = 0; i < KEEPER_WORDS; i++) {
		struct session *session = member->sessions[i];

		if (session != NULL) {
			inherit(session, now_ns);
		}
	}
	pools_serve(now_ns);
}
