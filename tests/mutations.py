#!/usr/bin/python3
# SPDX-License-Identifier: PostgreSQL
"""Takes one mechanism after another out of a copy of the shim, and sees a test fail each time: a test
that cannot fail shows nothing.

    tests/mutations.py BUILD [WORD...]     the mutations whose name has one of these words; else all

First the tests pass with the shim as it is. Prints `N passed, N failed`, a mutation that no test
caught having failed.
"""
import filecmp
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

TESTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TESTS)


@dataclass
class Mutation:
    name: str
    path: str  # below shim/
    old: str  # is there once; blanks count as any blanks
    new: str
    test: str  # below tests/; catches it

    def apply(self, tree):
        path = os.path.join(tree, "shim", self.path)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        pattern = r"\s+".join(map(re.escape, self.old.split()))
        mutated, count = re.subn(pattern, lambda _: self.new, text)
        if count != 1:
            sys.exit("%s: shim/%s has the mutated text %d times" % (self.name, self.path, count))
        with open(path, "w", encoding="utf-8") as file:
            file.write(mutated)

    def undo(self, tree):
        shutil.copyfile(os.path.join(ROOT, "shim", self.path), os.path.join(tree, "shim", self.path))


BACKENDS, SILENCE = "fault/test_backends.py::", "fault/test_silence.py::"
MUTATIONS = [
    Mutation("a ping is left out", "session/reset.c", "case PRE_PING_ON: return true;",
             "case PRE_PING_ON:\nreturn false;", BACKENDS + "test_ended_while_it_is_checked[script]"),
    Mutation("a reset is not sent", "session/reset.c",
             'own_query_send(session, "DISCARD ALL");', "true;",
             BACKENDS + "test_ended_with_the_reset_on_its_way[2-SET work_mem = '1MB']"),
    Mutation("a reset that failed counts", "session/reset.c", "*why = own_query_collect(session);",
             "own_query_collect(session);",
             "integration/test_state.py::test_a_reset_that_is_cancelled_from_outside"),
    Mutation("nothing is opened beside a silent session", "acquire/race.c",
             "if (acquisition_lasts(a)) {", "if (false && acquisition_lasts(a)) {",
             SILENCE + "test_one_backend_that_hangs[1]"),
    Mutation("what is opened beside it counts before it is up", "acquire/race.c",
             "up = is_up(race->opened);", "up = true;",
             SILENCE + "test_a_slow_server_without_a_place_for_another"),
    Mutation("a dead session says nothing of older ones", "acquire/upkeep/discard.c",
             "pool_invalidate(&lender->pool, before_ns);", "(void)before_ns;",
             SILENCE + "test_a_network_that_forgot_all_flows"),
    Mutation("times are the wall clock's", "base/clock.h", "clock_gettime(CLOCK_MONOTONIC, &ts);",
             "clock_gettime(CLOCK_REALTIME, &ts);", "fault/test_clock.py::test_nothing_ages[forward]"),
    Mutation("a log that is gone stays gone", "trace/log/log_file.c",
             "there = rotate_is_named(buf, st) || reopen(st);", "there = true;",
             "fault/test_log_place.py::test_folder_that_vanishes[True]"),
    Mutation("a password is not in the key", "key/pool_key.c",
             "keybuf_field(key, filled_in(ci, row));",
             'keybuf_field(key, strcmp(ci->options[row].keyword, "password") == 0 ? NULL '
             ": filled_in(ci, row));", "fault/test_refused.py::test_password_changed"),
    Mutation("a socket is taken for the session's", "session/session.c",
             "return session->owner == pid_self() && "
             "is_socket_of(session, session->libpq->PQsocket(session->conn));",
             "return session->owner == pid_self();",
             "integration/test_descriptors.py::test_changed_descriptor[twin--default]"),
    Mutation("idle sessions make no room", "acquire/upkeep/sweep.c",
             "bool own = sweep_idle(DROP_MAKE_ROOM, deadline_ns, true);",
             "bool own = ((void)sweep_idle, (void)deadline_ns, false);", "integration/test_room.py::test_idle_sessions_make_room"),
    Mutation("a room is lost with a connect that fails", "acquire/acquire.c",
             "ask_drop(borrow->ask); } pool_open_failed(&a->lender->pool);",
             "ask_drop(borrow->ask);\n}", "fault/test_descriptors_out.py::test_a_full_pool"),
    Mutation("a pipeline is kept", "session/check_return.c",
             "pq->PQpipelineStatus(conn) != PQ_PIPELINE_OFF", "false",
             "integration/test_client_state.py::test_dropped_by_design"),
    Mutation("a cancel object outlives its lease", "session/cancel/cancel_scope.c",
             "atomic_store(&scope->open, false);", "", "integration/test_state.py::test_cancel_kept_past_finish_is_inert"),
    Mutation("a transaction is not rolled back", "session/reset.c",
             'return rolls_back ? own_query_send_both(session, "ROLLBACK", "DISCARD ALL")',
             'return rolls_back ? own_query_send(session, "SELECT 1")',
             "integration/test_state.py::test_invisible_to_the_next_lease"),
    Mutation("a child keeps the pools", "pool/registry.c", "lenders = NULL;", "",
             "integration/test_fork_exit.py"),
]


def copy_changed(source, copy):
    """What make has built of an unchanged file is still good."""
    if not (os.path.exists(copy) and filecmp.cmp(source, copy, shallow=False)):
        shutil.copy(source, copy)


def make(tree, *goals):
    done = subprocess.run(["make", "-s", "-j%d" % (os.cpu_count() or 1), "-C", tree, "LTO_FLAGS=", *goals],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit("make %s: %s" % (" ".join(goals), done.stderr))


def passes(tree, tests):
    env = {**os.environ, "PQPOOL_BUILD": "build", "CI": ""}
    done = subprocess.run([sys.executable, os.path.join(tree, "tests/run.py"), "-q", "-x",
                           *(os.path.join(tree, "tests", test) for test in tests)],
                          cwd=tree, env=env, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def main():
    build, *words = sys.argv[1:]
    chosen = [m for m in MUTATIONS if not words or any(word in m.name for word in words)]
    tree = os.path.join(os.path.abspath(build), "mutate")
    for name in ("shim", "tests", "tools"):
        shutil.copytree(os.path.join(ROOT, name), os.path.join(tree, name), dirs_exist_ok=True,
                        copy_function=copy_changed)
    copy_changed(os.path.join(ROOT, "Makefile"), os.path.join(tree, "Makefile"))
    make(tree, "all", "programs")
    good, said = passes(tree, sorted({m.test for m in chosen}))
    if not good:
        sys.exit("the tests fail without any mutation:\n" + said)
    caught = 0
    for mutation in chosen:
        mutation.apply(tree)
        make(tree, "build/libpqpool.so")
        good, said = passes(tree, [mutation.test])
        mutation.undo(tree)
        failed = re.findall(r"^FAILED (?:\S*/tests/)?(\S+)", said, re.M)
        print("%-55s %s" % (mutation.name, "NOT CAUGHT by " + mutation.test if good
                            else "caught by " + (failed or ["?"])[0]), flush=True)
        caught += not good
    print("%d passed, %d failed" % (caught, len(chosen) - caught))
    sys.exit(caught != len(chosen))


if __name__ == "__main__":
    main()
