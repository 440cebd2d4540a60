# SPDX-License-Identifier: PostgreSQL
"""pqpool report: the data that it takes from logs, and the file that it writes them to."""
import json
import os
import re
import resource
import stat

import pytest

import made_logs

FULL = os.environ.get("PQPOOL_STRESS") == "full"
PYTHON = "/usr/bin/python3"
FULL_DISK = ["sh", "-c", 'exec "$@" >/dev/full', "sh"]
SCRIPT = """
import psycopg2, sys
def load():
    return psycopg2.connect("")
first = load()
first.close()
left = [load(), load()]
"""


@pytest.fixture
def log(tmp_path):
    return made_logs.Log(tmp_path / "log")


@pytest.fixture
def report(tool):
    """report(log, ...): the document."""
    def make(*logs):
        done = tool("report", "--json", *logs)
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    return make


def names(document, place):
    return [document["frames"][number] for number in place["stack"]]


# ---- real runs ---------------------------------------------------------------------------


def test_program_that_leaks(run, program, report, tmp_path):
    path = tmp_path / "log"
    done = run([program("leaky")], env={"PQPOOL_LOG": path})
    document = report(path)
    totals, pool = document["totals"], document["pools"][0]
    assert (document["format"], document["programs"], document["processes"]) == (1, ["leaky"], 1)
    assert document["logs"] == [{"file": str(path), "lines": len(done.log), "unread": 0}]
    assert (totals["acquired"], totals["released"], totals["leaks"], totals["kept"]) == (10, 7, 3, 0)
    assert totals["opened"] == totals["closed"] + 3 == len(done.events("session_open"))
    assert (pool["limit"], pool["size"], pool["leaks"], pool["acquired"]) == (30, 10, 3, 10)
    assert pool["hold"]["count"] == pool["wait"]["count"] == sum(pool["bins"]["acquired"]) == 10
    assert max(pool["bins"]["in_use_max"]) == int(done.events("totals")[0]["peak"])
    leaks = [lease for lease in document["leases"] if lease["end"] == "leaked"]
    assert document["leases"][:3] == leaks and len(document["leases"]) == 10
    assert {lease["statement"] for lease in leaks} == {"SELECT ..."}
    assert sorted(str(lease["lease"]) for lease in leaks) == sorted(
        e["lease"] for e in done.events("leak"))
    leaking = [names(document, place) for place in document["places"] if place["leaks"]]
    assert any(re.match(r"bill_customer \S*leaky\.c:\d+$", name) for stack in leaking for name in stack)
    for stack in leaking:  # the outermost first
        functions = [name.split(" ")[0] for name in stack]
        assert functions.index("main") < functions.index("open_database")
    assert sum(place["leases"] for place in document["places"]) == 10
    assert sum(place["leaks"] for place in document["places"]) == 3
    assert all(lease["query_us"] + lease["transaction_us"] <= lease["hold_us"]
               for lease in document["leases"])


def test_script_lines(run, report, tmp_path):
    script, path = tmp_path / "app.py", tmp_path / "log"
    script.write_text(SCRIPT)
    run([PYTHON, script], env={"PQPOOL_LOG": path}, check_leases=False)
    document = report(path)
    assert [p["label"] for p in document["places"] if p["script"]] == ["%s:4" % script] * len(document["places"])
    stacks = [names(document, p) for p in document["places"]]
    assert all("load %s:4" % script in s and "psycopg2/__init__.py" in s[-1] for s in stacks)
    assert {s[0].rsplit(":", 1)[1] for s in stacks} == {"5", "7"}


def test_the_leaks_of_a_killed_program_are_those_of_pqpool_leaks(run, program, report, leaks, tmp_path):
    path = tmp_path / "log"
    run([program("holds"), "kill"], check_leases=False, env={"PQPOOL_LOG": path})
    document = report(path)
    wanted = {lease["lease"]: lease["hold_us"] for place in leaks(path).places for lease in place["leases"]}
    ends = {lease["lease"]: lease["hold_us"] for lease in document["leases"] if lease["end"] == "leaked"}
    assert ends == wanted and len(ends) == 7 == document["totals"]["leaks"]


