# SPDX-License-Identifier: PostgreSQL
"""A program that becomes another one, with idle sessions behind it."""
import re

import pytest

from server import wait_until
from tls import ROUGH

FUNCTIONS = ["execv", "execve", "execvp", "execvpe", "fexecve", "execveat", "execl", "execlp",
             "execle"]


@pytest.fixture
def becomes(run, program, tls_server):
    """becomes(way, function, case): the program, bare and pooled, must do the same; the pooled
    result, and what the server's log has of rough ends of its sessions."""
    def check(way, *argv, **options):
        options.update(server=tls_server, env=tls_server.ways()[way], check_leases=False)
        bare = run([program("execs"), *argv], pooled=False, **options)
        marker = tls_server.marker()
        pooled = run([program("execs"), *argv], **options)
        assert bare.returncode == 0, bare
        assert (pooled.stdout, pooled.stderr) == (bare.stdout, bare.stderr)
        assert pooled.returncode == bare.returncode
        return pooled, rough_ends(tls_server, marker)

    return check


def rough_ends(server, marker):
    """All sessions since the marker have ended; those lines that complain."""
    def ended():
        text = server.log_text(marker)
        begun = set(re.findall(r"\[(\d+)\] LOG:  connection authorized: user=app ", text))
        return begun and begun == set(
            re.findall(r"\[(\d+)\] LOG:  disconnection: .* user=app ", text)) & begun

    assert wait_until(ended), server.log_text(marker)
    return [line for line in server.log_text(marker).splitlines() if re.search(ROUGH, line)]


@pytest.mark.parametrize("way,function", [("unix", f) for f in FUNCTIONS] + [
    (way, f) for way in ("tcp", "tls") for f in ("execv", "execvp")])
def test_idle_sessions_are_ended_with_terminate(becomes, way, function):
    pooled, rough = becomes(way, function)
    assert pooled.stdout == "one two\n"
    assert not rough
    assert len(pooled.events("session_close", reason="exit")) == 2


@pytest.mark.parametrize("way", ["unix", "tls"])
@pytest.mark.parametrize("case", ["thread", "searched"])
def test_other_places(becomes, way, case):
    pooled, rough = becomes(way, "execl", case)
    assert not rough
    assert len(pooled.events("session_close", reason="exit")) == 2


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_signal_handler(becomes, way):
    """Nothing there may be freed; but the answers that are on their way are read. That there
    is no Terminate the server says to those who debug it."""
    pooled, rough = becomes(way, "execve", "handler")
    assert not pooled.events("session_close")
    assert not [line for line in rough if " DEBUG: " not in line]


def test_the_wrong_place_costs_nothing(becomes):
    for function in ("execv", "execve", "execl", "execle"):
        pooled, _ = becomes("unix", function, "failed")
        assert len(pooled.events("session_open")) == 2


@pytest.mark.parametrize("way", ["unix", "tls"])
@pytest.mark.parametrize("function", ["execvp", "fexecve", "execveat"])
def test_failed_and_gone_on(becomes, way, function):
    """The pool was emptied, and fills again."""
    pooled, rough = becomes(way, function, "failed")
    assert not rough
    assert len(pooled.events("session_open")) == 4
    assert len(pooled.events("acquire")) == 5


@pytest.mark.parametrize("way", ["unix", "tls"])
@pytest.mark.parametrize("case", ["child", "vchild"])
@pytest.mark.parametrize("function", ["execve", "execvp", "execl"])
def test_child_leaves_the_pool_alone(becomes, way, function, case):
    pooled, rough = becomes(way, function, case)
    assert "child 0\n" in pooled.stdout
    assert len(pooled.events("session_open")) == 2
    assert not rough
