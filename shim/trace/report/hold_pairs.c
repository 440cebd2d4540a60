/* SPDX-License-Identifier: PostgreSQL */
/* What a log line says of how long a lease was held, and what it did meanwhile. */
#include "trace/report/hold_pairs.h"

#include "trace/lease/snapshot.h"

uint64_t hold_ns(const struct lease *lease, uint64_t now_ns)
{
	uint64_t until_ns = lease->ended_ns != 0 ? lease->ended_ns : now_ns;

	return until_ns > lease->began_ns ? until_ns - lease->began_ns : 0;
}

void hold_pairs_put(struct record *r, const struct lease *lease, uint64_t now_ns)
{
	uint64_t query_ns;
	uint64_t transaction_ns;

	record_us(r, "hold_us", hold_ns(lease, now_ns));
	if (lease_times(lease, now_ns, &query_ns, &transaction_ns)) {
		record_us(r, "query_us", query_ns);
		record_us(r, "transaction_us", transaction_ns);
	}
}
