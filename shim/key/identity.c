/* SPDX-License-Identifier: PostgreSQL */
/* From a connect call to the identity that is its pool's key. */
#include "key/identity.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cold.h"
#include "base/lock.h"
#include "base/scratch.h"
#include "base/text/keybuf.h"
#include "base/text/logfmt.h"
#include "base/text/strbuf.h"
#include "key/connect_files.h"
#include "key/effective_options.h"
#include "key/home_folder.h"
#include "key/pool_key.h"
#include "key/service_file.h"

/* Beyond these the oldest is forgotten: a program may spell each connect differently. */
#define SPELLINGS_MAX 1024
/* Longer keys are put together in memory that is allocated. */
#define KEY_BYTES     1024

static struct lock lock = LOCK_INITIALIZER(LOCK_IDENTITY);
static struct spelling *spellings;
static struct identity *identities;
static struct identity_settings settings;

void identity_configure(const struct identity_settings *wanted)
{
	settings = *wanted;
}

const struct identity_settings *identity_settings(void)
{
	return &settings;
}

static COLD void free_identity(struct identity *identity)
{
	explicit_bzero(identity->key, identity->key_len);
	file_stamp_free(&identity->watches);
	free(identity);
}

/*
 * As libpq reads it; 0 = none. Not by strtol(3): built with a C library of 2.38 or newer that
 * would be a function that no older one has.
 */
static uint64_t connect_timeout_ns(const struct conninfo *ci)
{
	const char *at = conninfo_value(ci, "connect_timeout");
	uint64_t timeout_s = 0;

	at += strspn(at, " \t\n\v\f\r");
	at += *at == '+' ? 1 : 0;
	for (; *at >= '0' && *at <= '9' && timeout_s <= INT32_MAX; at++) {
		timeout_s = timeout_s * 10 + (uint64_t)(*at - '0');
	}
	return timeout_s <= INT32_MAX ? timeout_s * NS_PER_SEC : 0;
}

static bool keeps_alive(const struct conninfo *ci)
{
	static const char options[][24] = {"keepalives_idle", "keepalives_interval",
	                                   "keepalives_count", "tcp_user_timeout"};

	/* keepalives=0 is seen at the socket. */
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (conninfo_value(ci, options[i])[0] != '\0') {
			return true;
		}
	}
	return false;
}

/* A new one with this key, not in the table yet; it takes over the watches. */
static struct identity *make(const struct conninfo *ci, const struct keybuf *key,
                             size_t surroundings_at, struct file_stamp_list *watches)
{
	char label[256];
	size_t label_size;
	bool named;
	struct strbuf t;
	struct identity *fresh;

	strbuf_init(&t, label, sizeof(label));
	named = pool_key_label(&t, ci);
	label_size = t.len + 1;
	fresh = calloc(1, sizeof(*fresh) + key->len + label_size);
	if (fresh == NULL) {
		file_stamp_free(watches);
		return NULL;
	}
	fresh->libpq = ci->libpq;
	fresh->home_unknown = ci->home_unknown;
	fresh->connect_timeout_ns = connect_timeout_ns(ci);
	fresh->keeps_alive = keeps_alive(ci);
	fresh->of_process = pool_key_is_of_process(ci);
	fresh->follows_locale = pool_key_follows_locale(ci);
	fresh->watches = *watches;
	fresh->key_len = key->len;
	fresh->surroundings_at = surroundings_at;
	memcpy(fresh->key, key->data, key->len);
	fresh->label = memcpy(fresh->key + key->len, label, label_size);
	fresh->label_named = named;
	fresh->label_plain = !logfmt_needs_quotes(label);
	return fresh;
}

/* The identity with the key of `fresh`, or `fresh` itself, counted once more; consumes it. */
static struct identity *intern(struct identity *fresh)
{
	struct identity *identity;

	lock_take(&lock);
	HASH_FIND(hh, identities, fresh->key, fresh->key_len, identity);
	if (identity == NULL) {
		HASH_ADD_KEYPTR(hh, identities, fresh->key, fresh->key_len, fresh);
		if (fresh->hh.tbl != NULL) {
			identity = fresh;
			fresh = NULL;
		}
	}
	if (identity != NULL) {
		identity->refs++;
	}
	lock_drop(&lock);
	if (fresh != NULL) {
		free_identity(fresh);
	}
	return identity;
}

/* Takes over the watches. NULL: out of memory. */
static struct identity *identity_of(const struct conninfo *ci, struct file_stamp_list *watches)
{
	char buf[KEY_BYTES];
	struct keybuf key;
	size_t surroundings_at;
	struct identity *fresh = NULL;

