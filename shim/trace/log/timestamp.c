/* SPDX-License-Identifier: PostgreSQL */
/* The time as a line of the log tells it. */
#include "trace/log/timestamp.h"

#include "base/text/decimal.h"

#define US_PER_SEC  1000000U
#define SEC_PER_DAY 86400U

/* Puts the date so many days after 1970-01-01, in years that begin in March: leap days come
 * last. */
static char *put_date(char *at, uint32_t days)
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

	at = decimal_pair(at, year / 100 % 100);
	at = decimal_pair(at, year % 100);
	*at++ = '-';
	at = decimal_pair(at, month);
	*at++ = '-';
	return decimal_pair(at, day);
}

char *timestamp_put(char *at, uint64_t wall_us)
{
	uint64_t wall_s = wall_us / US_PER_SEC;
	unsigned us = (unsigned)(wall_us % US_PER_SEC);
	unsigned second = (unsigned)(wall_s % SEC_PER_DAY);

	at = put_date(at, (uint32_t)(wall_s / SEC_PER_DAY));
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
