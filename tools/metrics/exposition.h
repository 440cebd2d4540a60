/* SPDX-License-Identifier: PostgreSQL */
/*
 * The text formats in which a monitoring system reads families of samples: Prometheus' own
 * (0.0.4) and OpenMetrics (1.0).
 *
 * They differ in the name of a counter's family, which has its `_total` in the first alone, in
 * the `# UNIT` lines, and in `# EOF` at the end, which is a comment in the first.
 */
#ifndef PQPOOL_TOOLS_METRICS_EXPOSITION_H
#define PQPOOL_TOOLS_METRICS_EXPOSITION_H

#include <stdint.h>
#include <stdio.h>

enum exposition_format { EXPOSITION_PROMETHEUS, EXPOSITION_OPENMETRICS };

struct exposition {
	FILE *to;
	enum exposition_format format;
};

enum exposition_type { EXPOSITION_GAUGE, EXPOSITION_COUNTER, EXPOSITION_HISTOGRAM };

/* Of the values that are given; those that are written are in seconds. */
enum exposition_unit { EXPOSITION_PLAIN, EXPOSITION_MICROSECONDS, EXPOSITION_NANOSECONDS };

struct exposition_family {
	const char
		*name; /* without a counter's `_total`; in a unit of time it ends in _seconds */
	enum exposition_type type;
	enum exposition_unit unit;
	const char *help; /* one line, without a backslash */
};

/* The media type of the text, as HTTP names it. */
const char *exposition_media_type(enum exposition_format format);

/* The lines before a family's samples. */
void exposition_begin(const struct exposition *out, const struct exposition_family *family);

/* A sample of a gauge or counter. `labels` as exposition_with_label makes them; "" = none. */
void exposition_sample(const struct exposition *out, const struct exposition_family *family,
                       const char *labels, uint64_t value);

/* The samples of a histogram: of each bucket how many there are, by bounds in nanoseconds. */
struct exposition_histogram {
	const uint64_t *counts;
	uint64_t (*bound_ns)(
		unsigned bucket); /* ascending; UINT64_MAX, no bound, is the last */
	uint64_t sum;             /* in the family's unit */
};
void exposition_sample_histogram(const struct exposition *out,
                                 const struct exposition_family *family, const char *labels,
                                 const struct exposition_histogram *histogram);

/*
 * Labels, the last of which is this one, whose value is made fit to be read as UTF-8, and
 * escaped; `before` are those before it, or "". Owner: the caller.
 */
char *exposition_with_label(const char *before, const char *name, const char *value);

/* The end of all. */
void exposition_end(const struct exposition *out);

#endif
