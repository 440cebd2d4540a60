/* SPDX-License-Identifier: PostgreSQL */
/* Arguments and environment into a pool key. */
#include "pool/identity.h"

#include <errno.h>
#include <langinfo.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/blob.h"
#include "base/cold.h"
#include "base/lock.h"
#include "base/logfmt.h"
#include "base/program.h"
#include "base/text.h"
#include "pool/environment.h"

/* A program that never spells a connect the same way twice must not grow for ever. */
#define SPELLINGS_MAX 1024

static struct lock lock = LOCK_INITIALIZER(LOCK_IDENTITY);
static struct spelling *spellings;
static struct spelling *latest; /* found; most programs have but one */
static struct identity *identities;
static struct identity_settings settings;

void identity_configure(const struct identity_settings *wanted)
{
	settings = *wanted;
}

/*
 * The effective ids matter to nearly every identity: whether a socket may be connected to
 * and who its peer is, which files can be read, whose tickets Kerberos uses, even though the
 * program says neither; only a password over TCP with no file and no TLS is beyond them, and
 * that the server does not ask for tickets is not known before.
 */
static void put_process(struct blob *b, const struct libpq *libpq)
{
	struct {
		const struct libpq *libpq;
		uid_t uid;
		gid_t gid;
	} process = {libpq, geteuid(), getegid()};

	blob_bytes(b, &process, sizeof(process));
}

/* Everything one call depends on, but for files, in a form that is cheap to compare. */
static inline void put_inputs(struct blob *b, const struct libpq *libpq,
                              const struct connect_call *call)
{
	char how[2] = {(char)call->function, (char)(call->expand_dbname != 0)};

	blob_bytes(b, how, sizeof(how));
	put_process(b, libpq);
	if (call->function == CONNECT_STRING) {
		blob_field(b, call->conninfo);
	}
	if (call->function == CONNECT_LOGIN) {
		for (size_t i = 0; i < LOGIN_ARGUMENTS; i++) {
			blob_field(b, call->login[i]);
		}
	}
	if (call->function == CONNECT_PARAMS && call->keywords != NULL &&
	    call->values != NULL) {
		for (size_t i = 0; call->keywords[i] != NULL; i++) {
			blob_field(b, call->keywords[i]);
			blob_field(b, call->values[i]);
		}
	}
	blob_bytes(b, "", 1);
	if (b->failed) {
		return;
	}
	/* What client_encoding=auto stands for follows the program's locale. */
	blob_field(b, nl_langinfo(CODESET));
	environment_put(b);
}

static bool is_option_variable(const struct conninfo *ci, const char *variable)
{
	size_t len = strcspn(variable, "=");

	for (size_t row = 0; row < ci->count; row++) {
		const char *name = ci->defaults[row].envvar;

		if (name != NULL && strlen(name) == len && strncmp(name, variable, len) == 0) {
			return true;
		}
	}
	return false;
}

/*
 * Home folders libpq may use: $HOME's since version 15, the password database's before.
 * Both where they differ; the password database's is in `buf`.
 */
struct homes {
	const char *paths[3]; /* NULL after the last */
	char buf[4096];
};

static void find_homes(struct homes *homes)
{
	struct passwd pw;
	struct passwd *found = NULL;
	const char *home = getenv("HOME");
	size_t count = home != NULL && home[0] != '\0' ? 1 : 0;

	homes->paths[0] = home;
	if (getpwuid_r(geteuid(), &pw, homes->buf, sizeof(homes->buf), &found) == 0 &&
	    found != NULL && (count == 0 || strcmp(found->pw_dir, home) != 0)) {
		homes->paths[count++] = found->pw_dir;
	}
	homes->paths[count] = NULL;
}

/*
 * What libpq fills in while it connects, and PQconninfo shows from then on: programs that
 * connect again with what it says (psql's \c) mean the same. False: nothing, or not known.
 */
