/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the two escape functions that take no connection make of strings.
 *
 * escapes walk SEED STEPS  connects, finishes, sets and resets at random, and prints it
 *                          after each step
 * escapes pairs            connects with every encoding after every other one
 * escapes threads          the same settings again and again in several threads; prints
 *                          what no order of events can explain
 */
#include "plain.h"

#include <pthread.h>
#include <stdint.h>

#define SLOTS 5

static const char *const encodings[] = {"UTF8", "LATIN1", "SJIS", "BIG5"};
static const char *const booleans[] = {"off", "on"};

static PGconn *open_with(const char *encoding, int standard)
{
	char conninfo[128];
	PGconn *conn;

	snprintf(conninfo, sizeof(conninfo),
	         "client_encoding=%s options='-c standard_conforming_strings=%s'", encoding,
	         booleans[standard]);
	conn = PQconnectdb(conninfo);
	if (PQstatus(conn) != CONNECTION_OK) {
		die("connect", conn);
	}
	return conn;
}

static void print_bytes(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		printf("%02x", (unsigned char)bytes[i]);
	}
}

static void print_escaped(void)
{
	static const char *const strings[] = {
		"it's \\ plain", "\x83\x5c' OR 1=1 --",
		"\xa5\x5c' x",   "\xc3\xa9' \xe3\x81'",
		"\xe0''''",      "\x95\x27",
	};
	char escaped[128];

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		size_t len = strlen(strings[i]);
		unsigned char *bytea;
		size_t bytea_len;

		printf(" ");
		print_bytes(escaped, PQescapeString(escaped, strings[i], len));
		bytea = PQescapeBytea((const unsigned char *)strings[i], len, &bytea_len);
		printf("/%s", bytea);
		PQfreemem(bytea);
	}
	printf("\n");
}

/* ---- walk ---------------------------------------------------------------------------- */

static uint64_t state;

static unsigned choose(unsigned count)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(state >> 33) % count;
}

static void set(PGconn *conn, const char *how)
{
	char statement[128];

	if (choose(2) == 0) {
		snprintf(statement, sizeof(statement), "%s client_encoding = '%s'", how,
		         encodings[choose(4)]);
	} else {
		snprintf(statement, sizeof(statement), "%s standard_conforming_strings = %s",
		         how, booleans[choose(2)]);
	}
	printf("%s:", statement);
	PQclear(PQexec(conn, statement));
}

static void step_with(PGconn **conn)
{
	switch (choose(8)) {
	case 0:
		set(*conn, "SET");
		break;
	case 1:
		PQclear(PQexec(*conn, "BEGIN"));
		set(*conn, choose(2) == 0 ? "SET LOCAL" : "SET");
		break;
	case 2:
		printf("rollback:");
		PQclear(PQexec(*conn, "ROLLBACK"));
		break;
	case 3:
		printf("reset:");
		PQreset(*conn);
		break;
	default:
		printf("finish:");
		PQfinish(*conn);
		*conn = NULL;
		break;
	}
}

static void walk(unsigned long steps)
{
	PGconn *conns[SLOTS] = {NULL};

	for (unsigned long i = 0; i < steps; i++) {
		unsigned slot = choose(SLOTS);

		printf("%lu %u ", i, slot);
		if (choose(20) == 0) {
			printf("in vain:");
			PQfinish(PQconnectdb("host=127.0.0.1 port=1"));
		} else if (conns[slot] != NULL) {
			step_with(&conns[slot]);
		} else {
			const char *encoding = encodings[choose(4)];
			unsigned standard = choose(2);

			printf("connect %s %s:", encoding, booleans[standard]);
			conns[slot] = open_with(encoding, (int)standard);
		}
		print_escaped();
	}
	for (int i = 0; i < SLOTS; i++) {
		PQfinish(conns[i]);
	}
}

/* ---- pairs ----------------------------------------------------------------------------- */

static const char trails[] =
	"\x27\x30\x40\x41\x5c\x7f\x80\x81\x8e\x8f\xa1\xa8\xb0\xdf\xe0\xfe\xff";

#define TRAILS (sizeof(trails) - 1)

static void add(uint64_t *print, const char *character)
{
	char escaped[32];
	size_t len = PQescapeString(escaped, character, strlen(character));

	for (size_t i = 0; i <= len; i++) {
		*print = (*print ^ (unsigned char)escaped[i]) * 0x100000001b3ULL;
	}
}

/* Of some 20,000 characters of up to four bytes. */
static uint64_t print_of_all(void)
{
	uint64_t print = 0;

	for (int lead = 0x80; lead <= 0xff; lead++) {
		char s[8] = {(char)lead};

		for (size_t i = 0; i < TRAILS; i++) {
			s[1] = trails[i];
			s[2] = '\0';
			add(&print, s);
			for (size_t j = i % 3; j < TRAILS; j += 3) {
				s[2] = trails[j];
				s[3] = '\0';
				add(&print, s);
			}
		}
		for (size_t i = 0; i < TRAILS; i += 2) {
			s[1] = trails[i];
			s[2] = trails[(i + 5) % TRAILS];
			for (size_t j = i % 4; j < TRAILS; j += 4) {
				s[3] = trails[j];
				add(&print, s);
			}
		}
		memcpy(s + 1, "\xa1\xa1\xa1", 4);
		add(&print, s);
	}
	return print;
}

/* At most two of those that all come to the same. */
static int choose_encodings(const char **names)
{
	uint64_t prints[64];
	int count = 0;
	PGconn *conn = open_database();

	for (int i = 0; i < 64; i++) {
		const char *name = pg_encoding_to_char(i);
		int alike = 0;

		if (*name == '\0' || PQsetClientEncoding(conn, name) != 0) {
			continue;
		}
		prints[count] = print_of_all();
		for (int j = 0; j < count; j++) {
			alike += prints[j] == prints[count];
		}
		names[count] = name;
		count += alike < 2;
	}
	PQfinish(conn);
	return count;
}

static void pairs(void)
{
	const char *names[64];
	int count = choose_encodings(names);

	for (int i = 0; i < count; i++) {
		for (int j = 0; j < count; j++) {
			PQfinish(open_with(names[i], 1));
			PQfinish(open_with(names[j], 1));
			printf("%s after %s: %016llx\n", names[j], names[i],
			       (unsigned long long)print_of_all());
		}
	}
}

/* ---- threads ----------------------------------------------------------------------------- */

static void *toil(void *encoding)
{
	for (int i = 0; i < 100; i++) {
		char escaped[16];

		PQfinish(open_with(encoding, 0));
		/* Everybody's backslashes are doubled, in whichever encoding. */
		PQescapeString(escaped, "\\", 1);
		if (strcmp(escaped, "\\\\") != 0) {
			printf("not doubled\n");
		}
	}
	return NULL;
}

static void threads(void)
{
	pthread_t running[4];

	for (int i = 0; i < 4; i++) {
		pthread_create(&running[i], NULL, toil, (void *)encodings[i]);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(running[i], NULL);
	}
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "walk") == 0) {
		state = strtoull(argv[2], NULL, 10);
		walk(strtoul(argv[3], NULL, 10));
	} else if (argc == 2 && strcmp(argv[1], "pairs") == 0) {
		pairs();
	} else if (argc == 2 && strcmp(argv[1], "threads") == 0) {
		threads();
	} else {
		return 64;
	}
	return 0;
}