def test_waits(run, program, report, tmp_path):
    path = tmp_path / "log"
    done = run([program("hammer"), "6", "3", "SELECT 42 FROM pg_sleep(0.02)"], env={
        "PQPOOL_SIZE": 2, "PQPOOL_MAX_OVERFLOW": 0, "PQPOOL_LOG": path})
    document = report(path)
    pool, = document["pools"]
    assert pool["waits"] == document["totals"]["waits"] == len(done.events("wait"))
    # Lines of several threads are written a moment after what they tell of.
    assert max(pool["bins"]["open_max"]) == 2 <= max(pool["bins"]["in_use_max"])
    assert max(pool["bins"]["waiting_max"]) >= 1
    assert len(pool["what_if"]) == 6 and pool["limit"] == 2
    row, = [row for row in pool["what_if"] if row["limit"] == pool["limit_each"]]
    assert row["peak"] == 2 and row["size"] == pool["size"]
    assert [s["leases"] for s in document["sessions"]] == sorted(
        (s["leases"] for s in document["sessions"]), reverse=True)
    assert sum(s["leases"] for s in document["sessions"]) == 18
    assert document["session_ends"] == {"exit": 2}


# ---- by hand -----------------------------------------------------------------------------


def test_bins(log, report):
    log.config(2, 0)
    log.hold(1000000, 500000, session=1)
    log.hold(1200000, 500000, wait=100000, session=2)
    document = report(log.path)
    bins = document["pools"][0]["bins"]
    begin = document["from"]
    assert document["to"] - begin == 1800000
    assert bins["width_us"] * (bins["count"] - 1) <= 1800000 < bins["width_us"] * bins["count"]
    assert bins["count"] <= 4000 and all(len(bins[key]) == bins["count"] for key in bins
                                         if key not in ("width_us", "count"))

    def at(key, us):
        return bins[key][us // bins["width_us"]]

    assert [at("in_use_max", us) for us in (900000, 1100000, 1400000, 1600000)] == [0, 1, 2, 1]
    assert at("waiting_max", 1250000) == 1 and at("waiting_max", 1350000) == 0
    assert abs(sum(bins["in_use_avg"]) * bins["width_us"] - 1000000) < 10000
    assert sum(bins["acquired"]) == 2


def test_line_that_was_written_late(log, report):
    """One lease after the other, and the first one's line of its beginning came late."""
    log.config(1, 0)
    log.say(1050000, "acquire lease=1 session=1 backend=9 pool=p wait_us=1")
    log.say(1100000, "release lease=1 session=1 backend=9 pool=p hold_us=100000 kept=yes")
    log.lease = 1
    log.hold(1100000, 100000, pool="p")
    document = report(log.path)
    assert max(document["pools"][0]["bins"]["in_use_max"]) == 1
    assert sorted(lease["acquired"] - document["from"] for lease in document["leases"]) == [1000000, 1100000]


def test_distributions(log, report):
    for hold in (3, 40, 45, 900000):
        log.hold(1000000, hold, wait=7)
    hold, wait = (report(log.path)["pools"][0][key] for key in ("hold", "wait"))
    assert (hold["count"], hold["p50_us"], hold["p90_us"], hold["max_us"]) == (4, 40, 900000, 900000)
    assert hold["buckets"][0] == [5, 1] and [50, 2] in hold["buckets"]
    assert hold["buckets"][-2:] == [[1000000, 1], [None, 0]]
    assert sum(count for _, count in hold["buckets"]) == 4
    assert wait["buckets"] == [[10, 4], [None, 0]]


def test_how_holds_divide(log, report):
    log.say(1000, "acquire lease=1 session=1 backend=9 pool=p wait_us=1")
    log.say(2000, "release lease=1 session=1 backend=9 pool=p hold_us=1000 query_us=600 transaction_us=300 kept=yes")
    place, = report(log.path)["places"]
    assert (place["query_us"], place["transaction_us"], place["idle_us"]) == (600, 300, 100)
    log.text = log.text.replace(" query_us=600 transaction_us=300", "")
    log.say(3000, "wait pool=p in_use=1 waiting=1")
    document = report(log.path)
    assert {document["places"][0][k] for k in ("query_us", "transaction_us", "idle_us")} == {None}
    assert document["leases"][0]["query_us"] is None


def test_limit_is_that_of_all_processes_at_one_time(log, report):
    for pid, begin in ((7, 0), (8, 0), (9, 5000000)):
        log.config(3, 1, pid=pid)
        log.hold(begin + 1000000, 1000, pid=pid)
    log.text = re.sub(r"(03:04:)00(\S+ level=info pid=9 .*config)", r"\g<1>05\2", log.text)
    log.say(9000000, "status msg=x", pid=9)
    pool, = report(log.path)["pools"]
    assert (pool["limit"], pool["limit_each"], pool["size"]) == (8, 4, 3)
    assert (pool["processes"], pool["processes_at_once"]) == (3, 2)


@pytest.mark.parametrize("alive, marked", [(0, True), (1, False)])
def test_restart_of_the_server(log, report, alive, marked):
    for session in range(1, 4 + alive):
        log.say(1000, "session_open session=%d backend=%d pool=p took_us=5" % (session, session))
    for session in range(1, 4):
        log.say(5000 + session, "session_close session=%d backend=%d pool=p reason=ping_failed" % (session, session))
    log.say(9000000, "session_open session=9 backend=9 pool=p took_us=5")
    document = report(log.path)
    marks = [mark for mark in document["marks"] if mark["kind"] == "server_restart"]
    assert [(m["time"] - document["from"], m["pool"]) for m in marks] == ([(4001, 0)] if marked else [])
    assert document["session_ends"] == {"ping_failed": 3}


def test_marks(log, report):
    log.say(1, "timeout pool=p in_use=2 waiting=1 limit=2 wait_us=1500000 verdict=slow")
    log.say(2, 'suspected_deadlock pool=p in_use=2 waiting=2 wait_us=1 msg="all wait"')
    log.say(3, "near_limit pool=p in_use=2 waiting=0 limit=2 since_us=1")
    log.say(4, 'misuse lease=1 session=1 backend=1 pool=p msg="PQexec on a finished connection"')
    log.say(5, "turn_lost pool=p in_use=1 waiting=1 thread=1 begun_us=1 msg=late")
    log.say(6, "rotate_failed error=full lost=3")
    document = report(log.path)
    assert [mark["kind"] for mark in document["marks"]] == [
        "timeout", "deadlock", "near_limit", "misuse", "turn_lost", "lost_lines", "rotate_failed"]
    assert document["marks"][0]["text"] == "no session in 1500 ms: 2 in use of 2, likely cause: slow"
    assert document["totals"]["timeouts"] == document["pools"][0]["timeouts"] == 1
    assert document["totals"]["lost_lines"] == 3


def test_many_marks_do_not_hide_the_few(log, report):
    lines = "".join("time=2026-01-02T03:04:05.%06dZ pid=7 program=a event=timeout pool=p in_use=1 waiting=1 "
                    "wait_us=1 verdict=slow\n" % i for i in range(3000))
    log.say(9000000, 'misuse lease=1 session=1 backend=1 pool=p msg=late')
    log.path.write_text(lines + log.text)
    document = report(log.path)
    assert len(document["marks"]) == 1000 and document["marks"][-1]["kind"] == "misuse"
    assert document["left_out"]["marks"] == 2001 and document["totals"]["timeouts"] == 3000


def test_many_pools_share_one(log, report):
    log.path.write_text("".join(
        "time=2026-01-02T03:04:05.%06dZ pid=7 program=a event=acquire lease=%d session=%d backend=1 pool=p%d "
        "wait_us=1\n" % (i, i + 1, i + 1, i) for i in range(300)))
    pools = report(log.path)["pools"]
    assert len(pools) == 201 and pools[-1]["name"] == "(other pools)" and pools[-1]["acquired"] == 100


def test_forged_strings(log, tool, tmp_path):
    evil = "</script><!--<script>&\u2028"
    with open(log.path, "wb") as file:
        file.write((b'time=2026-01-02T03:04:05.000006Z pid=7 program="%s\xff" event=leak lease=1 session=1 '
                    b'backend=1 pool="%s" hold_us=99999999999999999999 kind=never_released transaction=idle '
                    b'statement="%s"\n') % ((evil.encode(),) * 3))
    plain = tool("report", "--json", log.path).stdout
    document = json.loads(plain)
    assert not re.search("[<>&\u2028]", plain)
    assert document["pools"][0]["name"] == document["leases"][0]["statement"] == evil
    assert document["programs"] == [evil + "\ufffd"] and document["leases"][0]["hold_us"] == 0


def test_nothing_in_it(log, report):
    log.path.write_text("something else\n")
    document = report(log.path)
    assert (document["from"], document["to"], document["pools"], document["leases"]) == (None, None, [], [])
    assert document["logs"][0]["unread"] == 1


# ---- the file ----------------------------------------------------------------------------


def test_page(log, tool, build, tmp_path):
    log.hold(1000, 10)
    page = tmp_path / "page.html"
    page.write_text("old")
    page.chmod(0o644)
    assert tool("report", log.path, "-o", page).returncode == 0
    assert stat.S_IMODE(page.stat().st_mode) == 0o600 and os.listdir(tmp_path) != []
    assert sorted(os.listdir(tmp_path)) == ["log", "page.html"]
    with open(os.path.join(build, "report/page.html"), encoding="utf-8") as file:
        before, behind = file.read().split("@PQPOOL_REPORT_DATA@")
    text = page.read_text()
    assert text.startswith(before) and text.endswith(behind)
    document = json.loads(text[len(before):-len(behind)])
    assert document == json.loads(tool("report", "--json", log.path).stdout)
    assert tool("report", log.path, "--json", "-o", page).returncode == 0
    assert json.loads(page.read_text()) == document


def test_what_is_not_replaced(log, tool, tmp_path):
    log.hold(1000, 10)
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to("precious")
    (tmp_path / "folder").mkdir()
    for name, why in (("link", "it is not a file but a link"), ("folder", "it is not a file"),
                      ("none/page", "No such file or directory")):
        done = tool("report", log.path, "-o", tmp_path / name)
        assert done.returncode == 125 and why in done.stderr and done.stderr.count("\n") == 1
    assert (tmp_path / "precious").read_text() == "precious" and (tmp_path / "link").is_symlink()
    assert len(os.listdir(tmp_path)) == 4
    assert tool("report", "--json", log.path, before=FULL_DISK).returncode == 125


@pytest.mark.parametrize("output", ["log", "log.1", "hard"])
def test_a_log_is_not_replaced(log, tool, tmp_path, output):
    log.hold(1000, 10)
    (tmp_path / "log.1").write_text(log.text)
    (tmp_path / "hard").hardlink_to(log.path)
    done = tool("report", log.path, "-o", tmp_path / output)
    assert done.returncode == 125 and done.stderr == (
        "pqpool: %s: not replaced, as it is a log that was named\n" % (tmp_path / output))
    assert (tmp_path / output).read_text() == log.text and len(os.listdir(tmp_path)) == 3


def test_lost_output_is_said(tool):
    """Whatever the verdict is."""
    shown = tool("doctor", "/bin/true")
    lost = tool("doctor", "/bin/true", before=FULL_DISK)
    assert shown.returncode == lost.returncode == 1
    assert lost.stderr.endswith("pqpool: standard output: No space left on device\n")


@pytest.mark.parametrize("arguments, said", [
    (["x"], "no file to write (-o FILE.html) given"), (["-o", "x"], "no log given"),
    (["x", "--large"], "unrecognized option")])
def test_bad_usage(tool, arguments, said):
    done = tool("report", *arguments)
    assert done.returncode == 2 and said in done.stderr


# ---- long logs ---------------------------------------------------------------------------


def test_long_log(tool, tmp_path):
    """With PQPOOL_STRESS=full a million lines, in 20 s of the processor and 500 MB."""
    leases = 500000 if FULL else 5000
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = made_logs.write(tmp_path / "log", leases)
    assert tool("report", tmp_path / "log", "--json", "-o", tmp_path / "document").returncode == 0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    document = json.loads((tmp_path / "document").read_text())
    assert document["totals"]["acquired"] == leases and document["logs"][0]["lines"] == lines
    assert len(document["leases"]) == 2000 and document["left_out"]["leases"] == leases - 2000
    assert 30 < len(document["places"]) <= made_logs.PLACES
    assert sum(place["leases"] for place in document["places"]) == leases
    assert sum(document["pools"][0]["bins"]["acquired"]) == leases
    if FULL:
        seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        print("%d lines: %.1f s, %d MB, document of %d kB" % (
            lines, seconds, used.ru_maxrss // 1024, os.path.getsize(tmp_path / "document") // 1024))
        assert seconds < 20 and used.ru_maxrss < 500000
