# SPDX-License-Identifier: PostgreSQL
"""pqpool leaks: the report made anew from a log or a status page, with source lines."""
import json
import os
import re
import subprocess
import time

import pytest

import made_logs
from conftest import built
from reports import check_seven

TIME = "time=2026-01-02T03:04:%02d.%06dZ"


# ---- a program that could not report ----------------------------------------------------


@pytest.mark.parametrize("way", ["kill", "_exit"])
def test_all_are_named_from_the_log(run, program, leaks, tmp_path, way):
    log = tmp_path / "log"
    done = run([program("holds"), way], check_leases=False, env={"PQPOOL_LOG": log})
    said = leaks(log)
    check_seven(said, done.stdout)
    assert said.stderr == b""
    assert [(p["acquired"], p["released"], p["running"])
            for p in said.document["processes"]] == [(10, 3, False)]


def test_all_are_named_from_the_status_page(run, program, leaks, tmp_path, memory):
    # A folder of its own: in the common one no more than some pages of the dead are kept.
    own = {"XDG_RUNTIME_DIR": str(memory)}
    done = run([program("holds"), "kill"], check_leases=False,
               env={"PQPOOL_LOG": tmp_path / "log", **own})
    said = leaks(done.log[0]["pid"], env=own)
    check_seven(said, done.stdout)


def test_the_same_as_the_report_at_exit(run, program, leaks, tmp_path):
    log = tmp_path / "log"
    ended = re.findall(r"^==\d+== +(\d+) connections?, .*\n==\d+== +#0 \S+ in (\w+)$",
                       run([program("holds"), "return"]).stderr, re.M)
    run([program("holds"), "kill"], check_leases=False, env={"PQPOOL_LOG": log})
    said = leaks(log)
    outermost = [next(f["function"] for f in p["frames"] if not f["inlined"]) for p in said.places]
    assert len(ended) == 3 and ended == [
        (str(p["count"]), function) for p, function in zip(said.places, outermost)]
    ordinary = leaks(log, as_json=False)
    assert ordinary.returncode == 1
    assert ordinary.stdout.startswith(b"pqpool: 7 connections leaked, taken at 3 places (holds ")


def test_of_a_program_that_reported(run, program, leaks, tmp_path):
    log = tmp_path / "log"
    done = run([program("holds"), "return"], env={"PQPOOL_LOG": log})
    check_seven(leaks(log), done.stdout)


def test_log_of_warnings_has_the_leaks(run, program, leaks, tmp_path):
    log = tmp_path / "log"
    done = run([program("holds"), "return"],
               env={"PQPOOL_LOG": log, "PQPOOL_LOG_LEVEL": "warning"})
    check_seven(leaks(log), done.stdout)


def test_nothing_leaked(run, program, leaks, tmp_path):
    log = tmp_path / "log"
    run([program("leaks"), "none"], env={"PQPOOL_LOG": log})
    assert (leaks(log).returncode, leaks(log).document["leaked"]) == (0, 0)
    said = leaks(log, as_json=False)
    assert said.stdout.startswith(b"pqpool: no connection leaked (leaks ")


# ---- logs made up ------------------------------------------------------------------------


