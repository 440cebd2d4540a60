/* SPDX-License-Identifier: PostgreSQL */
/*
 * A program that does with libpq what it is told, line by line on stdin: a command, the
 * name of a connection, and the rest of the line as its argument. Arguments of a list are
 * separated by tabs, and \N in it is NULL. Each answer ends with a line of EOT. This long
 * because each command is a small thing that one program does.
 *
 *   connect a host=/tmp        PQconnectdb; the answer is the backend's pid or the error
 *   params a 1<tab>k<tab>v     PQconnectdbParams, expand_dbname first
 *   login a host<tab>port...   PQsetdbLogin
 *   begin a CONNINFO           the same as connect, in a thread of its own
 *   exec a SELECT 1            each result's status and rows
 *   state a                    everything that can be asked of a connection
 *   finish a
 *
 * and so on: see the table at the end. This long because each command is a small thing that one
 * program does to its connections.
 */
#include <libpq-events.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plain.h"

#define NAMES_MAX  128
#define FIELDS_MAX 64
#define END        "\004\n"

struct named {
	char name[32];
	PGconn *conn;
	PGcancel *cancel;
	FILE *trace;
	pthread_t thread;
	atomic_bool done;
	char *conninfo;
	double seconds;
};

static struct named names[NAMES_MAX];
static char *fields[FIELDS_MAX];
static int field_count;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct named *find(const char *name)
{
	for (int i = 0; i < NAMES_MAX; i++) {
		if (names[i].name[0] == '\0') {
			snprintf(names[i].name, sizeof(names[i].name), "%s", name);
		}
		if (strcmp(names[i].name, name) == 0) {
			return &names[i];
		}
	}
	fprintf(stderr, "script: too many names\n");
	exit(2);
}

static void split(char *line)
{
	field_count = 0;
	while (line != NULL && field_count < FIELDS_MAX - 1) {
		char *tab = strchr(line, '\t');

		if (tab != NULL) {
			*tab++ = '\0';
		}
		fields[field_count++] = strcmp(line, "\\N") == 0 ? NULL : line;
		line = tab;
	}
	for (int i = field_count; i < FIELDS_MAX; i++) {
		fields[i] = NULL;
	}
}

/* ---- connecting and finishing ---------------------------------------------------- */

static void tell_outcome(const struct named *n)
{
	if (PQstatus(n->conn) == CONNECTION_OK) {
		printf("%d\n", PQbackendPID(n->conn));
	} else {
		printf("BAD %s", PQerrorMessage(n->conn));
	}
}

static void do_connect(struct named *n, char *conninfo)
{
	n->conn = PQconnectdb(conninfo);
	tell_outcome(n);
}

static void do_params(struct named *n, char *list)
{
	const char *keywords[FIELDS_MAX] = {NULL};
	const char *values[FIELDS_MAX] = {NULL};

	split(list);
	for (int i = 1; i + 1 < field_count; i += 2) {
		keywords[i / 2] = fields[i];
		values[i / 2] = fields[i + 1];
	}
	n->conn = PQconnectdbParams(keywords, values, atoi(fields[0]));
	tell_outcome(n);
}

static void do_login(struct named *n, char *list)
{
	split(list);
	n->conn = PQsetdbLogin(fields[0], fields[1], fields[2], NULL, fields[3], fields[4],
	                       fields[5]);
	tell_outcome(n);
}

static void *connect_in_thread(void *arg)
{
	struct named *n = arg;
	double began = now();

	n->conn = PQconnectdb(n->conninfo);
	n->seconds = now() - began;
	atomic_store(&n->done, true);
	return NULL;
}

static void do_begin(struct named *n, char *conninfo)
{
	n->conninfo = strdup(conninfo);
	atomic_store(&n->done, false);
	if (pthread_create(&n->thread, NULL, connect_in_thread, n) != 0) {
		printf("no thread\n");
	}
}

static void do_done(struct named *n, char *unused)
{
	(void)unused;
	printf("%d\n", atomic_load(&n->done));
}

static void do_join(struct named *n, char *unused)
{
	(void)unused;
	pthread_join(n->thread, NULL);
	free(n->conninfo);
	printf("%.3f ", n->seconds);
	tell_outcome(n);
}

