# SPDX-License-Identifier: PostgreSQL
"""The Grafana dashboard: each of its expressions, as a Prometheus that scrapes running programs
evaluates it."""
import json
import math
import os
import re
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request

import pytest

from conftest import BUILD, ROOT, built
from server import bare_environ, wait_until

DASHBOARD = os.path.join(ROOT, "tools/metrics/grafana.json")
SCRAPES = """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs: [{job_name: pqpool, static_configs: [{targets: ["%s"]}]}]
"""


@pytest.fixture(scope="module")
def dashboard():
    with open(DASHBOARD, encoding="utf-8") as f:
        return json.load(f)


def expressions(dashboard):
    """(title of the panel, expression) with the variables as Grafana fills them in."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            expr = target["expr"].replace("$__rate_interval", "30s")
            yield panel["title"], re.sub(r"\$\w+", ".*", expr)


def test_it_can_be_imported(dashboard):
    """Every panel asks the data source that is chosen, and lies where no other does."""
    kinds = [(v["name"], v["type"]) for v in dashboard["templating"]["list"]]
    assert kinds[0] == ("datasource", "datasource")
    places = set()
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert len({p["id"] for p in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"])
                 for y in range(grid["y"], grid["y"] + grid["h"])}
        assert not places & cells and grid["x"] + grid["w"] <= 24
        places |= cells
        assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == source
        assert all(target["datasource"] == source for target in panel["targets"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


class Prometheus:
    """A server that scrapes one target each second."""

    def __init__(self, program, target, folder):
        config = os.path.join(folder, "prometheus.yml")
        with open(config, "w", encoding="ascii") as f:
            f.write(SCRAPES % target)
        self.process = subprocess.Popen(
            [program, "--config.file=" + config, "--web.listen-address=127.0.0.1:0",
             "--storage.tsdb.path=" + os.path.join(folder, "data")],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.log = []
        self.address = None
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        assert wait_until(lambda: self.address), "".join(self.log)

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r'msg="Listening on".* address=(127\.0\.0\.1:\d+)', line)
            self.address = found.group(1) if found else self.address

    def ask(self, path, **query):
        url = "http://%s/api/v1/%s?%s" % (self.address, path, urllib.parse.urlencode(query))
        with urllib.request.urlopen(url, timeout=30) as response:
            answer = json.load(response)
        assert answer["status"] == "success"
        return answer["data"]

    def has(self, expr):
        """True if it has a series, and a number at this time."""
        values = [float(series["value"][1]) for series in self.ask("query", query=expr)["result"]]
        return any(not math.isnan(value) for value in values)

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.reader.join(timeout=30)
        self.process.stderr.close()


@pytest.fixture
def prometheus(run, keep, tmp_path):
    """A Prometheus that scrapes what `pqpool metrics` shows of this test's programs and keeper."""
    program = shutil.which("prometheus") or os.path.join(BUILD, "tests/prometheus/prometheus")
    if not os.path.exists(program):
        pytest.skip("no prometheus; see build/tests/prometheus/log")
    keeper = keep(SIZE=5)
    metrics = subprocess.Popen(
        [built("pqpool"), "metrics", "--listen", "0"], stdout=subprocess.PIPE, text=True,
        env={**bare_environ(), "XDG_RUNTIME_DIR": run.folder, "PQPOOL_SHARE": keeper.path})
    target = re.fullmatch(r"http://(.*)/metrics\n", metrics.stdout.readline()).group(1)
    server = Prometheus(program, target, str(tmp_path))
    server.keeper = keeper
    yield server
    server.end()
    metrics.terminate()
    assert metrics.wait(timeout=30) == 0
    metrics.stdout.close()


class Work:
    """Programs that do all that the dashboard shows, again and again."""

    def __init__(self, script, keeper):
        self.script = script(env={"PQPOOL_SIZE": 1, "PQPOOL_MAX_OVERFLOW": 0, "PQPOOL_TIMEOUT": "20"})
        self.hasty = script(env={"PQPOOL_SIZE": 1, "PQPOOL_MAX_OVERFLOW": 0, "PQPOOL_TIMEOUT": "50ms"})
        self.hasty.connect("held")
        self.sharing = script(env={"PQPOOL_SHARE": keeper.path})
        self.sharing.connect("held")

    def do(self):
        self.script.connect("a")
        waits = len(self.script.events("wait"))
        self.script.do("begin", "b")
        assert wait_until(lambda: len(self.script.events("wait")) > waits)
        self.script.finish("a")
        self.script.join("b")
        self.script.do("exec", "b", "SELECT pg_terminate_backend(pg_backend_pid())")
        self.script.finish("b")
        self.hasty.refused("b")


@pytest.mark.limit(180)
def test_every_panel_shows_something(prometheus, script, dashboard):
    work = Work(script, prometheus.keeper)
    empty = dict(enumerate(expressions(dashboard)))

    def all_are_shown():
        work.do()
        for number, (_, expr) in list(empty.items()):
            if prometheus.has(expr):
                del empty[number]
        return not empty

    assert wait_until(all_are_shown, 60, interval=0.3), empty
    target, = prometheus.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    # What the variables offer.
    for name in ("program", "pool"):
        assert prometheus.ask("label/%s/values" % name, **{"match[]": "pqpool_sessions_in_use"})
    # As OpenMetrics it knows the families' types and units.
    about = prometheus.ask("metadata", metric="pqpool_hold_duration_seconds")
    assert about["pqpool_hold_duration_seconds"][0]["type"] == "histogram"
    assert about["pqpool_hold_duration_seconds"][0]["unit"] == "seconds"