def line(event, pid=7, at=None, program="app", **pairs):
    stamp = TIME % (0, 0) if at is None else (
        time.strftime("time=%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + ".%06dZ" % (at % 1 * 1e6))
    more = "".join(" %s=%s" % pair for pair in pairs.items())
    return "%s level=info pid=%d tid=%d program=%s event=%s%s\n" % (
        stamp, pid, pid, program, event, more)


def acquire(lease, pid=7, at=None, stack=1, **pairs):
    return line("acquire", pid, at, lease=lease, session=1, backend=1000 + lease,
                pool="u@h:1/d", wait_us=1, stack=stack, **pairs)


def release(lease, pid=7, at=None, **pairs):
    return line("release", pid, at, lease=lease, session=1, backend=1000 + lease,
                pool="u@h:1/d", hold_us=5, kept="yes", **pairs)


def stack(number, frames="/bin/app+0x10(main)", pid=7, **pairs):
    return line("stack", pid, stack=number, frames='"%s"' % frames, **pairs)


def write_log(folder, *lines, name="log"):
    path = folder / name
    path.write_bytes(b"".join(x if isinstance(x, bytes) else x.encode() for x in lines))
    return path


def leases(said):
    return sorted(lease["lease"] for p in said.places for lease in p["leases"])


def test_rotated_files_are_read_in_order(leaks, tmp_path):
    """Names sort otherwise than numbers; a hole is no end."""
    log = write_log(tmp_path, release(3), acquire(4))
    write_log(tmp_path, release(2), acquire(3), name="log.1")
    write_log(tmp_path, release(1), acquire(2), name="log.2")
    write_log(tmp_path, acquire(1), acquire(9), name="log.11")
    write_log(tmp_path, acquire(90), name="log.new")
    write_log(tmp_path, acquire(91), name="log.01")
    (tmp_path / "log.3").mkdir()
    for names in [[log], ["%s.2" % log], ["%s.1" % log, log, "%s.11" % log, "%s.2" % log]]:
        assert leases(leaks(*names)) == [4, 9]


def test_rotated_twice_named_file_is_read_once(leaks, tmp_path):
    log = write_log(tmp_path, acquire(1), release(1), acquire(2))
    os.link(log, tmp_path / "log.1")
    said = leaks(log)
    assert said.document["processes"][0]["acquired"] == 2 and leases(said) == [2]


def test_log_that_was_only_moved_away(leaks, tmp_path):
    write_log(tmp_path, acquire(1), name="log.1")
    assert leases(leaks(tmp_path / "log")) == [1]


def test_real_rotation(run, program, leaks, tmp_path):
    log = tmp_path / "log"
    done = run([program("holds"), "kill"], check_leases=False, env={"PQPOOL_LOG": log})
    whole = log.read_bytes().splitlines(True)
    third = len(whole) // 3
    for name, part in [("log.2", whole[:third]), ("log.1", whole[third:2 * third]),
                       ("log", whole[2 * third:])]:
        write_log(tmp_path, *part, name=name)
    check_seven(leaks(log), done.stdout)


def test_processes_of_one_log_are_told_apart(leaks, tmp_path):
    said = leaks(write_log(tmp_path, acquire(1, 7), acquire(1, 8), acquire(2, 7), release(1, 7),
                           acquire(2, 8), release(2, 8), stack(1, "/bin/a+0x1", 7), stack(1, "/bin/a+0x1", 8)))
    assert [(x["pid"], x["lease"]) for p in said.places for x in p["leases"]] == [(7, 2), (8, 1)]
    assert len(said.places) == 1  # the same place, whoever took it
    text = leaks(tmp_path / "log", as_json=False).stdout.decode()
    assert "(2 processes: 4 acquired, 2 released)" in text
    assert "lease 2 of app 7: backend 1002" in text


def test_pid_given_to_another_process_is_not_alive(leaks, tmp_path):
    """Ours lives, and is older than the log, but has no pool in it."""
    said = leaks(write_log(tmp_path, *[acquire(n, pid=os.getpid(), at=time.time())
                                       for n in (1, 2)]))
    assert said.document["leaked"] == 2 and not said.document["processes"][0]["running"]


def test_process_without_a_page(leaks):
    said = leaks(os.getpid())
    assert said.returncode == 125 and b"has no status page" in said.stderr


def test_two_logs_are_of_two_machines(leaks, tmp_path):
    one = write_log(tmp_path, acquire(1), name="one")
    other = write_log(tmp_path, release(1), acquire(2), name="other")
    assert leases(leaks(one, other)) == [1, 2]


def test_number_that_means_another_stack_is_another_process(leaks, tmp_path):
    """The same one may be cut elsewhere, where its line is too long."""
    said = leaks(write_log(tmp_path, stack(1, "/bin/a+0x1"), acquire(1),
                           stack(1, "/bin/a+0x1 /bin/b+0x3", build_ids="x=1"),
                           acquire(2), stack(1, "/bin/a+0x2"), acquire(7)))
    assert [(p["frames"][0]["offset"], [x["lease"] for x in p["leases"]])
            for p in said.places] == [("0x1", [1, 2]), ("0x2", [7])]


@pytest.mark.parametrize("again", [line("config", size=10), ""])
def test_pid_that_comes_again_is_another_process(leaks, tmp_path, again):
    """With its configuration, or, a forked child, with a number that is not due."""
    said = leaks(write_log(tmp_path, line("config", size=10), acquire(1), again, acquire(1),
                           acquire(2), release(1), stack(1)))
    assert leases(said) == [1, 2]
    assert [p["acquired"] for p in said.document["processes"]] == [1, 2]


def test_the_two_kinds(leaks, tmp_path):
    said = leaks(write_log(
        tmp_path, acquire(1), acquire(2), acquire(3), acquire(4), acquire(5), acquire(6),
        stack(1), release(1, at_exit="yes"), line("given_away", lease=2),
        line("leak", lease=3, stack=1, kind="never_released", hold_us=77,
             transaction="in_transaction", statement='"UPDATE t"'),
        line("leak", lease=4, stack=1, kind="released_by_exit"),
        line("leak", lease=1, stack=1, kind="released_by_exit"),
        line("leak", lease=7, stack=1, kind="never_released", suppressed="yes"),
        release(5), line("leak", lease=99, backend=5, thread=6, pool="x")))
    assert [(p["kind"], sorted(x["lease"] for x in p["leases"])) for p in said.places] == [
        ("never_released", [3, 6]), ("never_released", [99]), ("released_by_exit", [1, 4]),
        ("suppressed", [7])]
    assert said.document["leaked"] == 5
    three = [x for x in said.places[0]["leases"] if x["lease"] == 3][0]
    assert (three["hold_us"], three["transaction"], three["statement"]) == (
        77, "in_transaction", "UPDATE t")
    text = leaks(tmp_path / "log", as_json=False).stdout.decode()
    assert "pqpool: 3 connections leaked, taken at 2 places (app 7: 6 acquired, 2 rel" in text
    assert "pqpool: 2 connections released only by exit, taken at 1 place\n" in text
    assert "idle in transaction, last statement: UPDATE t\n" in text
    assert "pqpool: 1 leak suppressed" in text


def test_an_interpreter_that_ends_and_begins_again(leaks, tmp_path):
    """Its thread goes on: what was released at that end was no leak."""
    said = leaks(write_log(tmp_path, acquire(1), acquire(2), release(1, at_exit="yes"),
                           release(2, at_exit="yes"), acquire(3), acquire(4),
                           release(3, at_exit="yes"), release(4, at_exit="yes")))
    assert leases(said) == [3, 4] and {p["kind"] for p in said.places} == {"released_by_exit"}


def test_totals(run, program, leaks, tmp_path):
    """Of one process as it reported them; of several, those that came to their end."""
    log = tmp_path / "log"
    once = run([program("holds"), "return"], env={"PQPOOL_LOG": log})
    told = [line.split("== ")[1] for line in once.stderr.splitlines() if "in all" in line]
    text = leaks(log, as_json=False).stdout.decode()
    assert [line for line in text.splitlines() if "in all" in line] == told
    run([program("holds"), "kill"], check_leases=False, env={"PQPOOL_LOG": log})
    run([program("holds"), "return"], check_leases=False, env={"PQPOOL_LOG": log})
    text = leaks(log, as_json=False).stdout.decode()
    assert re.search(r"^pqpool: in all 16 sessions opened, \d+ closed; at most 8 of 30 in use at "
                     r"once; 0 waits, 0 timeouts \(reported by 2 of the processes\)$", text, re.M), text
    assert leaks(log).document["totals"]["processes"] == 2


def test_places_with_most_come_first(leaks, tmp_path):
    said = leaks(write_log(tmp_path, *[acquire(n, stack=1 + (n > 1) + (n > 3)) for n in range(1, 9)],
                           stack(1, "/bin/a+0x1"), stack(2, "/bin/a+0x2"),
                           stack(3, "/bin/a+0x3")))
    assert [(p["count"], p["frames"][0]["offset"]) for p in said.places] == [
        (5, "0x3"), (2, "0x2"), (1, "0x1")]


def test_stack_that_is_not_spelled_out(leaks, tmp_path):
    log = write_log(tmp_path, acquire(1, stack=3), acquire(1, pid=8, stack=3),
                    line("acquire", lease=2))
    assert [(p["count"], p["frames"]) for p in leaks(log).places] == [(1, [])] * 3
    text = leaks(log, as_json=False).stdout.decode()
    assert text.count("stack 3, which the log does not describe") == 2
    assert text.count("taken at an unknown place") == 1


def test_script_place(leaks, tmp_path):
    frames = r'"/lib/a\\x20b.py:7(get) ... /srv/app.py:12"'
    log = write_log(tmp_path, acquire(1, script="/srv/app.py:12"), acquire(2, stack=2),
                    stack(1, script_frames=frames))
    place = leaks(log).places[1]
    assert place["script"] == "/srv/app.py:12"
    assert place["script_frames"] == [{"file": "/lib/a b.py", "line": 7, "function": "get"},
                                      {"file": "..."}, {"file": "/srv/app.py", "line": 12}]
    text = leaks(log, as_json=False).stdout.decode()
    assert ", taken at /srv/app.py:12\n    #0 /bin/app+0x10 in main\n" in text
    assert "    #1 /lib/a b.py:7 in get\n    ...\n    #2 /srv/app.py:12\n" in text


def test_frames_with_odd_names(leaks, tmp_path):
    frames = r"/b\\x20c/a+0x1+b(c)+0xab(f(int)) ?+0x7f12 not-a-frame /x+0x +0x1"
    log = write_log(tmp_path, acquire(1), stack(1, frames, build_ids=r'"/b\\x20c/a+0x1+b(c)=12ab"'))
    found = [(f.get("module"), f["offset"], f.get("function"), f.get("build_id"))
             for f in leaks(log).places[0]["frames"]]
    assert found == [("/b c/a+0x1+b(c)", "0xab", "f(int)", "12ab"), (None, "0x7f12", None, None),
                     ("", "0x1", None, None)]


def test_lost_lines_are_told(leaks, tmp_path):
    said = leaks(write_log(tmp_path, acquire(1), acquire(2, lost=3), release(1, lost=4)))
    assert said.document["processes"][0]["lost_lines"] == 7
    assert b"app 7 could not write 7 lines" in said.stderr


def test_what_is_no_line_is_skipped_and_counted(leaks, tmp_path):
    torn = acquire(50).rstrip("\n")
    said = leaks(write_log(
        tmp_path, acquire(1), "Traceback (most recent call last):\n", "\n", torn[:60] + "\n",
        acquire(2), torn[:80] + release(2),  # a whole one behind a torn one
        "Jan  2 03:04:05 host app[7]: " + acquire(3),  # as syslog writes it
        acquire(4).replace(" lease=", " lease=1 lease="), acquire(5).replace("\n", ' x="\n'),
        acquire(6).replace("2026", "x"), acquire(7, note='"\\q"'), acquire(8, note='"a\tb"'),
        b"\0\0\0\0" + acquire(9).encode(), acquire(10).replace(" ", "  ", 1), torn))
    assert leases(said) == [1, 3]
    assert b"12 of 15 lines skipped" in said.stderr


def test_hostile_lines(leaks, tmp_path):
    """What a log holds neither reaches the terminal, nor the shell, nor breaks JSON."""
    statement = rb'"\x1b[2J\x07 \"q\" \\ \n \xff\xc2\x9b31m' + b"\xe2\x80\xae\xc3\xa4\xff" + b'"'
    log = write_log(
        tmp_path, "x" * (1 << 20) + "\n", "time=" * 20000 + "\n", "time=" * 200000 + "\n",
        acquire(1).rstrip("\n").encode() + b" statement=" + statement + b"\n",
        stack(1, "/bin/$(touch${IFS}pwned)`id`;+0x1 -e+0x2 /dev/zero+0x3 /proc/self/mem+0x4",
              build_ids='"/dev/zero=00"'),
        acquire(2, stack=2**40), acquire(3, stack=-1), acquire(2**64 - 1), acquire(2**64),
        line("stack", stack=2**63, frames="x"), line("leak", lease=4, hold_us=2**64 - 1))
    said = leaks(log)
    assert leases(said) == [1, 2, 3, 4, 2**64 - 1]
    found = [x["statement"] for p in said.places for x in p["leases"] if x["lease"] == 1][0]
    assert found == '\x1b[2J\x07 "q" \\ \n �\x9b31m\u202eä�'
    text = leaks(log, as_json=False)
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", text.stdout + text.stderr)
    assert "\u202e".encode() not in text.stdout and b"\xc2\x9b" not in text.stdout
    assert rb"\x1b[2J\x07" in text.stdout and "ä".encode() in text.stdout
    assert text.stdout.decode("utf-8")
    assert not os.path.exists("pwned")


def test_size_goes_by_what_is_open(leaks, tmp_path):
    """50,000 leases pass through in the memory of a few."""
    path = tmp_path / "log"
    with open(path, "w", encoding="utf-8") as f:
        f.write(stack(1))
        for n in range(1, 50001):
            f.write(acquire(n))
            if n > 3:
                f.write(release(n))
    assert os.path.getsize(path) > 10 << 20
    done = subprocess.run(["bash", "-c", 'ulimit -v 20000; exec "$@"', "-", built("pqpool"),
                           "leaks", "--json", str(path)], capture_output=True, check=False)
    assert [x["lease"] for p in json.loads(done.stdout)["places"] for x in p["leases"]] == [1, 2, 3]


# ---- the command line ----------------------------------------------------------------------


def test_help_and_mistakes(leaks, tmp_path):
    said = leaks("--help", as_json=False)
    assert said.returncode == 0 and said.stdout.startswith(b"Usage: pqpool leaks")
    assert leaks(as_json=False).returncode == 2
    assert leaks("--nonsense", as_json=False).returncode == 2
    said = leaks(tmp_path / "nothing")
    assert said.returncode == 125 and b"nothing: No such file" in said.stderr
    said = leaks(tmp_path)
    assert said.returncode == 125 and b"Is a directory" in said.stderr


def test_versions_of_log_and_json(run, program, leaks, tmp_path):
    """Each says which; a log of a later one is read as far as it goes, and a line says so."""
    log = tmp_path / "own"
    run([program("leaks"), "none"], env={"PQPOOL_LOG": log})
    first = log.read_bytes().splitlines()[0]
    assert b" event=config format=1 version=" in first and leaks(log).stderr == b""
    assert list(leaks(log).document.items())[0] == ("version", 1)
    said = leaks(write_log(tmp_path, line("config", format=2, size=10), acquire(1)))
    assert said.stderr == b"pqpool: log format 2 is newer than this pqpool, which knows 1\n"
    assert leases(said) == [1] and said.document["version"] == 1


def test_pipe(leaks, tmp_path):
    log = write_log(tmp_path, acquire(1), acquire(2), stack(1))
    done = subprocess.run(["bash", "-c", '"$0" leaks --json <(cat "$1")', built("pqpool"),
                           str(log)], capture_output=True, check=False)
    assert done.returncode == 1 and json.loads(done.stdout)["leaked"] == 2


@pytest.mark.parametrize("line, kind", [(4, "never_released"), (9, "kept")])
def test_place_of_a_killed_script_is_its_line(leaks, tmp_path, line, kind):
    """Whoever called that line: one of it was given back, so that the other is a leak."""
    log = made_logs.Log(tmp_path / "log")
    for stack, own, caller in ((1, 4, 5), (2, line, 7)):
        log.say(stack, 'stack stack=%d frames="/bin/python3+0x1" build_ids="/bin/python3=0a" '
                'script_frames="/lib/db.py:2(connect) /srv/app.py:%d(load) /srv/app.py:%d(<module>)"' % (stack, own, caller))
        log.say(10 * stack, "acquire lease=%d session=1 backend=9 pool=p wait_us=1 stack=%d script=/srv/app.py:%d" % (
            stack, stack, own))
        if stack == 1:
            log.say(15, "release lease=1 session=1 backend=9 pool=p hold_us=5 kept=yes")
    assert [place["kind"] for place in leaks(log.path).places] == [kind]
