/* SPDX-License-Identifier: PostgreSQL */
/* The keeper's settings. */
#include "keep/settings.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/terminal_text.h"
#include "common/xalloc.h"

#define PREFIX          "PQPOOL_"
#define PAIRS_MAX       256
#define COMPLAINT_BYTES 4096

struct settings settings;

/* "NAME=value", each name once. */
struct pairs {
	char *at[PAIRS_MAX + 1]; /* ends with NULL */
	size_t count;
};

/* That config_load() was given last: changes are made to a copy of it. */
static struct pairs present;

static bool put_pair(struct pairs *pairs, const char *pair)
{
	size_t name = (size_t)(strchrnul(pair, '=') - pair);
	size_t i = 0;

	while (i < pairs->count &&
	       (strncmp(pairs->at[i], pair, name) != 0 || pairs->at[i][name] != '=')) {
		i++;
	}
	if (i == PAIRS_MAX) {
		return false;
	}
	if (i == pairs->count) {
		pairs->count++;
	} else {
		free(pairs->at[i]);
	}
	pairs->at[i] = xalloc_copy(pair, strlen(pair));
	return true;
}

static void free_pairs(struct pairs *pairs)
{
	for (size_t i = 0; i < pairs->count; i++) {
		free(pairs->at[i]);
	}
	memset(pairs, 0, sizeof(*pairs));
}

static uint64_t ns_of(int64_t ms, int64_t none, uint64_t as)
{
	return ms == none ? as : (uint64_t)ms * NS_PER_MS;
}

static void take(const struct config *config)
{
	settings.config = *config;
	settings.size = config->size == 0 ? UINT_MAX : (unsigned)config->size;
	settings.total = config->size == 0 || config->max_overflow == CONFIG_NO_LIMIT
	                         ? UINT_MAX
	                         : (unsigned)(config->size + config->max_overflow);
	settings.timeout_ns = ns_of(config->timeout_ms, 0, 0);
	settings.recycle_ns = ns_of(config->recycle_ms, CONFIG_NO_LIMIT, UINT64_MAX);
	settings.idle_timeout_ns = ns_of(config->idle_timeout_ms, 0, UINT64_MAX);
	settings.ping_timeout_ns = ns_of(config->ping_timeout_ms, 0, 0);
	settings.keepalive_ns = ns_of(config->keepalive_ms, 0, 0);
	settings.linger_ns = ns_of(config->share_linger_ms, 0, 0);
	settings.oldest_first = config->order == ORDER_FIFO;
}

/* Goes over to these pairs, which are the callee's from now on, if they are good. */
static bool adopt(struct pairs *pairs, config_complain *complain, void *arg)
{
	struct config config;

	if (!config_load(&config, pairs->at, complain, arg)) {
		free_pairs(pairs);
		return false;
	}
	take(&config);
	free_pairs(&present);
	present = *pairs;
	return true;
}

static void complain_of(const char *what, const char *why, config_complain *complain, void *arg)
{
	char line[COMPLAINT_BYTES];
	char *shown = terminal_text(what);

	snprintf(line, sizeof(line), "pqpool keep: %s: %s", shown, why);
	free(shown);
	complain(arg, line);
}

/* Adds the file's pairs; false: complained of. */
static bool read_file(const char *file, struct pairs *pairs, config_complain *complain,
                      void *arg)
{
	FILE *from = fopen(file, "re");
	char *line = NULL;
	size_t size = 0;
	bool good = true;

	if (from == NULL) {
		complain_of(file, strerror(errno), complain, arg);
		return false;
	}
	while (good && getline(&line, &size, from) >= 0) {
		line[strcspn(line, "\r\n")] = '\0';
		if (line[0] == '\0' || line[0] == '#') {
			continue;
		}
		good = strncmp(line, PREFIX, strlen(PREFIX)) == 0 &&
		       strchr(line, '=') != NULL && put_pair(pairs, line);
		if (!good) {
			complain_of(file, "a line is no PQPOOL_NAME=value", complain, arg);
		}
	}
	free(line);
	fclose(from);
	return good;
}

bool settings_load(const char *file, config_complain *complain, void *arg)
{
	struct pairs pairs = {.count = 0};

	for (char **e = environ; *e != NULL; e++) {
		if (strncmp(*e, PREFIX, strlen(PREFIX)) == 0 && strchr(*e, '=') != NULL) {
			put_pair(&pairs, *e);
		}
	}
	if (file != NULL && !read_file(file, &pairs, complain, arg)) {
		free_pairs(&pairs);
		return false;
	}
	return adopt(&pairs, complain, arg);
}

bool settings_change(const char *pair, config_complain *complain, void *arg)
{
	static const char *const names[] = {"size",      "max_overflow", "timeout",
	                                    "recycle",   "idle_timeout", "ping_timeout",
	                                    "keepalive", "order",        "share_linger"};
	size_t n = (size_t)(strchrnul(pair, '=') - pair);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == n && strncmp(names[i], pair, n) == 0 &&
		    pair[n] == '=') {
			struct pairs pairs = {.count = 0};
			char *variable;

			for (size_t k = 0; k < present.count; k++) {
				put_pair(&pairs, present.at[k]);
			}
			if (asprintf(&variable, PREFIX "%s", pair) < 0) {
				free_pairs(&pairs);
				complain_of(pair, strerror(ENOMEM), complain, arg);
				return false;
			}
			for (char *c = variable; *c != '='; c++) {
				*c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
			}
			put_pair(&pairs, variable);
			free(variable);
			return adopt(&pairs, complain, arg);
		}
	}
	complain_of(pair, "no setting that can be changed", complain, arg);
	return false;
}
