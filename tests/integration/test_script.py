# SPDX-License-Identifier: PostgreSQL
"""Script lines: log and report name the file and line of the script that connected."""
import os
import re
import shutil
from collections import Counter

import pytest

from reports import read_report
from running import PYTHON

SCRIPTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                       "programs", "scripts")
LEAKS = {
    "psycopg2": (PYTHON, "leaks.py", "psycopg2"),
    "psycopg": (PYTHON, "leaks.py", "psycopg"),
    "perl": ("/usr/bin/perl", "leaks.pl"),
    "php": ("/usr/bin/php", "leaks.php", "pgsql"),
    "php_pdo": ("/usr/bin/php", "leaks.php", "pdo"),
    "ruby": ("/usr/bin/ruby", "leaks.rb"),
}
FRAME = re.compile(r"(.+):([1-9][0-9]*)(?:\((.+)\))?")


def path(name):
    return os.path.join(SCRIPTS, name)


def marked(name, mark, folder=SCRIPTS):
    """The places in a script whose line ends with this comment, and the comment's number."""
    places = {}
    with open(os.path.join(folder, name), encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if match := re.search(r"(?:#|//) %s(?: (\d+))?$" % mark, line):
                places["%s:%d" % (os.path.join(folder, name), number)] = int(match.group(1) or 1)
    assert places, "no line marked %s in %s" % (mark, name)
    return places


def place(name, mark):
    (only,) = marked(name, mark)
    return only


def held(result):
    """By script line, what was held to the end: leaked or kept."""
    return Counter(event.get("script")
                   for event in result.events("leak") + result.events("kept"))


@pytest.fixture
def start(run):
    """start("x.py", args...): runs a script with its interpreter, pooled, which must succeed."""
    interpreters = {"py": PYTHON, "pl": "/usr/bin/perl", "php": "/usr/bin/php",
                    "rb": "/usr/bin/ruby"}

    def go(name, *args, **options):
        interpreter = interpreters[name.rsplit(".", 1)[1]]
        file = name if os.path.isabs(name) else path(name)
        result = run([interpreter, file, *map(str, args)], **options)
        assert result.returncode == 0, result
        return result

    return go


@pytest.mark.parametrize("client", LEAKS)
def test_names_the_lines_that_leak(run, client):
    """Two lines of ten, however they were reached, with the right counts."""
    interpreter, name, *args = LEAKS[client]
    result = run([interpreter, path(name), *args], env={"PQPOOL_SIZE": 20})
    expected = marked(name, "leaks")
    assert result.returncode == 0, result
    assert len(expected) == 2 and held(result) == expected
    acquired = Counter(event["script"] for event in result.events("acquire"))
    assert len([p for p in acquired if p.startswith(path(name))]) >= 9, acquired
    report = read_report(result.stderr)
    counts = Counter()
    for group in report.places:
        counts[group.script] += group.count
    assert counts == expected
    assert "\\x" not in result.stderr


@pytest.mark.parametrize("client", LEAKS)
def test_tells_all_frames(run, client):
    """Innermost first: the driver's, if it has some in this language, then the script's."""
    interpreter, name, *args = LEAKS[client]
    result = run([interpreter, path(name), *args], env={"PQPOOL_SIZE": 20})
    for event in result.events("leak"):
        (stack,) = result.events("stack", stack=event["stack"])
        frames = stack["script_frames"].split(" ")
        own = [f for f in frames if f.startswith(path(name))]
        assert len(own) == 2 or (client == "ruby" and len(own) == 3), frames  # a block is one
        assert own[0].startswith(event["script"] + "(")
        last = [f for f in frames if not f.startswith("<internal:")]  # Integer#times in Ruby 3.3
        assert last[-len(own):] == own
        assert all(FRAME.fullmatch(f) for f in frames if f != "..."), frames
        assert "%s(" % interpreter not in stack["frames"], "the interpreter's own are left out"


def test_helper_and_caller(run):
    """The place is where the connect stands; the stacks still tell its callers apart."""
    result = run([PYTHON, path("leaks.py"), "psycopg2"], env={"PQPOOL_SIZE": 20})
    audit = sorted(marked("leaks.py", "leaks"))[1]
    stacks = {e["stack"] for e in result.events("leak", script=audit)}
    frames = [e["script_frames"] for e in result.events("stack") if e["stack"] in stacks]
    assert len(stacks) == len(set(frames)) == 2


def test_one_line_is_one_stack(start, tmp_path):
    """However often it runs: an interpreter takes other ways through itself when code is hot."""
    file = tmp_path / "hot.py"
    file.write_text("import psycopg2\nfor i in range(60):\n    psycopg2.connect('').close()\n")
    result = start(str(file))
    assert len({e["stack"] for e in result.events("acquire")}) == 1
    assert len({e["stack"] for e in result.events("release")}) == 1


def test_releases_tell_theirs(start, tmp_path):
    file = tmp_path / "two.py"
    file.write_text("import psycopg2\nc = psycopg2.connect('')\n\nc.close()\n")
    result = start(str(file))
    assert [e["script"] for e in result.events("acquire")] == ["%s:2" % file]
    assert [e["script"] for e in result.events("release")] == ["%s:4" % file]


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_depth(start, depth):
    result = start("leaks.py", "psycopg2", env={"PQPOOL_SIZE": 20, "PQPOOL_STACK_DEPTH": depth})
    assert held(result) == marked("leaks.py", "leaks")
    for event in [e for e in result.events("stack") if "script_frames" in e]:
        assert len(event["script_frames"].replace("... ", "").split(" ")) <= max(depth, 1)
        assert len(event["frames"].split(" ")) <= max(depth, 1)


def test_strange_names(start, tmp_path):
    folder = tmp_path / "my app"
    folder.mkdir()
    for suffix in ("py", "pl", "php", "rb"):
        shutil.copy(path("leaks." + suffix), folder / ("l\u00e4ck \u20ac \U0001f418." + suffix))
    for client, (_, name, *args) in LEAKS.items():
        file = "l\u00e4ck \u20ac \U0001f418." + name.rsplit(".", 1)[1]
        result = start(str(folder / file), *args, env={"PQPOOL_SIZE": 20, "LC_ALL": "C.UTF-8"})
        assert held(result) == marked(file, "leaks", str(folder)), client


def test_threads(start):
    """Each thread has its own line, whatever the others do to Python meanwhile."""
    times = 60
    result = start("threads.py", times, timeout=110)
    lines = [place("threads.py", "thread " + n) for n in ("one", "two", "three", "four")]
    assert held(result) == {line: 1 for line in lines}
    assert Counter(e["script"] for e in result.events("acquire")) == {
        line: times + 1 for line in lines}
    for line in lines:
        assert len({e["tid"] for e in result.events("acquire", script=line)}) == 1


def test_daemon_threads_at_the_end(start):
    """Python frees their frames while they are in a connect."""
    for _ in range(8):
        result = start("daemons.py", check_leases=False)
        assert result.stdout == "ended\n"


def test_tasks(start):
    """Coroutines: the line of the task, not of the loop that runs it."""
    result = start("tasks.py")
    assert held(result) == {place("tasks.py", "task one"): 1, place("tasks.py", "task two"): 2}
    assert len(result.events("acquire", script=place("tasks.py", "tidy"))) == 2


def test_thread_unknown_to_python(start):
    result = start("strangers.py")
    own, other = result.events("acquire")
    assert own["script"] == place("strangers.py", "own")
    assert "script" not in other and other["tid"] != own["tid"]
    assert result.events("release")[0]["script"] == place("strangers.py", "other")


def test_perl_threads(start):
    result = start("threads.pl")
    assert Counter(e["script"] for e in result.events("acquire")) == {
        place("threads.pl", "thread"): 15, place("threads.pl", "main"): 1}


def test_ruby_compaction(start):
    """ruby-pg connects without the GVL: others may move the objects that tell the lines."""
    times = 25
    result = start("compact.rb", times, timeout=110)
    named = Counter(e.get("script") for e in result.events("acquire"))
    named.pop(None, None)  # on any doubt there is no line
    assert set(named) <= {place("compact.rb", "here"), place("compact.rb", "kept")}
    assert sum(named.values()) > 2 * times


def test_php_compiled(run):
    """Compiled code calls the driver with none of PHP's own in between."""
    options = ["opcache.enable_cli=1", "opcache.jit=1255", "opcache.jit_buffer_size=32M"]
    result = run(["/usr/bin/php", *sum((["-d", o] for o in options), []), path("hot.php")])
    assert result.stdout == "bool(true)\n", result
    assert Counter(e.get("script") for e in result.events("acquire")) == {
        place("hot.php", "hot"): 400}
    assert len({e["stack"] for e in result.events("acquire")}) == 1


def test_programs_in_c_have_none(run, program):
    result = run([program("leaky")])
    assert result.events("acquire")
    assert not [e for e in result.log if "script" in e or "script_frames" in e]
