/* SPDX-License-Identifier: PostgreSQL */
/*
 * keyhook none|default|mine: connects some times, sets the hook that answers for a client
 * key's password, and connects some more. Prints how many backends there were after that.
 */
#include "plain.h"

static int mine(char *buf, int size, PGconn *conn)
{
	(void)conn;
	return snprintf(buf, (size_t)size, "secret");
}

int main(int argc, char **argv)
{
	PGconn *conn;
	int pids[3];
	int distinct = 0;

	for (int i = 0; i < 3; i++) {
		PQfinish(open_database());
	}
	if (argc == 2 && strcmp(argv[1], "none") == 0) {
		PQsetSSLKeyPassHook_OpenSSL(NULL);
	} else if (argc == 2 && strcmp(argv[1], "default") == 0) {
		PQsetSSLKeyPassHook_OpenSSL(PQdefaultSSLKeyPassHook_OpenSSL);
	} else {
		PQsetSSLKeyPassHook_OpenSSL(mine);
	}
	for (int i = 0; i < 3; i++) {
		int known = 0;

		if (i == 2) {
			PQsetSSLKeyPassHook_OpenSSL(NULL);
		}
		conn = open_database();
		pids[i] = PQbackendPID(conn);
		PQfinish(conn);
		for (int j = 0; j < i; j++) {
			known += pids[j] == pids[i];
		}
		distinct += known == 0;
	}
	printf("%d %d\n", distinct, PQgetSSLKeyPassHook_OpenSSL() == mine);
	return 0;
}
