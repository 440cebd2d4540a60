/* SPDX-License-Identifier: PostgreSQL */
/* The time as a line of the log tells it. */
#include "trace/log/timestamp.h"

#include <stdatomic.h>

#include "base/text/decimal.h"

#define US_PER_SEC  1000000U
#define SEC_PER_DAY 86400U

/*
 * The day that was asked for last, so that its date is found once: the days since 1970 in the
 * upper half, below them the date as make_date has it. At first a day that never comes.
 */
static atomic_uint_fast64_t last_day = UINT64_MAX;

/*
 * Days since 1970-01-01 to a date, in years that begin in March so that leap days come last:
 * a byte each for the century, the year in it, the month and the day.
 */
static uint32_t make_date(uint32_t days)
{
	uint32_t since_0000_03_01 = days + 719468;
	uint32_t era = since_0000_03_01 / 146097;
	uint32_t day_of_era = since_0000_03_01 % 146097;
	uint32_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) /
		365;
	uint32_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint32_t month_from_march = (5 * day_of_year + 2) / 153;
	uint32_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
	uint32_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
	uint32_t year = era * 400 + year_of_era + (month <= 2);

	return year / 100 % 100 << 24 | year % 100 << 16 | month << 8 | day;
}

static uint32_t date_of(uint32_t days)
{
	uint_fast64_t known = atomic_load_explicit(&last_day, memory_order_relaxed);

	if (known >> 32 != days) {
		known = (uint64_t)days << 32 | make_date(days);
		atomic_store_explicit(&last_day, known, memory_order_relaxed);
	}
	return (uint32_t)known;
}

char *timestamp_put(char *at, uint64_t wall_us)
{
	uint64_t wall_s = wall_us / US_PER_SEC;
	unsigned us = (unsigned)(wall_us % US_PER_SEC);
	unsigned second = (unsigned)(wall_s % SEC_PER_DAY);
	uint32_t date = date_of((uint32_t)(wall_s / SEC_PER_DAY));

	at = decimal_pair(at, date >> 24);
	at = decimal_pair(at, date >> 16 & 0xff);
	*at++ = '-';
	at = decimal_pair(at, date >> 8 & 0xff);
	*at++ = '-';
	at = decimal_pair(at, date & 0xff);
	*at++ = 'T';
	at = decimal_pair(at, second / 3600);
	*at++ = ':';
	at = decimal_pair(at, second / 60 % 60);
	*at++ = ':';
	at = decimal_pair(at, second % 60);
	*at++ = '.';
	at = decimal_pair(at, us / 10000);
	at = decimal_pair(at, us / 100 % 100);
	at = decimal_pair(at, us % 100);
	*at++ = 'Z';
	return at;
}
