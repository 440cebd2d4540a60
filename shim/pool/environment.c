/* SPDX-License-Identifier: PostgreSQL */
/* The variables of the environment that steer a connect. */
#include "pool/environment.h"

#include <stdint.h>
#include <string.h>

#include "base/program.h"

#define BEGINS_WITH(variable, prefix) (strncmp(variable, prefix, sizeof(prefix) - 1) == 0)

#define LETTER(c) (UINT32_C(1) << ((c) - '@'))

/*
 * Whether one that steers may begin so: asked at each connect of each variable there is.
 * Nothing of the environment is remembered from one call to the next, because a string that
 * putenv(3) has put there may be changed in place, name and all.
 */
static inline bool may_steer(const char *variable)
{
	/* By the first letter: what the second may be. */
	static const char seconds[32][2] = {
		['P' - '@'] = "GG", ['K' - '@'] = "RR", ['S' - '@'] = "SS", ['O' - '@'] = "PP",
		['R' - '@'] = "EE", ['L' - '@'] = "DO", ['H' - '@'] = "OO"};
	static const uint32_t firsts = LETTER('P') | LETTER('K') | LETTER('S') | LETTER('O') |
	                               LETTER('R') | LETTER('L') | LETTER('H');
	unsigned letter = (unsigned char)variable[0] - (unsigned)'@';

	return letter < 32 && (firsts >> letter & 1) != 0 &&
	       (variable[1] == seconds[letter][0] || variable[1] == seconds[letter][1]);
}

bool environment_steers(const char *variable)
{
	switch (variable[0]) {
	case 'P':
		return variable[1] == 'G';
	case 'K':
		return BEGINS_WITH(variable, "KRB5");
	case 'S':
		return BEGINS_WITH(variable, "SSL_CERT_");
	case 'O':
		return BEGINS_WITH(variable, "OPENSSL_CONF");
	case 'R':
		return BEGINS_WITH(variable, "RES_OPTIONS=");
	case 'L':
		return BEGINS_WITH(variable, "LDAP") || BEGINS_WITH(variable, "LOCALDOMAIN=");
	case 'H':
		return BEGINS_WITH(variable, "HOME=") || BEGINS_WITH(variable, "HOSTALIASES=");
	default:
		return false;
	}
}

void environment_put(struct blob *key)
{
	char *const *next = program_environ();
	const char *variable;

	while ((variable = *next++) != NULL) {
		if (may_steer(variable) && environment_steers(variable)) {
			blob_field(key, variable);
		}
	}
}
