/* SPDX-License-Identifier: PostgreSQL */
/* What makes two connects equal. */
#include "key/pool_key.h"

#include <langinfo.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/config/program.h"
#include "base/scratch.h"
#include "key/process_ids.h"

/* ---- the process ---- */

/*
 * Only a password over TCP with no file and no TLS does not depend on the effective ids, and
 * that the server asks for no tickets is not known before.
 */
static void put_process(struct keybuf *key, const struct libpq *libpq)
{
	struct {
		const struct libpq *libpq;
		struct process_ids ids;
	} process = {libpq, process_ids_now()};

	keybuf_bytes(key, &process, sizeof(process));
}

/* ---- the environment ---- */

static inline bool begins_with(const char *variable, const char *prefix)
{
	while (*prefix != '\0' && *variable == *prefix) {
		variable++;
		prefix++;
	}
	return *prefix == '\0';
}

/* The last five bits of a letter are its place in the alphabet. */
#define PLACE(c)  ((unsigned char)(c)&31)
#define LETTER(c) (UINT32_C(1) << PLACE(c))

/* By the first letter of a variable that steers a connect: the second. */
static const uint32_t seconds[32] = {
	[PLACE('P')] = LETTER('G'), [PLACE('K')] = LETTER('R'),
	[PLACE('S')] = LETTER('S'), [PLACE('O')] = LETTER('P'),
	[PLACE('R')] = LETTER('E'), [PLACE('L')] = LETTER('D') | LETTER('O'),
	[PLACE('H')] = LETTER('O'),
};

/*
 * Asked of each variable at each connect. Nothing of the environment is remembered from one
 * call to the next: a string that putenv(3) has put there may be changed in place, name and
 * all.
 */
static inline bool may_steer(const char *variable)
{
	uint32_t second = seconds[PLACE(variable[0])];

	return second != 0 && (second >> PLACE(variable[1]) & 1) != 0;
}

/*
 * libpq's own variables, and those of the libraries behind it: Kerberos, OpenSSL, the resolver,
 * LDAP.
 */
static bool steers(const char *variable)
{
	switch (variable[0]) {
	case 'P':
		return variable[1] == 'G';
	case 'K':
		return begins_with(variable, "KRB5");
	case 'S':
		return begins_with(variable, "SSL_CERT_");
	case 'O':
		return begins_with(variable, "OPENSSL_CONF");
	case 'R':
		return begins_with(variable, "RES_OPTIONS=");
	case 'L':
		return begins_with(variable, "LDAP") || begins_with(variable, "LOCALDOMAIN=");
	case 'H':
		return begins_with(variable, "HOME=") || begins_with(variable, "HOSTALIASES=");
	default:
		return false;
	}
}

static void put_environment(struct keybuf *key)
{
	char *const *next = program_environ();
	const char *variable;

	while ((variable = *next++) != NULL) {
		if (may_steer(variable) && steers(variable)) {
			keybuf_field(key, variable);
		}
	}
}

static bool is_option_variable(const PQconninfoOption *options, const char *variable)
{
	size_t len = strcspn(variable, "=");

	for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
		if (o->envvar != NULL && strlen(o->envvar) == len &&
		    strncmp(o->envvar, variable, len) == 0) {
			return true;
		}
	}
	return false;
}

/* Those that are no option's: they are read while libpq connects. */
static void put_variables(struct keybuf *key, const PQconninfoOption *options)
{
	for (char *const *e = program_environ(); *e != NULL; e++) {
		if (steers(*e) && !is_option_variable(options, *e)) {
			keybuf_field(key, *e);
		}
	}
}

/* ---- how the call says it ---- */

void pool_key_put_call(struct keybuf *key, const struct libpq *libpq,
                       const struct connect_call *call)
{
	char how[2] = {(char)call->function, (char)(call->expand_dbname != 0)};

	keybuf_bytes(key, how, sizeof(how));
	put_process(key, libpq);
	if (call->function == CONNECT_STRING) {
		keybuf_field(key, call->conninfo);
	}
	if (call->function == CONNECT_LOGIN) {
		for (size_t i = 0; i < LOGIN_ARGUMENTS; i++) {
			keybuf_field(key, call->login[i]);
		}
	}
	if (call->function == CONNECT_PARAMS && call->keywords != NULL &&
	    call->values != NULL) {
		for (size_t i = 0; call->keywords[i] != NULL; i++) {
			keybuf_field(key, call->keywords[i]);
			keybuf_field(key, call->values[i]);
		}
	}
	keybuf_bytes(key, "", 1);
	/* What client_encoding=auto stands for follows the program's locale. */
	keybuf_field(key, nl_langinfo(CODESET));
	put_environment(key);
}

