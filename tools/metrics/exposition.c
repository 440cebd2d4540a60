/* SPDX-License-Identifier: PostgreSQL */
/* The text formats in which a monitoring system reads families of samples. */
#include "metrics/exposition.h"

#include <err.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/exit_status.h"
#include "common/terminal_text.h"

static const char *const types[] = {
	[EXPOSITION_GAUGE] = "gauge",
	[EXPOSITION_COUNTER] = "counter",
	[EXPOSITION_HISTOGRAM] = "histogram",
};

const char *exposition_media_type(enum exposition_format format)
{
	return format == EXPOSITION_OPENMETRICS
	               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
	               : "text/plain; version=0.0.4; charset=utf-8";
}

static const char *suffix_of(const struct exposition_family *family)
{
	return family->type == EXPOSITION_COUNTER ? "_total" : "";
}

void exposition_begin(const struct exposition *out, const struct exposition_family *family)
{
	bool open = out->format == EXPOSITION_OPENMETRICS;
	const char *suffix = open ? "" : suffix_of(family);

	fprintf(out->to, "# HELP %s%s %s\n# TYPE %s%s %s\n", family->name, suffix, family->help,
	        family->name, suffix, types[family->type]);
	if (open && family->unit != EXPOSITION_PLAIN) {
		fprintf(out->to, "# UNIT %s seconds\n", family->name);
	}
}

static void put_value(FILE *to, enum exposition_unit unit, uint64_t value)
{
	switch (unit) {
	case EXPOSITION_PLAIN:
		fprintf(to, " %" PRIu64 "\n", value);
		break;
	case EXPOSITION_NANOSECONDS:
		value /= 1000;
		/* fallthrough */
	case EXPOSITION_MICROSECONDS:
		fprintf(to, " %" PRIu64 ".%06" PRIu64 "\n", value / 1000000, value % 1000000);
		break;
	}
}

static void put_name(const struct exposition *out, const struct exposition_family *family,
                     const char *suffix, const char *labels)
{
	fprintf(out->to, *labels != '\0' ? "%s%s{%s}" : "%s%s", family->name, suffix, labels);
}

void exposition_sample(const struct exposition *out, const struct exposition_family *family,
                       const char *labels, uint64_t value)
{
	put_name(out, family, suffix_of(family), labels);
	put_value(out->to, family->unit, value);
}

void exposition_sample_histogram(const struct exposition *out,
                                 const struct exposition_family *family, const char *labels,
                                 const struct exposition_histogram *histogram)
{
	uint64_t count = 0;
	uint64_t bound_ns;
	unsigned i = 0;

	do {
		bound_ns = histogram->bound_ns(i);
		count += histogram->counts[i++];
		fprintf(out->to, "%s_bucket{%s%sle=\"", family->name, labels,
		        *labels != '\0' ? "," : "");
		if (bound_ns == UINT64_MAX) {
			fputs("+Inf", out->to);
		} else {
			/* The shortest form, which OpenMetrics wants of some numbers. */
			fprintf(out->to, "%.12g", (double)bound_ns / 1e9);
		}
		fprintf(out->to, "\"} %" PRIu64 "\n", count);
	} while (bound_ns != UINT64_MAX);
	put_name(out, family, "_sum", labels);
	put_value(out->to, family->unit, histogram->sum);
	put_name(out, family, "_count", labels);
	put_value(out->to, EXPOSITION_PLAIN, count);
}

char *exposition_with_label(const char *before, const char *name, const char *value)
{
	char *shown = terminal_text(value);
	char *labels = NULL;
	size_t n = 0;
	FILE *to = open_memstream(&labels, &n);

	if (to == NULL) {
		err(EXIT_FAILED, NULL);
	}
	fprintf(to, "%s%s%s=\"", before, *before != '\0' ? "," : "", name);
	for (const char *s = shown; *s != '\0'; s++) {
		if (*s == '\\' || *s == '"') {
			fputc('\\', to);
		}
		fputc(*s, to);
	}
	fputc('"', to);
	fclose(to);
	free(shown);
	return labels;
}

void exposition_end(const struct exposition *out)
{
	fputs("# EOF\n", out->to);
}