static bool put_filled_in(struct blob *b, const struct conninfo *ci, const char *keyword,
                          const struct homes *homes)
{
	const char *user = conninfo_value(ci, "user");

	if (conninfo_value(ci, keyword)[0] != '\0' ||
	    conninfo_value(ci, "service")[0] != '\0') {
		return false;
	}
	if (strcmp(keyword, "dbname") == 0 && user[0] != '\0') {
		blob_field(b, user);
		return true;
	}
	if (strcmp(keyword, "passfile") == 0 && conninfo_value(ci, "password")[0] == '\0' &&
	    homes->paths[0] != NULL && homes->paths[1] == NULL) {
		char path[4096];
		struct text t;

		text_init(&t, path, sizeof(path));
		text_str(&t, homes->paths[0]);
		text_str(&t, "/.pgpass");
		blob_field(b, path);
		return !t.cut;
	}
	return false;
}

static void put_meaning(struct blob *b, const struct libpq *libpq, const struct conninfo *ci,
                        const struct watch_list *watches)
{
	struct homes homes;

	find_homes(&homes);
	put_process(b, libpq);
	/* An empty value and none mean the same, but PQconninfo tells them apart. */
	for (size_t row = 0; row < ci->count; row++) {
		if (!put_filled_in(b, ci, ci->defaults[row].keyword, &homes)) {
			blob_field(b, ci->given[row] != NULL ? ci->given[row]
			                                     : ci->defaults[row].val);
		}
	}
	if (strcmp(conninfo_value(ci, "client_encoding"), "auto") == 0) {
		blob_field(b, nl_langinfo(CODESET));
	}
	for (char *const *e = program_environ(); *e != NULL; e++) {
		if (environment_steers(*e) && !is_option_variable(ci, *e)) {
			blob_field(b, *e);
		}
	}
	watch_describe(watches, b);
}

static bool is_socket_only(const struct conninfo *ci)
{
	const char *host = conninfo_value(ci, "host");

	if (conninfo_value(ci, "hostaddr")[0] != '\0') {
		return false;
	}
	/* Any element of the list that is not a path is a network host. */
	while (*host != '\0') {
		if (*host != '/' && *host != '@' && *host != ',') {
			return false;
		}
		host += strcspn(host, ",");
		host += *host == ',';
	}
	return true;
}

static void watch_option(struct watch_list *w, const struct conninfo *ci, const char *keyword,
                         const char *const *homes, const char *fallback)
{
	const char *path = conninfo_value(ci, keyword);

	if (path[0] != '\0') {
		watch_add(w, path);
		return;
	}
	for (; *homes != NULL; homes++) {
		watch_add_in(w, *homes, fallback);
	}
}

static void watch_service(struct watch_list *w, const char *const *homes)
{
	const char *file = getenv("PGSERVICEFILE");
	const char *dir = getenv("PGSYSCONFDIR");

	if (file != NULL && file[0] != '\0') {
		watch_add(w, file);
	} else {
		for (; *homes != NULL; homes++) {
			watch_add_in(w, *homes, ".pg_service.conf");
		}
	}
	if (dir != NULL && dir[0] != '\0') {
		watch_add_in(w, dir, "pg_service.conf");
	}
	/* Where builds of libpq look else: Debian's, the source's own default. */
	watch_add(w, "/etc/postgresql-common/pg_service.conf");
	watch_add(w, "/etc/pg_service.conf");
	watch_add(w, "/usr/local/pgsql/etc/pg_service.conf");
}

static void watch_network(struct watch_list *w, const struct conninfo *ci,
                          const char *const *homes)
{
	const char *cache = getenv("KRB5CCNAME");

	if (strcmp(conninfo_value(ci, "sslmode"), "disable") != 0) {
		watch_option(w, ci, "sslcert", homes, ".postgresql/postgresql.crt");
		watch_option(w, ci, "sslkey", homes, ".postgresql/postgresql.key");
		watch_option(w, ci, "sslrootcert", homes, ".postgresql/root.crt");
		watch_option(w, ci, "sslcrl", homes, ".postgresql/root.crl");
	}
	if (cache == NULL) {
		char path[64];
		struct text t;

		text_init(&t, path, sizeof(path));
		text_str(&t, "/tmp/krb5cc_");
		text_u64(&t, geteuid());
		watch_add(w, path);
	} else if (cache[0] == '/' || strncmp(cache, "FILE:", 5) == 0) {
		watch_add(w, cache[0] == '/' ? cache : cache + 5);
	}
}