void *pool_key_of_call(const struct libpq *libpq, const struct connect_call *call,
                       pool_key_make *make)
{
	struct keybuf inputs;
	void *made = NULL;
	char *buf;

	if (atomic_load_explicit(&libpq->key_hook, memory_order_relaxed) ||
	    (buf = scratch_take()) == NULL) {
		return NULL;
	}
	keybuf_init(&inputs, buf, SCRATCH_BYTES);
	pool_key_put_call(&inputs, libpq, call);
	if (!inputs.failed) {
		made = make(libpq, call, &inputs);
	}
	keybuf_wipe(&inputs);
	scratch_give(buf);
	return made;
}

/* ---- what it means ---- */

/*
 * The value of an option; or what libpq fills in while it connects, and PQconninfo shows from
 * then on: programs that connect again with what that says (psql's \c) mean the same.
 */
static const char *filled_in(const struct conninfo *ci, size_t row)
{
	const char *keyword = ci->options[row].keyword;
	const char *value = ci->values[row];

	if (value != NULL && value[0] != '\0') {
		return value;
	}
	if (strcmp(keyword, "dbname") == 0) {
		return conninfo_value(ci, "user");
	}
	if (strcmp(keyword, "passfile") == 0) {
		return ci->passfile;
	}
	/* Since version 16. */
	return strcmp(keyword, "sslcertmode") == 0 ? "allow" : value;
}

void pool_key_put_options(struct keybuf *key, const struct conninfo *ci)
{
	/* An empty value and none mean the same, but PQconninfo tells them apart. */
	for (size_t row = 0; row < ci->count; row++) {
		keybuf_field(key, filled_in(ci, row));
	}
	keybuf_bytes(key, &ci->home_unknown, sizeof(ci->home_unknown));
}

bool pool_key_follows_locale(const struct conninfo *ci)
{
	return strcmp(conninfo_value(ci, "client_encoding"), "auto") == 0;
}

void pool_key_put_surroundings(struct keybuf *key, const struct libpq *libpq,
                               const PQconninfoOption *options, bool follows_locale)
{
	put_process(key, libpq);
	keybuf_field(key, follows_locale ? nl_langinfo(CODESET) : NULL);
	put_variables(key, options);
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

/* Each connect is authorised by itself, by a person even, or by a hook of the program's. */
static bool is_authorised_each_time(const struct conninfo *ci)
{
	return conninfo_value(ci, "oauth_issuer")[0] != '\0';
}

bool pool_key_is_shared(const struct conninfo *ci)
{
	return !is_replication(ci) && !is_balanced(ci) && !is_authorised_each_time(ci);
}

static bool is_one_of(const struct conninfo *ci, const char *keyword, const char *const *values)
{
	const char *value = conninfo_value(ci, keyword);

	while (*values != NULL && strcmp(*values, value) != 0) {
		values++;
	}
	return *values != NULL;
}

bool pool_key_is_of_process(const struct conninfo *ci)
{
	static const char *const any[] = {"", "any", NULL};
	static const char *const no_matter[] = {"", "disable", "allow", "prefer", NULL};

	return strchr(conninfo_value(ci, "host"), ',') != NULL ||
	       strchr(conninfo_value(ci, "hostaddr"), ',') != NULL ||
	       !is_one_of(ci, "target_session_attrs", any) ||
	       !is_one_of(ci, "sslmode", no_matter) ||
	       !is_one_of(ci, "gssencmode", no_matter) ||
	       !is_one_of(ci, "channel_binding", no_matter) ||
	       conninfo_value(ci, "require_auth")[0] != '\0';
}

static const char *or_else(const char *value, const char *fallback)
{
	return value[0] != '\0' ? value : fallback;
}

/* True if the name is a connection string with a password in it, by a mistake of the program's.
 */
static bool has_password(const char *dbname)
{
	return strncmp(dbname, "postgresql://", strlen("postgresql://")) == 0 ||
	       strncmp(dbname, "postgres://", strlen("postgres://")) == 0 ||
	       (strstr(dbname, "password") != NULL && strchr(dbname, '=') != NULL);
}

bool pool_key_label(struct strbuf *t, const struct conninfo *ci)
{
	const char *user = conninfo_value(ci, "user");
	const char *dbname = or_else(conninfo_value(ci, "dbname"), user);
	bool hidden = has_password(dbname);
	const char *service = conninfo_value(ci, "service");

	strbuf_str(t, user);
	strbuf_char(t, '@');
	strbuf_str(t, or_else(conninfo_value(ci, "host"),
	                      or_else(conninfo_value(ci, "hostaddr"), "local")));
	strbuf_char(t, ':');
	strbuf_str(t, or_else(conninfo_value(ci, "port"), "5432"));
	strbuf_char(t, '/');
	strbuf_str(t, hidden ? "(a connection string)" : dbname);
	if (service[0] != '\0') {
		strbuf_str(t, " service=");
		strbuf_str(t, service);
	}
	return !hidden;
}
