# SPDX-License-Identifier: PostgreSQL
"""The helpers themselves: a check that cannot fail checks nothing."""
import os
import signal
import subprocess
import sys

import psycopg2
import pytest

import cmocka
import logfmt
from running import Result, Runner
from server import FOLDER_PREFIX, Account, Folder, ServerError, wait_until

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@pytest.mark.parametrize("line, pairs", [
    (b"event=acquire lease=12", {"event": "acquire", "lease": "12"}),
    (b'pool="app@db:5432/shop" n=""', {"pool": "app@db:5432/shop", "n": ""}),
    (rb'a="say \"hi\\\" \n\t\x01\xc3\xa4"', {"a": 'say "hi\\" \n\t\x01\u00e4'}),
    (rb'a="\\n \\x41"', {"a": r"\n \x41"}),
    ("a=\u00e4".encode(), {"a": "\u00e4"}),
    (b'a="b=c d"', {"a": "b=c d"}),
])
def test_logfmt_reads(line, pairs):
    assert logfmt.parse_line(line) == pairs


@pytest.mark.parametrize("line", [
    b"", b"a", b"a=", b"=b", b"a=b ", b" a=b", b"a=b  c=d", b'a="b', b'a="b"c', b'a=b"c',
    b"a=b=c", b"a=1 a=2", rb'a="\q"', b'a="\t"', b"a=\x01",
])
def test_logfmt_refuses(line):
    with pytest.raises(ValueError):
        logfmt.parse_line(line)


def test_logfmt_wants_whole_lines():
    assert logfmt.parse(b"event=a\nevent=b\n") == [{"event": "a"}, {"event": "b"}]
    with pytest.raises(ValueError):
        logfmt.parse(b"event=a\nevent=b")


def lease_event(event, pid, lease):
    return {"event": event, "pid": str(pid), "lease": str(lease)}


def test_leases_are_told_apart_by_process():
    events = [lease_event("acquire", 1, 1), lease_event("acquire", 2, 1),
              lease_event("release", 2, 1)]
    assert logfmt.unended(events) == events[:1]
    assert logfmt.unended(events + [lease_event("leak", 1, 1)]) == []


def test_unaccounted_lease_fails(request, tmp_path):
    runner = Runner(request, str(tmp_path))
    runner.checked.append(Result(["x"], True, 0, "", "", 0.0, [lease_event("acquire", 1, 1)]))
    with pytest.raises(pytest.fail.Exception, match="neither released nor reported"):
        runner.check()


def test_left_session_fails(request, tmp_path, server):
    runner = Runner(request, str(tmp_path))
    runner.deadline = 0.1
    runner(["true"], pooled=False)
    left = psycopg2.connect(server.dsn())
    with pytest.raises(pytest.fail.Exception, match="sessions left on the server"):
        runner.check()
    left.close()
    runner.deadline = Runner.deadline
    runner.check()


def test_hanging_program_is_ended(run):
    with pytest.raises(pytest.fail.Exception, match="still ran after"):
        run(["sleep", "60"], pooled=False, server=False, timeout=0.1)


def test_hanging_child_is_ended(run):
    with pytest.raises(pytest.fail.Exception, match="or a child"):
        run(["sh", "-c", "sleep 60 & echo started"], pooled=False, server=False, timeout=0.1)


def test_server_counts_without_itself(server):
    marker = server.marker()
    server.sql("SELECT 1")
    for tcp in (False, True):
        with psycopg2.connect(server.dsn(tcp=tcp, application_name="counted")) as conn:
            assert [s["application_name"] for s in server.sessions()] == ["counted"]
        conn.close()
    assert server.connections_since(marker) == 2
    assert wait_until(lambda: not server.sessions())


def test_server_rows_and_errors(server):
    assert server.sql("SELECT 1, 'a b' UNION ALL SELECT 2, E'c\\nd' ORDER BY 1") == [
        ["1", "a b"], ["2", "c\nd"]]
    assert server.sql("SELECT 1 WHERE false") == []
    with pytest.raises(ServerError, match="syntax error"):
        server.sql("SELEC")


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
def test_server_restarts_in_place(new_server, mode):
    server = new_server()
    before = server.env()
    conn = psycopg2.connect(server.dsn())
    server.restart(mode)
    assert server.env() == before and server.sql("SELECT 1") == [["1"]]
    with pytest.raises(psycopg2.Error):
        conn.cursor().execute("SELECT 1")


@pytest.mark.parametrize("signum, status", [
    (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)])
def test_server_ends_with_its_owner(signum, status):
    # The command tells where the server is, then waits for an end that does not come.
    tell = 'echo "$PGHOST"; head -n1 "$PGHOST/data/postmaster.pid"; exec cat'
    with subprocess.Popen([sys.executable, os.path.join(TESTS, "server.py"), "--run",
                           "sh", "-c", tell],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          start_new_session=True) as owner:
        folder = owner.stdout.readline().strip()
        postmaster = int(owner.stdout.readline())
        assert os.path.basename(folder).startswith(FOLDER_PREFIX)
        os.killpg(owner.pid, signum)
        assert owner.wait(30) == status
    # exe, because a container's init may leave the zombie where it is.
    assert wait_until(lambda: not os.path.exists("/proc/%d/exe" % postmaster))
    if signum == signal.SIGKILL:
        Folder.sweep(os.path.dirname(folder), Account())
    assert not os.path.exists(folder)


def test_tap():
    cases = cmocka.parse_tap("1..5\nok 1 - a\nnot ok 2 - b\n# 0x1 != 0x2\nnot ok 3 # SKIP c\n"
                             "not ok 4 - d Could not run test: x\nok 5 - b\n# not ok - group\n")
    assert {name: verdict for name, (verdict, _) in cases.items()} == {
        "a": "passed", "b": "failed", "c": "skipped", "d": "failed"}
    assert cases["b"][1][:2] == ["not ok 2 - b", "# 0x1 != 0x2"]


@pytest.mark.parametrize("body, last, succeeds", [
    ("def test_a(): pass\ndef test_b(): pass\n", "2 passed, 0 failed", True),
    ("def test_a(): pass\ndef test_b(): assert 0\n", "1 passed, 1 failed", False),
    ("import pytest\n@pytest.fixture\ndef f():\n yield\n assert 0\ndef test_a(f): pass\n",
     "0 passed, 1 failed", False),
    ("def nothing(): pass\n", "0 passed, 0 failed", False),
    ("import no_such_module\n", "0 passed, 1 failed", False),
    ("raise KeyboardInterrupt\n", "0 passed, 1 failed", False),
])
def test_runner_has_the_last_word(body, last, succeeds, tmp_path):
    (tmp_path / "test_x.py").write_text(body)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run([sys.executable, os.path.join(TESTS, "run.py"), str(tmp_path)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.stdout.splitlines()[-1] == last
    assert (done.returncode == 0) == succeeds
