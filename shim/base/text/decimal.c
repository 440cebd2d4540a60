/* SPDX-License-Identifier: PostgreSQL */
/* Writes numbers as decimal digits. */
#include "base/text/decimal.h"

/* Not a string: it would end in a NUL, for which there is no room. */
#define ROW(d) d, '0', d, '1', d, '2', d, '3', d, '4', d, '5', d, '6', d, '7', d, '8', d, '9'

const char decimal_pairs[200] = {ROW('0'), ROW('1'), ROW('2'), ROW('3'), ROW('4'),
                                 ROW('5'), ROW('6'), ROW('7'), ROW('8'), ROW('9')};

#define FOUR  10000U     /* the least number of more than four digits */
#define EIGHT 100000000U /* and of more than eight */

/* A number below 100. */
static char *put_short(char *at, unsigned v)
{
	if (v >= 10) {
		return decimal_pair(at, v);
	}
	*at = (char)('0' + v);
	return at + 1;
}

/* All four digits of a number below 10,000. */
static char *put_four(char *at, unsigned v)
{
	return decimal_pair(decimal_pair(at, v / 100), v % 100);
}

char *decimal_put(char *at, uint64_t v)
{
	if (v < 100) {
		return put_short(at, (unsigned)v);
	}
	if (v < FOUR) {
		return decimal_pair(put_short(at, (unsigned)v / 100), (unsigned)v % 100);
	}
	if (v < EIGHT) {
		return put_four(decimal_put(at, (unsigned)v / FOUR), (unsigned)v % FOUR);
	}
	return put_four(decimal_put(at, v / FOUR), (unsigned)(v % FOUR));
}