static void watch_files(struct watch_list *w, const struct conninfo *ci)
{
	struct homes found;
	const char *const *homes = found.paths;

	find_homes(&found);
	if (conninfo_value(ci, "service")[0] != '\0') {
		watch_service(w, homes);
	}
	if (conninfo_value(ci, "password")[0] == '\0') {
		watch_option(w, ci, "passfile", homes, ".pgpass");
	}
	if (!is_socket_only(ci)) {
		watch_network(w, ci, homes);
	}
}

static bool is_replication(const struct conninfo *ci)
{
	static const char no[][8] = {"", "0", "false", "off", "no", "f", "n"};
	const char *value = conninfo_value(ci, "replication");

	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		if (strcasecmp(value, no[i]) == 0) {
			return false;
		}
	}
	return true;
}

/* Each connect is to go to another host. */
static bool is_balanced(const struct conninfo *ci)
{
	const char *value = conninfo_value(ci, "load_balance_hosts");

	return value[0] != '\0' && strcmp(value, "disable") != 0;
}

/*
 * Who it is authorised as is asked anew for each connect, of a person even, or of a hook of the
 * program's; never where this option is not set.
 */
static bool is_authorised_anew(const struct conninfo *ci)
{
	return conninfo_value(ci, "oauth_issuer")[0] != '\0';
}

static const char *or_else(const char *value, const char *fallback)
{
	return value[0] != '\0' ? value : fallback;
}

static void put_label(struct text *t, const struct conninfo *ci)
{
	const char *user = conninfo_value(ci, "user");
	const char *service = conninfo_value(ci, "service");

	text_str(t, user);
	text_char(t, '@');
	text_str(t, or_else(conninfo_value(ci, "host"),
	                    or_else(conninfo_value(ci, "hostaddr"), "local")));
	text_char(t, ':');
	text_str(t, or_else(conninfo_value(ci, "port"), "5432"));
	text_char(t, '/');
	text_str(t, or_else(conninfo_value(ci, "dbname"), user));
	if (service[0] != '\0') {
		text_str(t, " service=");
		text_str(t, service);
	}
}

/* The identity with this key, counted once more; made if it is new. */
static struct identity *intern(const struct libpq *libpq, const struct blob *key,
                               const char *label)
{
	size_t label_size = strlen(label) + 1;
	struct identity *identity;
	struct identity *fresh = calloc(1, sizeof(*fresh) + key->len + label_size);

	if (fresh == NULL) {
		return NULL;
	}
	fresh->libpq = libpq;
	fresh->key_len = key->len;
	memcpy(fresh->key, key->data, key->len);
	fresh->label = memcpy(fresh->key + key->len, label, label_size);
	fresh->label_plain = !logfmt_needs_quotes(label);
	lock_take(&lock);
	HASH_FIND(hh, identities, key->data, key->len, identity);
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
		explicit_bzero(fresh->key, fresh->key_len);
		free(fresh);
	}
	return identity;
}

static struct identity *identity_of(const struct libpq *libpq, const struct conninfo *ci,
                                    const struct watch_list *watches)
{
	char buf[4096];
	char label[256];
	struct blob key;
	struct text t;
	struct identity *identity = NULL;

	blob_init(&key, buf, sizeof(buf));
	put_meaning(&key, libpq, ci, watches);
	text_init(&t, label, sizeof(label));
	put_label(&t, ci);
	if (!key.failed) {
		identity = intern(libpq, &key, label);
	}
	blob_wipe(&key);
	return identity;
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
	watch_free(&spelling->watches);
	explicit_bzero(spelling->inputs, spelling->inputs_len);
	free(spelling);
}

/* Understands a call that was not seen before; not in the table yet, counted once. */
static struct spelling *understand(const struct libpq *libpq, const struct connect_call *call,
                                   const struct blob *inputs)
{
	struct conninfo ci;
	struct spelling *spelling;

	if (!conninfo_read(&ci, libpq, call, settings.route)) {
		return NULL;
	}
	spelling = calloc(1, sizeof(*spelling) + inputs->len);
	if (spelling == NULL || is_replication(&ci) || is_balanced(&ci) ||
	    is_authorised_anew(&ci)) {
		free(spelling);
		conninfo_free(&ci);
		return NULL;
	}
	atomic_init(&spelling->refs, 1);
	spelling->inputs_len = inputs->len;
	memcpy(spelling->inputs, inputs->data, inputs->len);
	watch_files(&spelling->watches, &ci);
	spelling->conninfo = conninfo_text(&ci, settings.connect_timeout_s);
	if (spelling->conninfo != NULL && !spelling->watches.failed) {
		spelling->identity = identity_of(libpq, &ci, &spelling->watches);
	}
	conninfo_free(&ci);
	if (spelling->identity == NULL) {
		free_spelling(spelling);
		return NULL;
	}
	return spelling;
}

