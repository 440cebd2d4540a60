# SPDX-License-Identifier: PostgreSQL
"""Children of a program that shares, forked where nobody is told: by the system call alone."""
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
