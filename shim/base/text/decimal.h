/* SPDX-License-Identifier: PostgreSQL */
/* Writes numbers as decimal digits, two at a time, straight to where they are to stand. */
#ifndef PQPOOL_BASE_TEXT_DECIMAL_H
#define PQPOOL_BASE_TEXT_DECIMAL_H

#include <stdint.h>
#include <string.h>

/* The digits of the longest number. */
#define DECIMAL_MAX 20

/* "00", "01", ..., "99", one behind the other. */
extern const char decimal_pairs[200];

/* The two digits of a number below 100; returns what is behind them. */
static inline char *decimal_pair(char *at, unsigned v)
{
	memcpy(at, decimal_pairs + 2 * (size_t)v, 2);
	return at + 2;
}

/* Any number, without leading zeros and without a NUL; returns what is behind it. */
char *decimal_put(char *at, uint64_t v);

#endif
