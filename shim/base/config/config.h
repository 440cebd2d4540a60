/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reads the PQPOOL_* variables into one constant struct.
 *
 * config.def is the one table of them: for parsing here, for `pqpool run --help` and its
 * options, and for the lint test that compares README.md.
 *
 * A bad value is a complaint, one line that names the variable, the value and what is allowed,
 * and the program is to run unpooled. An unknown PQPOOL_ variable is a complaint, too, with the
 * nearest known name, but changes nothing.
 */
#ifndef PQPOOL_BASE_CONFIG_CONFIG_H
#define PQPOOL_BASE_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config/value.h"
#include "base/text/strbuf.h"

enum config_pre_ping { PRE_PING_OFF, PRE_PING_AUTO, PRE_PING_ON };
enum config_reset { RESET_OFF, RESET_ROLLBACK, RESET_AUTO, RESET_DISCARD };
enum config_order { ORDER_LIFO, ORDER_FIFO };
enum config_report { REPORT_OFF, REPORT_ON, REPORT_ALL };
enum config_level { LEVEL_OFF, LEVEL_ERROR, LEVEL_WARNING, LEVEL_INFO, LEVEL_DEBUG };
enum config_profile { PROFILE_NONE, PROFILE_DEV, PROFILE_TEST, PROFILE_PROD, PROFILES };

/* A limit of -1 in the environment, and a duration of -1, mean "none". */
#define CONFIG_NO_LIMIT VALUE_NO_LIMIT

/*
 * Not for people: `pqpool run --wait` names a marker file there, whose modification time the
 * first libpq call of each process renews.
 */
#define CONFIG_WITNESS "PQPOOL_WITNESS"

/* How a complaint about a bad value ends. */
#define CONFIG_UNPOOLED "; this program runs unpooled"

struct config {
	enum config_profile profile;
	bool disable;
	const char *only; /* comma-separated globs; NULL = every program */
	const char *skip; /* comma-separated globs; NULL = none */

	int64_t size;         /* sessions kept; 0 = no limit */
	int64_t max_overflow; /* more while busy; CONFIG_NO_LIMIT */
	int64_t timeout_ms;
	int64_t recycle_ms; /* CONFIG_NO_LIMIT = never */
	enum config_pre_ping pre_ping;
	const char *ping_query; /* "" = the empty query */
	int64_t ping_timeout_ms;
	int64_t connect_timeout_s; /* libpq's unit; 0 = leave to libpq */
	enum config_reset reset;
	int64_t prewarm;
	int64_t idle_timeout_ms; /* 0 = off */
	int64_t keepalive_ms;    /* 0 = off */
	enum config_order order;
	const char *route; /* host[:port], [v6][:port] or /dir[:port], checked; NULL = none */

	const char *share;       /* "off", "on" or the path of a keeper's socket */
	int64_t share_linger_ms; /* of the keeper */

	const char *log; /* a file name pattern, "stderr" or "syslog" */
	enum config_level log_level;
	int64_t log_max_bytes; /* 0 = never rotated */
	int64_t log_keep;      /* full files kept; 0 = none */
	int64_t long_hold_ms;  /* 0 = off */
	int64_t warn_at;       /* percent of a pool's limit; 0 = off */
	int64_t stack_depth;
	enum config_report report;
	const char *suppress;  /* a file of patterns; NULL = none */
	int64_t leak_exitcode; /* 0 = keep the program's */
};

/* Receives one complaint, a line without its newline; `line` is gone afterwards. */
typedef void config_complain(void *arg, const char *line);

/*
 * Fills `config` from `environ_block` (as environ(7), NULL-terminated). Strings
 * are copied once and never freed: there is one configuration per process image.
 * Returns false if a value was bad or memory ran out: run unpooled. The struct then
 * has the defaults in the places concerned. errno is kept.
 */
bool config_load(struct config *config, char *const *environ_block, config_complain *complain,
                 void *arg);

/*
 * Whether this program is to be pooled, by disable, only and skip; a directory before
 * its name does not count.
 */
bool config_wants_program(const struct config *config, const char *program);

/* One row of config.def, for those who print or translate it (`pqpool run`). */
struct config_variable {
	char name[24];                /* "PQPOOL_SIZE" */
	char fallback[8];             /* the default as one would write it, "" = unset */
	char by_profile[PROFILES][8]; /* "" = the fallback */
	char allowed[144];            /* "a whole number from 0 to 10000; 0 = no limit" */
	char meaning[232];
};

/* All rows in the order of config.def; `*count` gets their number. */
const struct config_variable *config_variables(size_t *count);

/*
 * Adds the effective configuration as logfmt pairs, "size=10 max_overflow=20 …",
 * to `t`. ping_query and route are included; there are no secrets in it.
 */
void config_describe(const struct config *config, struct strbuf *t);

#endif