	keybuf_init(&key, buf, sizeof(buf));
	pool_key_put_options(&key, ci);
	file_stamp_describe(watches, &key);
	surroundings_at = key.len;
	pool_key_put_surroundings(&key, ci->libpq, ci->options, pool_key_follows_locale(ci));
	if (!key.failed) {
		fresh = make(ci, &key, surroundings_at, watches);
	} else {
		file_stamp_free(watches);
	}
	keybuf_wipe(&key);
	return fresh != NULL ? intern(fresh) : NULL;
}

/* Whether these are the bytes that were put together, which are wiped. */
static bool is_alike(struct keybuf *b, const char *bytes, size_t n)
{
	bool alike = !b->failed && b->len == n && memcmp(b->data, bytes, n) == 0;

	keybuf_wipe(b);
	return alike;
}

static bool files_are_same(const struct identity *identity)
{
	return file_stamp_unchanged(
		&identity->watches,
		atomic_load_explicit(&identity->password, memory_order_relaxed) !=
			PASSWORD_UNASKED);
}

void identity_note_password(struct identity *identity, bool asked)
{
	enum identity_password unknown = PASSWORD_UNKNOWN;

	if (asked) {
		atomic_store(&identity->password, PASSWORD_ASKED);
	} else {
		atomic_compare_exchange_strong(&identity->password, &unknown, PASSWORD_UNASKED);
	}
}

bool identity_holds(const struct identity *identity)
{
	PQconninfoOption *options = conninfo_template(identity->libpq);
	char buf[KEY_BYTES];
	struct keybuf surroundings;

	if (options == NULL) {
		return false;
	}
	keybuf_init(&surroundings, buf, sizeof(buf));
	pool_key_put_surroundings(&surroundings, identity->libpq, options,
	                          identity->follows_locale);
	identity->libpq->PQconninfoFree(options);
	return is_alike(&surroundings, identity->key + identity->surroundings_at,
	                identity->key_len - identity->surroundings_at) &&
	       files_are_same(identity);
}

void identity_describe(const struct identity *identity,
                       void (*add)(void *arg, const void *bytes, size_t count), void *arg)
{
	/* The surroundings begin with the address. */
	size_t behind = identity->surroundings_at + sizeof(identity->libpq);
	int version = identity->libpq->PQlibVersion();

	add(arg, &identity->key_len, sizeof(identity->key_len));
	add(arg, &version, sizeof(version));
	add(arg, identity->key, identity->surroundings_at);
	add(arg, identity->key + behind, identity->key_len - behind);
}

static COLD void free_spelling(struct spelling *spelling)
{
	if (spelling->identity != NULL) {
		identity_release(spelling->identity);
	}
	if (spelling->conninfo != NULL) {
		explicit_bzero((char *)spelling->conninfo, strlen(spelling->conninfo));
		free((char *)spelling->conninfo);
	}
	explicit_bzero(spelling->inputs, spelling->inputs_len);
	free(spelling);
}

/* What libpq makes of the call; false if it is not to be pooled, and nothing to free then. */
static bool read_call(struct conninfo *ci, const struct libpq *libpq,
                      const struct connect_call *call, struct file_stamp_list *watches)
{
	if (!conninfo_read(ci, libpq, call, settings.route)) {
		return false;
	}
	if (!service_file_watch(watches, ci) || !effective_options_merge(ci) ||
	    !pool_key_is_shared(ci) || !effective_options_rest(ci)) {
		conninfo_free(ci);
		return false;
	}
	connect_files_watch(watches, ci);
	return true;
}

/* Takes over the watches. NULL: out of memory. */
static struct spelling *make_spelling(const struct conninfo *ci, const struct keybuf *inputs,
                                      struct file_stamp_list *watches)
{
	struct spelling *spelling = calloc(1, sizeof(*spelling) + inputs->len);

	if (spelling == NULL || watches->failed) {
		free(spelling);
		file_stamp_free(watches);
		return NULL;
	}
	atomic_init(&spelling->refs, 1);
	spelling->inputs_len = inputs->len;
	memcpy(spelling->inputs, inputs->data, inputs->len);
	spelling->conninfo = conninfo_text(ci, settings.connect_timeout_s);
	spelling->identity = identity_of(ci, watches);
	if (spelling->identity == NULL || spelling->conninfo == NULL) {
		free_spelling(spelling);
		return NULL;
	}
	return spelling;
}

_Static_assert(sizeof(struct file_stamp_list) <= SCRATCH_BYTES, "it fits into scratch");

/* A call that was not seen before; not in the table yet, counted once. */
static struct spelling *understand(const struct libpq *libpq, const struct connect_call *call,
                                   const struct keybuf *inputs)
{
	struct file_stamp_list *watches = scratch_take();
	struct spelling *spelling = NULL;
	struct conninfo ci;

	if (watches == NULL) {
		return NULL;
	}
	memset(watches, 0, sizeof(*watches));
	if (read_call(&ci, libpq, call, watches)) {
		spelling = make_spelling(&ci, inputs, watches);
		conninfo_free(&ci);
	} else {
		file_stamp_free(watches);
	}
	scratch_give(watches);
	return spelling;
}