static void do_ping(struct named *n, char *conninfo)
{
	static const char *const keywords[] = {"dbname", NULL};
	const char *const values[] = {conninfo, NULL};

	(void)n;
	printf("%d %d\n", PQping(conninfo), PQpingParams(keywords, values, 1));
}

static void do_reset(struct named *n, char *unused)
{
	(void)unused;
	PQreset(n->conn);
	tell_outcome(n);
}

static void do_finish(struct named *n, char *unused)
{
	(void)unused;
	PQfinish(n->conn);
	n->conn = NULL;
}

/* ---- work ------------------------------------------------------------------------ */

static void tell_result(PGresult *result)
{
	printf("%s", PQresStatus(PQresultStatus(result)));
	if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
		printf(" %s", PQresultErrorMessage(result));
	} else {
		printf("\n");
	}
	for (int row = 0; row < PQntuples(result); row++) {
		for (int column = 0; column < PQnfields(result); column++) {
			printf("%s%s", column > 0 ? "|" : "",
			       PQgetisnull(result, row, column)
			               ? "NULL"
			               : PQgetvalue(result, row, column));
		}
		printf("\n");
	}
	PQclear(result);
}

static void do_exec(struct named *n, char *sql)
{
	tell_result(PQexec(n->conn, sql));
}

static void do_prepare(struct named *n, char *sql)
{
	tell_result(PQprepare(n->conn, "prepared", sql, 0, NULL));
}

/* Parses the unnamed prepared statement; then uses what there is of one. */
static void do_extended(struct named *n, char *sql)
{
	tell_result(PQexecParams(n->conn, sql, 0, NULL, NULL, NULL, NULL, 0));
}

static PGpipelineStatus pipeline_status(PGconn *conn)
{
	return has_pipelines() ? PQpipelineStatus(conn) : PQ_PIPELINE_OFF;
}

static void do_unnamed(struct named *n, char *unused)
{
	(void)unused;
	if (pipeline_status(n->conn) == PQ_PIPELINE_OFF) {
		tell_result(PQexecPrepared(n->conn, "", 0, NULL, NULL, NULL, 0));
	} else {
		printf("%d\n", PQsendQueryPrepared(n->conn, "", 0, NULL, NULL, NULL, 0));
	}
}

static void do_send(struct named *n, char *sql)
{
	int sent = pipeline_status(n->conn) == PQ_PIPELINE_OFF
	                   ? PQsendQuery(n->conn, sql)
	                   : PQsendQueryParams(n->conn, sql, 0, NULL, NULL, NULL, NULL, 0);

	printf("%d\n", sent);
}

/* One result, */
static void do_get(struct named *n, char *unused)
{
	PGresult *result = PQgetResult(n->conn);

	(void)unused;
	if (result == NULL) {
		printf("none\n");
	} else {
		tell_result(result);
	}
}

/* and all of them. */
static void do_drain(struct named *n, char *unused)
{
	PGresult *result;
	char *row;

	(void)unused;
	while ((result = PQgetResult(n->conn)) != NULL) {
		while (PQresultStatus(result) == PGRES_COPY_OUT &&
		       PQgetCopyData(n->conn, &row, 0) > 0) {
			PQfreemem(row);
		}
		tell_result(result);
	}
}

static void do_consume(struct named *n, char *unused)
{
	(void)unused;
	printf("%d\n", PQconsumeInput(n->conn));
}

static void do_put(struct named *n, char *text)
{
	printf("%d\n", PQputCopyData(n->conn, text, (int)strlen(text)));
}

static void do_single(struct named *n, char *unused)
{
	(void)unused;
	printf("%d\n", PQsetSingleRowMode(n->conn));
}

static void do_pipeline(struct named *n, char *unused)
{
	(void)unused;
	printf("%d\n", PQenterPipelineMode(n->conn));
}

static void do_sync(struct named *n, char *unused)
{
	(void)unused;
	printf("%d\n", PQpipelineSync(n->conn));
}

/* ---- cancelling, which needs no connection any more ---------------------------------- */

static void do_cancel_get(struct named *n, char *unused)
{
	(void)unused;
	n->cancel = PQgetCancel(n->conn);
	printf("%d\n", n->cancel != NULL);
}

