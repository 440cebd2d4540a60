# SPDX-License-Identifier: PostgreSQL
"""A connection used after PQfinish: a dead one, and nobody else's lease is touched."""
import re
import subprocess

import pytest

DEAD = """\
finished
PQexec NULL
PQexecParams 0
PQprepare 0
PQexecPrepared 0
PQdescribePrepared 0
PQdescribePortal 0
PQfn 0
PQsendQuery 0
PQsendQueryParams 0
PQsendPrepare 0
PQsendQueryPrepared 0
PQsendDescribePrepared 0
PQsendDescribePortal 0
PQpipelineSync 0
PQsendFlushRequest 0
PQflush -1
PQputCopyData -1
PQputCopyEnd -1
PQgetCopyData -2
PQconsumeInput 0
PQisBusy 0
PQgetResult 0
PQnotifies 0
PQsetClientEncoding -1
lo_creat 0
PQgetCancel 0
PQregisterEventProc 0
PQresetStart 0
PQresetPoll 0
"""
AFTER = """\
PGRES_TUPLES_OK SELECT 1
  encoding=UTF8
PGRES_TUPLES_OK SELECT 1
  never=(null)
PGRES_COMMAND_OK DO
"""
NOTICE = "NOTICE:  noticed\n"


def places(result, event, program):
    """The function at the top of each of the two stacks that a misuse names."""
    stacks = {e["stack"]: e["frames"] for e in result.events("stack")}
    functions = []
    for key in ("stack", "finish_stack"):
        path, offset = re.match(r"(\S+)\+(0x[0-9a-f]+)", stacks[event[key]]).groups()
        assert path == program
        found = subprocess.check_output(["addr2line", "-fe", path, offset], text=True)
        functions.append(found.splitlines()[0])
    return functions


@pytest.fixture
def stale(run, program):
    def start(mode, **options):
        result = run([program("stale"), mode], **options)
        assert (result.returncode, result.stderr.replace(NOTICE, "")) == (0, ""), result
        return result

    return start


def test_use_after_finish(stale, program):
    result = stale("use")
    assert result.stdout == DEAD + AFTER
    assert result.stderr == NOTICE
    assert len(result.events("session_open")) == 1, "the session was not lent again"
    told = result.events("misuse")
    assert told[0]["msg"] == "PQexec on a finished connection: nothing may be done with it after PQfinish"
    assert told[0]["lease"] == result.events("release")[0]["lease"]
    assert places(result, told[0], program("stale")) == ["use_here", "finish_here"]
    assert [e["msg"].split()[0] for e in told[1:4]] == [
        "PQexecParams", "PQprepare", "PQexecPrepared"]
    assert len(told) < 20, "a program in a loop would fill the disk"


def test_use_after_finish_is_told_on_stderr(run, program):
    result = run([program("stale"), "use"], env={"PQPOOL_LOG": None})
    assert result.stdout == DEAD + AFTER
    first = [line for line in result.stderr.splitlines() if "event=misuse" in line][0]
    assert "PQexec on a finished connection: nothing may be done with it after PQfinish" in first
    assert re.search(r" stack=\d+ finish_stack=\d+$", first)
    assert len(re.findall("event=stack", result.stderr)) >= 2


def test_finish_twice(stale, program):
    result = stale("twice")
    assert result.stdout == "finished\n" * 2 + AFTER
    [told] = result.events("misuse")
    assert told["msg"] == "PQfinish on a finished connection: nothing may be done with it after PQfinish"
    assert places(result, told, program("stale")) == ["finish_here", "finish_here"]
    assert told["stack"] != told["finish_stack"]
    assert len(result.events("session_open")) == 1


def test_connect_in_steps_is_no_misuse(stale):
    bare = stale("steps", pooled=False)
    pooled = stale("steps")
    assert pooled.stdout == bare.stdout
    assert not pooled.events("misuse")
    # An event procedure gets a connection that nobody had before.
    assert len(pooled.events("session_open")) == 3
    assert len(pooled.events("release", reason="event_proc")) == 1