/* Gives one reference back; true if it was the last. */
static bool let_go(struct spelling *spelling)
{
	return atomic_fetch_sub_explicit(&spelling->refs, 1, memory_order_acq_rel) == 1;
}

/* Takes a spelling out of the table, which holds one reference; returns it to free. */
static struct spelling *unlist_locked(struct spelling *spelling)
{
	HASH_DEL(spellings, spelling);
	spelling->hh.tbl = NULL;
	latest = latest == spelling ? NULL : latest;
	return let_go(spelling) ? spelling : NULL;
}

static bool is_spelled(const struct spelling *spelling, const struct libpq *libpq,
                       const struct connect_call *call)
{
	struct blob inputs;

	blob_hold_against(&inputs, spelling->inputs, spelling->inputs_len);
	put_inputs(&inputs, libpq, call);
	return blob_is_alike(&inputs);
}

/* The latest, if this is it. What it says is read without the lock: it does not change. */
static struct spelling *recall_latest(const struct libpq *libpq,
                                      const struct connect_call *call)
{
	struct spelling *spelling;

	lock_take(&lock);
	spelling = latest;
	if (spelling != NULL) {
		atomic_fetch_add_explicit(&spelling->refs, 1, memory_order_relaxed);
	}
	lock_drop(&lock);
	if (spelling != NULL && !is_spelled(spelling, libpq, call)) {
		spelling_release(spelling);
		spelling = NULL;
	}
	return spelling;
}

static struct spelling *recall(const struct blob *inputs)
{
	struct spelling *spelling;

	lock_take(&lock);
	HASH_FIND(hh, spellings, inputs->data, inputs->len, spelling);
	if (spelling != NULL) {
		latest = spelling;
		atomic_fetch_add_explicit(&spelling->refs, 1, memory_order_relaxed);
	}
	lock_drop(&lock);
	return spelling;
}

/*
 * Lists a new spelling in place of an outdated one of the same inputs; uthash keeps
 * the order of addition, so the head is the oldest.
 */
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

/* As the files are now; NULL if one has changed, which gives the reference back. */
static struct spelling *if_current(struct spelling *spelling)
{
	if (spelling != NULL && !watch_unchanged(&spelling->watches)) {
		spelling_release(spelling);
		return NULL;
	}
	return spelling;
}

/* Not the latest: another one, or a new one, or the latest anew. */
static struct spelling *look_further(const struct libpq *libpq, const struct connect_call *call)
{
	char buf[4096];
	struct blob inputs;
	struct spelling *spelling = NULL;

	blob_init(&inputs, buf, sizeof(buf));
	put_inputs(&inputs, libpq, call);
	if (!inputs.failed) {
		spelling = if_current(recall(&inputs));
	}
	if (spelling == NULL && !inputs.failed) {
		spelling = understand(libpq, call, &inputs);
		if (spelling != NULL) {
			remember(spelling);
		}
	}
	blob_wipe(&inputs);
	return spelling;
}

struct spelling *identity_resolve(const struct libpq *libpq, const struct connect_call *call)
{
	struct spelling *spelling;

	if (atomic_load_explicit(&libpq->key_hook, memory_order_relaxed)) {
		return NULL;
	}
	spelling = if_current(recall_latest(libpq, call));
	return spelling != NULL ? spelling : look_further(libpq, call);
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
		explicit_bzero(identity->key, identity->key_len);
		free(identity);
	}
}

void identity_fork_prepare(void)
{
	lock_take(&lock);
}

void identity_fork_parent(void)
{
	lock_drop(&lock);
}

void identity_fork_child(void)
{
	lock_drop(&lock);
}
