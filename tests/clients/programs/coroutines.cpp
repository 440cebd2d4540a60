// SPDX-License-Identifier: PostgreSQL
// Boost's coroutines, on stacks of their own.
#include <boost/coroutine2/all.hpp>
#include <cstdio>
#include <cstdlib>
#include <libpq-fe.h>
#include <string>
#include <vector>

using coroutine = boost::coroutines2::coroutine<void>;

static void work(int number, coroutine::push_type &yield, std::string &said)
{
	for (int turn = 0; turn < 4; turn++) {
		PGconn *conn = PQconnectdb("");

		if (PQstatus(conn) != CONNECTION_OK) {
			fputs(PQerrorMessage(conn), stderr);
			exit(99);
		}
		yield();

		std::string query = "SELECT " + std::to_string(number * 10 + turn);
		PGresult *result = PQexec(conn, query.c_str());

		said += std::string(PQgetvalue(result, 0, 0)) + " ";
		PQclear(result);
		yield();
		PQfinish(conn);
		yield();
	}
}

int main()
{
	std::vector<std::string> said(6);
	std::vector<coroutine::pull_type> all;

	for (int number = 0; number < 6; number++) {
		all.emplace_back([number, &said](coroutine::push_type &yield) {
			work(number, yield, said[number]);
		});
	}
	for (bool left = true; left;) {
		left = false;
		for (auto &each : all) {
			if (each) {
				each();
				left = true;
			}
		}
	}
	for (auto &line : said) {
		puts(line.c_str());
	}
}
