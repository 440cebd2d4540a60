/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a server sends on a session that nobody uses, and the start of a session in which its
 * parameters are put. Input: what is due, how the bytes come in pieces, the bytes.
 */
#include <string.h>

#include "bytes.h"
#include "keep/session/reply.h"

#define START_MAX 4096

/* The start of a session, and what was put there last. */
struct start {
	uint8_t bytes[START_MAX];
	uint32_t n;
	unsigned set;
};

/* True if these are whole messages, one after the other. */
static int are_messages(const uint8_t *bytes, size_t n)
{
	while (n >= 5) {
		size_t size = 1 + ((size_t)bytes[1] << 24 | (size_t)bytes[2] << 16 |
		                   (size_t)bytes[3] << 8 | bytes[4]);

		if (size < 5 || size > n) {
			return 0;
		}
		bytes += size;
		n -= size;
	}
	return n == 0;
}

static bool put(void *arg, const char *name, const char *value)
{
	struct start *start = arg;
	int were = are_messages(start->bytes, start->n);
	uint32_t before = start->n;

	start->set++;
	if (!reply_start_set(start->bytes, &start->n, sizeof(start->bytes), name, value)) {
		require(start->n == before);
		return false;
	}
	require(start->n <= sizeof(start->bytes));
	require(!were || are_messages(start->bytes, start->n));
	return true;
}

/* Reads it in two pieces, as the keeper does: what is no whole message comes again. */
static enum reply_outcome read_in(struct reply *reply, const struct bytes *b, size_t split,
                                  struct start *start)
{
	size_t used;
	size_t more;
	enum reply_outcome outcome = reply_read(reply, b->at, split, &used, put, start);

	require(used <= split);
	if (outcome != REPLY_GOOD) {
		return outcome;
	}
	outcome = reply_read(reply, b->at + used, b->left - used, &more, put, start);
	require(used + more <= b->left);
	return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct start whole;
	static struct start parted;
	struct bytes b = {data, size};
	uint8_t due = take_byte(&b);
	struct reply one = {.resets = due & 3, .ping = (due & 4) != 0};
	struct reply two = one;
	struct bytes start;
	size_t split;

	start = take_bytes(&b, take_number(&b) % (START_MAX / 2));
	split = take_number(&b);
	split = split < b.left ? split : b.left;
	memcpy(whole.bytes, start.at, start.left);
	whole.n = (uint32_t)start.left;
	whole.set = 0;
	parted = whole;
	/* However it comes, it says the same. */
	require(read_in(&one, &b, b.left, &whole) == read_in(&two, &b, split, &parted));
	require(one.resets == two.resets && one.ping == two.ping && one.begun == two.begun);
	require(whole.set == parted.set && whole.n == parted.n &&
	        memcmp(whole.bytes, parted.bytes, whole.n) == 0);
	return 0;
}
