# SPDX-License-Identifier: PostgreSQL
"""Forked children of a program that shares: workers that sleep, and children that nobody was told of,
forked by the system call alone."""
import subprocess

import pytest

from server import bare_environ, wait_until

FLAGS = ("-I/usr/include/postgresql", "-lpq")

WAITS = """
    #include <libpq-fe.h>
    #include <poll.h>
    #include <signal.h>
    #include <stdio.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    int main(void) {
        PGconn *c = PQconnectStart("");
        for (int i = 0; i < 3; i++) {
            struct pollfd p = {PQsocket(c), POLLIN};
            PQconnectPoll(c);
            poll(&p, 1, 20);
        }
        int child = syscall(SYS_fork);
        if (child == 0)
            for (;;)
                pause();
        puts("waits"); fflush(stdout); getchar();
        PQfinish(c);
        puts("finished"); fflush(stdout); getchar();
        kill(child, SIGKILL);
        return 0;
    }"""

CHILD = """
    #include <libpq-fe.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/syscall.h>
    #include <sys/wait.h>
    #include <unistd.h>
    int main(int argc, char **argv) {
        PGconn *idle = PQconnectdb("");
        PGconn *leased = PQconnectdb("");
        int status;
        PQfinish(idle);
        if (syscall(SYS_fork) == 0) {
            const char *what = argv[1];
            if (!strcmp(what, "connect")) {
                PGconn *own = PQconnectdb("");
                printf("%d %s\\n", PQstatus(own), PQgetvalue(PQexec(own, "SELECT 1"), 0, 0));
                PQfinish(own);
                fflush(stdout);
                _exit(0);
            }
            if (!strcmp(what, "asks")) {
                printf("%d %d\\n", PQstatus(leased), PQconnectionUsedPassword(leased));
                fflush(stdout);
                _exit(0);
            }
            if (!strcmp(what, "exec"))
                execl("/bin/true", "true", (char *)0);
            if (!strcmp(what, "exit"))
                exit(0);
            _exit(0);
        }
        wait(&status);
        printf("%x\\n", status);
        PGresult *r = PQexec(leased, "SELECT 'still'");
        puts(PQresultStatus(r) == PGRES_TUPLES_OK ? PQgetvalue(r, 0, 0) : PQerrorMessage(leased));
        PQclear(r);
        PQfinish(leased);
        idle = PQconnectdb("");
        printf("%d\\n", PQstatus(idle));
        PQfinish(idle);
        return 0;
    }"""

WORKERS = """
    #include <libpq-fe.h>
    #include <stdio.h>
    #include <sys/wait.h>
    #include <unistd.h>
    int main(void) {
        int go[6][2], said[2];
        char line[2000];
        pipe(said);
        for (int i = 0; i < 6; i++) {
            pipe(go[i]);
            if (fork() == 0) {
                char c;
                close(go[i][1]);
                for (int j = 0; j < i; j++)
                    close(go[j][1]);
                read(go[i][0], &c, 1);
                PGconn *conn = PQconnectdb("user=sleepers");
                int n = PQstatus(conn) == CONNECTION_OK
                    ? snprintf(line, sizeof(line), "%s", PQgetvalue(
                          PQexec(conn, "SELECT current_user || ' ' || 2 + 2"), 0, 0))
                    : snprintf(line, sizeof(line), "%s", PQerrorMessage(conn));
                PQfinish(conn);
                write(said[1], line, n);
                read(go[i][0], &c, 1);     /* sleeps, until the parent closes its end */
                _exit(0);
            }
            close(go[i][0]);
        }
        for (int i = 0; i < 6; i++) {
            write(go[i][1], "x", 1);
            printf("%.*s\\n", (int)read(said[0], line, sizeof(line)), line);
        }
        for (int i = 0; i < 6; i++)
            close(go[i][1]);
        while (wait(NULL) > 0);
        return 0;
    }"""


def test_workers_that_sleep_hold_no_session(compiled, run, keep, server):
    """The role may have two; in a pool of its own each of the six would keep one."""
    server.sql("DROP ROLE IF EXISTS sleepers")
    server.sql("CREATE ROLE sleepers LOGIN CONNECTION LIMIT 2")
    program = compiled(WORKERS, *FLAGS)
    bare = run([program], pooled=False)
    assert bare.stdout == "sleepers 4\n" * 6
    alone = run([program], check_leases=False)
    assert "too many connections for role" in alone.stdout
    keeper = keep(SIZE=2, MAX_OVERFLOW=0)
    mark = server.marker()
    shared = run([program], env={"PQPOOL_SHARE": keeper.path}, check_leases=False)
    assert (shared.returncode, shared.stdout) == (bare.returncode, bare.stdout), shared
    assert server.log_text(mark).count("connection authorized: user=sleepers") <= 2


@pytest.mark.parametrize("what", ["connect", "asks", "exec", "exit", "leaves"])
def test_child_that_nobody_told(compiled, run, keep, what):
    program = compiled(CHILD, *FLAGS)
    env = {"PQPOOL_SHARE": keep().path}
    bare = run([program, what], pooled=False)
    for _ in range(2):
        done = run([program, what], env=env, check_leases=False)
        assert (done.returncode, done.stdout) == (bare.returncode, bare.stdout), done


def test_child_does_not_keep_a_place_in_line(compiled, keep, script, run, server, shim):
    """It has a copy of the connection by which its parent asked, and leaves."""
    keeper = keep(SIZE=1, MAX_OVERFLOW=0, TIMEOUT=60)
    env = {"PQPOOL_SHARE": keeper.path}
    holder = script(env=env)
    holder.connect("a")
    with subprocess.Popen([compiled(WAITS, *FLAGS)], stdin=subprocess.PIPE, text=True,
                          stdout=subprocess.PIPE, env={**bare_environ(), **server.env(), **env,
                                                       "LD_PRELOAD": shim}) as waiter:
        assert waiter.stdout.readline() == "waits\n"
        assert keeper.show("pool")[0]["waiting"] == "1"
        waiter.stdin.write("\n")
        waiter.stdin.flush()
        assert waiter.stdout.readline() == "finished\n"
        assert wait_until(lambda: keeper.show("pool")[0]["waiting"] == "0")
        waiter.communicate("\n", timeout=20)
        assert waiter.returncode == 0
    holder.do("finish", "a")
    holder.end()
