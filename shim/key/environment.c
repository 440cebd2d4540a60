/* SPDX-License-Identifier: PostgreSQL */
/* The variables of the environment that steer a connect. */
#include "key/environment.h"

#include <stdint.h>
#include <string.h>

#include "base/config/program.h"

/* Most differ in their third letter: not worth a call. */
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

/* By the first letter of what steers: which the second may be. */
static const uint32_t seconds[32] = {
	[PLACE('P')] = LETTER('G'), [PLACE('K')] = LETTER('R'),
	[PLACE('S')] = LETTER('S'), [PLACE('O')] = LETTER('P'),
	[PLACE('R')] = LETTER('E'), [PLACE('L')] = LETTER('D') | LETTER('O'),
	[PLACE('H')] = LETTER('O'),
};

/*
 * Whether one that steers may begin so: asked at each connect of each variable there is.
 * Nothing of the environment is remembered from one call to the next, because a string that
 * putenv(3) has put there may be changed in place, name and all.
 */
static inline bool may_steer(const char *variable)
{
	uint32_t second = seconds[PLACE(variable[0])];

	/* Behind the end of an empty one there may be nothing. */
	return second != 0 && (second >> PLACE(variable[1]) & 1) != 0;
}

bool environment_steers(const char *variable)
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

void environment_put(struct keybuf *key)
{
	char *const *next = program_environ();
	const char *variable;

	while ((variable = *next++) != NULL) {
		if (may_steer(variable) && ((variable[0] == 'P' && variable[1] == 'G') ||
		                            environment_steers(variable))) {
			keybuf_field(key, variable);
		}
	}
}