static void do_cancel_send(struct named *n, char *unused)
{
	char error[256] = "";
	int sent = PQcancel(n->cancel, error, sizeof(error));

	(void)unused;
	printf("%d %s\n", sent, error);
}

static void do_cancel_free(struct named *n, char *unused)
{
	(void)unused;
	PQfreeCancel(n->cancel);
	n->cancel = NULL;
}

/* ---- the client's side of a connection ------------------------------------------------ */

static void my_receiver(void *arg, const PGresult *result)
{
	printf("received by %s: %s", ((struct named *)arg)->name, PQresultErrorMessage(result));
}

static void my_processor(void *arg, const char *message)
{
	printf("processed by %s: %s", ((struct named *)arg)->name, message);
}

static int my_event_proc(PGEventId id, void *info, void *arg)
{
	(void)info;
	printf("event %d of %s\n", (int)id, ((struct named *)arg)->name);
	return 1;
}

static void do_receiver(struct named *n, char *unused)
{
	(void)unused;
	PQsetNoticeReceiver(n->conn, my_receiver, n);
}

static void do_processor(struct named *n, char *unused)
{
	(void)unused;
	PQsetNoticeProcessor(n->conn, my_processor, n);
}

static void do_event_proc(struct named *n, char *unused)
{
	(void)unused;
	printf("%d\n", PQregisterEventProc(n->conn, my_event_proc, "mine", n));
}

static void do_verbosity(struct named *n, char *value)
{
	PQsetErrorVerbosity(n->conn, (PGVerbosity)atoi(value));
}

static void do_context(struct named *n, char *value)
{
	PQsetErrorContextVisibility(n->conn, (PGContextVisibility)atoi(value));
}

static void do_nonblocking(struct named *n, char *value)
{
	printf("%d\n", PQsetnonblocking(n->conn, atoi(value)));
}

static void do_encoding(struct named *n, char *name)
{
	printf("%d\n", PQsetClientEncoding(n->conn, name));
}

static void do_trace(struct named *n, char *path)
{
	n->trace = fopen(path, "w");
	PQtrace(n->conn, n->trace);
}

static void do_untrace(struct named *n, char *unused)
{
	(void)unused;
	PQuntrace(n->conn);
	fclose(n->trace);
}

static void tell_hooks(struct named *n)
{
	static PQnoticeReceiver first_receiver;
	static PQnoticeProcessor first_processor;
	PQnoticeReceiver receiver = PQsetNoticeReceiver(n->conn, NULL, NULL);
	PQnoticeProcessor processor = PQsetNoticeProcessor(n->conn, NULL, NULL);
	PGVerbosity verbosity = PQsetErrorVerbosity(n->conn, PQERRORS_DEFAULT);
	PGContextVisibility context =
		PQsetErrorContextVisibility(n->conn, PQSHOW_CONTEXT_NEVER);

	if (first_receiver == NULL) {
		first_receiver = receiver;
		first_processor = processor;
	}
	PQsetErrorVerbosity(n->conn, verbosity);
	PQsetErrorContextVisibility(n->conn, context);
	printf("receiver=%s\nprocessor=%s\nverbosity=%d\ncontext=%d\n",
	       receiver == first_receiver ? "the first" : "another",
	       processor == first_processor ? "the first" : "another", verbosity, context);
}

static void tell_parameters(const PGconn *conn)
{
	static const char *const parameters[] = {
		"application_name",
		"client_encoding",
		"DateStyle",
		"default_transaction_read_only",
		"in_hot_standby",
		"integer_datetimes",
		"IntervalStyle",
		"is_superuser",
		"server_encoding",
		"session_authorization",
		"standard_conforming_strings",
		"TimeZone",
	};

	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		const char *value = PQparameterStatus(conn, parameters[i]);

		printf("%s=%s\n", parameters[i], value != NULL ? value : "NULL");
	}
}

