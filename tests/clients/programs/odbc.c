/* SPDX-License-Identifier: PostgreSQL */
/* ODBC through unixODBC: odbc cycles | threads, against the data source "app". */
#include <pthread.h>
#include <sql.h>
#include <sqlext.h>
#include <stdio.h>
#include <string.h>

#define THREADS 4
#define ROUNDS  30

static char answers[THREADS * ROUNDS][256];

static void complain(SQLSMALLINT type, SQLHANDLE handle, char *answer, size_t size)
{
	SQLCHAR state[6] = "";
	SQLCHAR message[200] = "";
	SQLINTEGER native;

	SQLGetDiagRec(type, handle, 1, state, &native, message, sizeof(message), NULL);
	snprintf(answer + strlen(answer), size - strlen(answer), " %s %s", state, message);
}

static void ask(SQLHDBC db, const char *query, int number, char *answer, size_t size)
{
	SQLHSTMT statement;
	SQLINTEGER parameter = number;
	SQLCHAR text[64] = "";

	SQLAllocHandle(SQL_HANDLE_STMT, db, &statement);
	SQLBindParameter(statement, 1, SQL_PARAM_INPUT, SQL_C_SLONG, SQL_INTEGER, 0, 0,
	                 &parameter, 0, NULL);
	if (SQL_SUCCEEDED(SQLExecDirect(statement, (SQLCHAR *)query, SQL_NTS)) &&
	    SQL_SUCCEEDED(SQLFetch(statement))) {
		SQLGetData(statement, 1, SQL_C_CHAR, text, sizeof(text), NULL);
		snprintf(answer + strlen(answer), size - strlen(answer), " %s", text);
	} else {
		complain(SQL_HANDLE_STMT, statement, answer, size);
	}
	SQLFreeHandle(SQL_HANDLE_STMT, statement);
}

static void cycle(SQLHENV environment, const char *source, int number, char *answer,
                  size_t size)
{
	SQLHDBC db;

	SQLAllocHandle(SQL_HANDLE_DBC, environment, &db);
	if (!SQL_SUCCEEDED(SQLConnect(db, (SQLCHAR *)source, SQL_NTS, NULL, 0, NULL, 0))) {
		complain(SQL_HANDLE_DBC, db, answer, size);
		SQLFreeHandle(SQL_HANDLE_DBC, db);
		return;
	}
	ask(db, "SELECT ?::int * 2", number, answer, size);
	SQLSetConnectAttr(db, SQL_ATTR_AUTOCOMMIT, SQL_AUTOCOMMIT_OFF, 0);
	ask(db, "SELECT name FROM fruit WHERE id = ?::int % 20 + 1", number, answer, size);
	ask(db, "SELECT 1/(?::int * 0)", number, answer, size);
	SQLEndTran(SQL_HANDLE_DBC, db, number % 2 ? SQL_COMMIT : SQL_ROLLBACK);
	SQLDisconnect(db);
	SQLFreeHandle(SQL_HANDLE_DBC, db);
}

static void *work(void *argument)
{
	int n = *(int *)argument;
	SQLHENV environment;

	SQLAllocHandle(SQL_HANDLE_ENV, NULL, &environment);
	SQLSetEnvAttr(environment, SQL_ATTR_ODBC_VERSION, (SQLPOINTER)SQL_OV_ODBC3, 0);
	for (int i = n * ROUNDS; i < (n + 1) * ROUNDS; i++) {
		cycle(environment, "app", i, answers[i], sizeof(answers[i]));
	}
	SQLFreeHandle(SQL_HANDLE_ENV, environment);
	return NULL;
}

static void refused(void)
{
	char answer[256] = "";
	SQLHENV environment;

	SQLAllocHandle(SQL_HANDLE_ENV, NULL, &environment);
	SQLSetEnvAttr(environment, SQL_ATTR_ODBC_VERSION, (SQLPOINTER)SQL_OV_ODBC3, 0);
	cycle(environment, "nowhere", 0, answer, sizeof(answer));
	puts(answer);
	SQLFreeHandle(SQL_HANDLE_ENV, environment);
}

int main(int argc, char **argv)
{
	int count = argc > 1 && strcmp(argv[1], "threads") == 0 ? THREADS : 1;
	int numbers[THREADS] = {0, 1, 2, 3};
	pthread_t threads[THREADS];

	for (int n = 0; n < count; n++) {
		pthread_create(&threads[n], NULL, work, &numbers[n]);
	}
	for (int n = 0; n < count; n++) {
		pthread_join(threads[n], NULL);
	}
	for (int i = 0; i < count * ROUNDS; i++) {
		puts(answers[i]);
	}
	refused();
	return 0;
}
