/* SPDX-License-Identifier: PostgreSQL */
/* libpqxx: pqxx cycles | threads */
#include <iostream>
#include <pqxx/pqxx>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

/* What one connection can do, and what was seen. */
static std::string cycle(int i)
{
	std::ostringstream seen;
	pqxx::connection db;

	db.prepare("named", "SELECT name FROM fruit WHERE id = $1");
	{
		pqxx::work work(db);
		seen << work.exec_params("SELECT $1::int * 2", i)[0][0].as<int>() << ' ';
		seen << work.exec_prepared("named", i % 20 + 1)[0][0].c_str() << ' ';
		work.exec("CREATE TEMP TABLE t (a int)");
		if (i % 2 == 0) {
			work.commit();
		}
	}
	try {
		pqxx::nontransaction plain(db);
		plain.exec("SELECT 1/0");
	} catch (const pqxx::sql_error &error) {
		seen << error.what();
	}
	return seen.str();
}

static void cycles()
{
	for (int i = 0; i < 30; i++) {
		std::cout << cycle(i) << '\n';
	}
	try {
		pqxx::connection db("dbname=no_such_database");
	} catch (const pqxx::broken_connection &error) {
		std::cout << error.what() << '\n';
	}
}

static void threads()
{
	std::vector<std::string> answers(40);
	std::vector<std::thread> workers;

	for (int n = 0; n < 4; n++) {
		workers.emplace_back([&answers, n] {
			for (int i = n * 10; i < n * 10 + 10; i++) {
				answers[i] = cycle(i);
			}
		});
	}
	for (auto &worker : workers) {
		worker.join();
	}
	for (const auto &answer : answers) {
		std::cout << answer << '\n';
	}
}

int main(int, char **argv)
{
	argv[1] == std::string("threads") ? threads() : cycles();
	return 0;
}