/* Gives one reference back; true if it was the last. */
static bool let_go(struct spelling *spelling)
{
	return atomic_fetch_sub_explicit(&spelling->refs, 1, memory_order_acq_rel) == 1;
}

/* Takes a spelling out of the table; returns it if that had the last reference, to be freed. */
static struct spelling *unlist_locked(struct spelling *spelling)
{
	HASH_DEL(spellings, spelling);
	spelling->hh.tbl = NULL;
	return let_go(spelling) ? spelling : NULL;
}

/* Without the lock: the inputs never change. */
static bool is_spelled(const struct spelling *spelling, const struct libpq *libpq,
                       const struct connect_call *call)
{
	char buf[KEY_BYTES];
	struct keybuf inputs;

	keybuf_init(&inputs, buf, sizeof(buf));
	pool_key_put_call(&inputs, libpq, call);
	return is_alike(&inputs, spelling->inputs, spelling->inputs_len);
}

static struct spelling *recall(const struct keybuf *inputs)
{
	struct spelling *spelling;

	lock_take(&lock);
	HASH_FIND(hh, spellings, inputs->data, inputs->len, spelling);
	if (spelling != NULL) {
		atomic_fetch_add_explicit(&spelling->refs, 1, memory_order_relaxed);
	}
	lock_drop(&lock);
	return spelling;
}

/* In place of an outdated one of the same inputs. The head of the table is its oldest. */
static COLD void remember(struct spelling *spelling)
{
	struct spelling *old;
	struct spelling *dead[2] = {NULL, NULL};

	lock_take(&lock);
	HASH_FIND(hh, spellings, spelling->inputs, spelling->inputs_len, old);
	if (old != NULL) {
		dead[0] = unlist_locked(old);
	}
	if (HASH_COUNT(spellings) >= SPELLINGS_MAX) {
		dead[1] = unlist_locked(spellings);
	}
	HASH_ADD_KEYPTR(hh, spellings, spelling->inputs, spelling->inputs_len, spelling);
	if (spelling->hh.tbl != NULL) {
		atomic_fetch_add_explicit(&spelling->refs, 1, memory_order_relaxed);
	}
	lock_drop(&lock);
	for (size_t i = 0; i < 2; i++) {
		if (dead[i] != NULL) {
			free_spelling(dead[i]);
		}
	}
}

/* Its files are as they were, and the home folder that it lacks is still unknown. */
static bool is_current(const struct identity *identity)
{
	return files_are_same(identity) &&
	       !(identity->home_unknown && home_folder_is_known(identity->libpq));
}

bool identity_is_still(const struct spelling *spelling, const struct libpq *libpq,
                       const struct connect_call *call)
{
	return !atomic_load_explicit(&libpq->key_hook, memory_order_relaxed) &&
	       is_spelled(spelling, libpq, call) && is_current(spelling->identity);
}

/* A remembered one, counted; NULL if there is none that is current. */
static struct spelling *recall_current(const struct keybuf *inputs)
{
	struct spelling *spelling = recall(inputs);

	if (spelling != NULL && !is_current(spelling->identity)) {
		spelling_release(spelling);
		return NULL;
	}
	return spelling;
}

static void *find_or_understand(const struct libpq *libpq, const struct connect_call *call,
                                const struct keybuf *inputs)
{
	struct spelling *spelling = recall_current(inputs);

	if (spelling == NULL && (spelling = understand(libpq, call, inputs)) != NULL) {
		remember(spelling);
	}
	return spelling;
}

struct spelling *identity_resolve(const struct libpq *libpq, const struct connect_call *call)
{
	return pool_key_of_call(libpq, call, find_or_understand);
}

void spelling_hold(struct spelling *spelling)
{
	atomic_fetch_add_explicit(&spelling->refs, 1, memory_order_relaxed);
}

void spelling_release(struct spelling *spelling)
{
	if (let_go(spelling)) {
		free_spelling(spelling);
	}
}

void identity_hold(struct identity *identity)
{
	lock_take(&lock);
	identity->refs++;
	lock_drop(&lock);
}

void identity_release(struct identity *identity)
{
	bool last;

	lock_take(&lock);
	last = --identity->refs == 0;
	if (last) {
		HASH_DEL(identities, identity);
	}
	lock_drop(&lock);
	if (last) {
		free_identity(identity);
	}
}

void identity_fork_prepare(void)
{
	lock_take(&lock);
}

void identity_fork_done(void)
{
	lock_drop(&lock);
}