static void do_state(struct named *n, char *unused)
{
	PGnotify *notify = PQnotifies(n->conn);

	(void)unused;
	printf("status=%d\ntransaction=%d\npipeline=%d\nnonblocking=%d\nbusy=%d\n",
	       PQstatus(n->conn), PQtransactionStatus(n->conn), pipeline_status(n->conn),
	       PQisnonblocking(n->conn), PQisBusy(n->conn));
	printf("encoding=%d\nnotify=%s\ninstance=%d\nerror=%s\n", PQclientEncoding(n->conn),
	       notify != NULL ? notify->relname : "none",
	       PQinstanceData(n->conn, my_event_proc) != NULL, PQerrorMessage(n->conn));
	PQfreemem(notify);
	tell_parameters(n->conn);
	tell_hooks(n);
}

static void do_info(struct named *n, char *unused)
{
	PQconninfoOption *options = PQconninfo(n->conn);

	(void)unused;
	for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++) {
		printf("%s=%s\n", o->keyword, o->val != NULL ? o->val : "NULL");
	}
	PQconninfoFree(options);
	printf("PQhost=%s\nPQhostaddr=%s\nPQport=%s\n", PQhost(n->conn), PQhostaddr(n->conn),
	       PQport(n->conn));
	printf("PQuser=%s\nPQdb=%s\nPQpass=%s\nPQoptions=%s\n", PQuser(n->conn), PQdb(n->conn),
	       PQpass(n->conn), PQoptions(n->conn));
	printf("needs=%d used=%d ssl=%d\n", PQconnectionNeedsPassword(n->conn),
	       PQconnectionUsedPassword(n->conn), PQsslInUse(n->conn));
}

/* ---- the process; the name is ignored ------------------------------------------------- */

static void do_setenv(struct named *n, char *list)
{
	(void)n;
	split(list);
	if (fields[1] != NULL) {
		setenv(fields[0], fields[1], 1);
	} else {
		unsetenv(fields[0]);
	}
}

static void do_seteuid(struct named *n, char *uid)
{
	(void)n;
	printf("%d\n", seteuid((uid_t)atoi(uid)));
}

static void do_chdir(struct named *n, char *path)
{
	(void)n;
	printf("%d\n", chdir(path));
}

/* A child that does nothing; how it ended. */
static void do_fork(struct named *n, char *unused)
{
	int status = -1;
	pid_t child = fork();

	(void)n, (void)unused;
	if (child == 0) {
		_exit(0);
	}
	waitpid(child, &status, 0);
	printf("%d\n", status);
}

static const struct {
	const char *word;
	void (*run)(struct named *n, char *argument);
} commands[] = {
	{"connect", do_connect},
	{"params", do_params},
	{"login", do_login},
	{"begin", do_begin},
	{"done", do_done},
	{"join", do_join},
	{"ping", do_ping},
	{"reset", do_reset},
	{"finish", do_finish},
	{"exec", do_exec},
	{"prepare", do_prepare},
	{"extended", do_extended},
	{"unnamed", do_unnamed},
	{"send", do_send},
	{"get", do_get},
	{"drain", do_drain},
	{"consume", do_consume},
	{"put", do_put},
	{"single", do_single},
	{"pipeline", do_pipeline},
	{"sync", do_sync},
	{"cancel_get", do_cancel_get},
	{"cancel_send", do_cancel_send},
	{"cancel_free", do_cancel_free},
	{"receiver", do_receiver},
	{"processor", do_processor},
	{"event_proc", do_event_proc},
	{"verbosity", do_verbosity},
	{"context", do_context},
	{"nonblocking", do_nonblocking},
	{"encoding", do_encoding},
	{"trace", do_trace},
	{"untrace", do_untrace},
	{"state", do_state},
	{"info", do_info},
	{"setenv", do_setenv},
	{"seteuid", do_seteuid},
	{"chdir", do_chdir},
	{"fork", do_fork},
};

static void obey(char *line)
{
	static char nothing[] = "";
	char *name = strchr(line, ' ');
	char *argument = NULL;

	if (name != NULL) {
		*name++ = '\0';
		argument = strchr(name, ' ');
	}
	if (argument != NULL) {
		*argument++ = '\0';
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].word, line) == 0) {
			commands[i].run(find(name != NULL ? name : "-"),
			                argument != NULL ? argument : nothing);
			return;
		}
	}
	fprintf(stderr, "script: what is %s?\n", line);
	exit(2);
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, stdin)) > 0) {
		line[len - 1] = '\0';
		obey(line);
		printf(END);
		fflush(stdout);
	}
	free(line);
	return 0;
}
