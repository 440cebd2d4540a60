/* SPDX-License-Identifier: PostgreSQL */
/*
 * What makes two connects interchangeable, as the key of a pool.
 *
 *   spelling   how one call says it: its arguments byte for byte and the environment.
 *              Remembered, so that the same call again costs a look-up and a stat of each file
 *              it depends on, and no parsing.
 *   identity   what it means (pool_key.h). Different spellings of one meaning share an
 * identity.
 *
 * The passfile is not looked at any more once a session was opened for which the server did not
 * ask for a password, until one is for which it does. Meanwhile all connects are the same
 * whatever is in the file, but for what PQpass says, and for what PQreset would send if the
 * server began to ask: these are as they were when the session was opened.
 *
 * Equal identities imply interchangeable connections. The opposite is not claimed: on any doubt
 * two identities are different, and a miss is always correct.
 *
 * An identity holds passwords in its key and shows none in its label.
 *
 * Locks: LOCK_IDENTITY, for look-ups and an identity's references. Both kinds of object are
 * counted; a spelling is forgotten when there are too many or a file changed.
 */
#ifndef PQPOOL_KEY_IDENTITY_H
#define PQPOOL_KEY_IDENTITY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/libpq/libpq.h"
#include "base/text/hash.h"
#include "key/conninfo.h"
#include "key/file_stamp.h"

/* Whether the server has asked for a password. */
enum identity_password {
	PASSWORD_UNKNOWN, /* no session was opened yet */
	PASSWORD_UNASKED,
	PASSWORD_ASKED /* at least once, and so for good */
};

struct identity {
	const char *label; /* "user@host:port/dbname", for people */
	bool label_plain;  /* it needs no quotes in the log */
	bool label_named;  /* the database's name is in it, and may be in messages (pool_key.h)
	                    */
	const struct libpq *libpq;
	bool home_unknown; /* there may be more files, in a home folder not known yet */

	_Atomic(enum identity_password) password;
	uint64_t connect_timeout_ns; /* the program's own, of libpq, for each host; 0 = none */
	bool keeps_alive; /* its options say how its connections are kept alive, or given up */

	/* Several hosts, or what only the opening of a connection proves: it means a process.
	 */
	bool of_process;

	/* identity.c's */
	bool follows_locale;
	uint32_t refs;
	struct file_stamp_list watches;
	size_t surroundings_at; /* the end of the key, which identity_holds looks at */
	size_t key_len;
	UT_hash_handle hh;
	char key[]; /* the label's text follows the key */
};

struct spelling {
	struct identity *identity;
	const char *conninfo; /* for PQconnectdb: all effective values, as of the call */

	/* identity.c's */
	atomic_uint refs; /* the table's is one of them; raised from there under the lock */
	size_t inputs_len;
	UT_hash_handle hh;
	char inputs[];
};

/* What the environment adds to every call; from the configuration. */
struct identity_settings {
	const char *route;         /* NULL = none */
	int64_t connect_timeout_s; /* 0 = leave */
};

/* Must be called before identity_resolve; the strings are kept, not copied. */
void identity_configure(const struct identity_settings *settings);
const struct identity_settings *identity_settings(void);

/*
 * What the program asks for with `call`, counted: give it back with spelling_release.
 * NULL: it is not to be pooled (a replication connection, balanced hosts, something libpq
 * would refuse, a libpq that asks the program for the key's password, no memory); pass it
 * through.
 */
struct spelling *identity_resolve(const struct libpq *libpq, const struct connect_call *call);

/* True if identity_resolve would return `spelling`, which the caller holds. Takes no lock. */
bool identity_is_still(const struct spelling *spelling, const struct libpq *libpq,
                       const struct connect_call *call);

/*
 * To be asked once a session was opened: true if what libpq has read meanwhile, and the
 * conninfo does not say, is as it was when the call was made: variables such as PGTZ, files,
 * the effective user. Another thread may have changed it.
 */
bool identity_holds(const struct identity *identity);

/*
 * The key in a form that means the same in every process: calls `add` for each of its parts.
 * The address of the libpq is not in it. There are secrets in it.
 */
void identity_describe(const struct identity *identity,
                       void (*add)(void *arg, const void *bytes, size_t count), void *arg);

/* A session of it was opened, and is not lent yet: did the server ask for a password? */
void identity_note_password(struct identity *identity, bool asked);

/* A further reference, for a holder of one. */
void spelling_hold(struct spelling *spelling);
void spelling_release(struct spelling *spelling);

/* Further references to an identity alone. */
void identity_hold(struct identity *identity);
void identity_release(struct identity *identity);

/* Around a fork, in the parent and, at the end, in the child. */
void identity_fork_prepare(void);
void identity_fork_done(void);

#endif
