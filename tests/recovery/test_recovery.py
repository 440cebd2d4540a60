# SPDX-License-Identifier: PostgreSQL
"""How long it takes after a fault until the program works again: from the moment that the fault has
happened, and its cause is over, to the end of the first lease that works. Bare and pooled by turns;
`make recovery` prints the medians as rows of a table. The pooled program has an idle session that
the fault hits."""
import os
import signal
import statistics
import time

import pytest

from conftest import built
from fault.cutter import Cutter
from keeper import Keeper
from network import Nat, flows
from server import HBA, Server, wait_until

ROUNDS = 5
GIVE_UP = 30  # seconds


@pytest.fixture(scope="module", name="own")
def _own():
    with Server(settings={"shared_buffers": "1MB"}) as server:
        yield server


def until_it_works(s):
    """Seconds, and how many leases failed before."""
    begin = time.monotonic()
    for failed in range(1000):
        if s.do("connect", "again").isdigit() and "PGRES_TUPLES_OK" in s.do("exec", "again", "SELECT 1"):
            s.finish("again")
            return time.monotonic() - begin, failed
        s.finish("again")
        assert time.monotonic() < begin + GIVE_UP, "it does not work again"
    raise AssertionError("it does not work again")


def measure(name, start, cause, undo=lambda s: None):
    seconds, failed = ([], []), ([], [])
    for _ in range(ROUNDS):
        for pooled in (False, True):
            s = start(pooled)
            before = s.lease()
            cause(s, before)
            took, times = until_it_works(s)
            seconds[pooled].append(took)
            failed[pooled].append(times)
            undo(s)
            s.end()
    print("\n| %s | %s |" % (name, " | ".join("%.0f ms, %d failed" % (
        1000 * statistics.median(seconds[pooled]), max(failed[pooled])) for pooled in (False, True))))


def gone(pid):
    return not os.path.exists("/proc/" + pid)


@pytest.mark.limit(300)
@pytest.mark.parametrize("fault", ["terminated", "killed", "fast", "immediate", "kill"])
def test_server(script, own, fault):
    def cause(_s, before):
        if fault == "terminated":
            own.terminate()
        elif fault == "killed":
            victims = own.sessions()
            os.kill(int(victims[0]["pid"] if victims else own.sql(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")[0][0]),
                signal.SIGKILL)
        else:
            own.restart(fault)
        assert wait_until(lambda: gone(before), 30), "the fault did not happen"

    names = {"terminated": "backend terminated", "killed": "a server process killed",
             "fast": "server restarted fast", "immediate": "server restarted at once",
             "kill": "postmaster killed and started"}
    measure(names[fault], lambda pooled: script(server=own, pooled=pooled), cause)


def stop(_s, before):
    if not gone(before):
        os.kill(int(before), signal.SIGSTOP)


def test_a_backend_that_hangs(script, own):
    stopped = []

    def cause(s, before):
        stop(s, before)
        stopped.append(before)

    def undo(_s):
        if not gone(stopped[-1]):
            os.kill(int(stopped[-1]), signal.SIGCONT)

    measure("backend stopped (SIGSTOP)", lambda pooled: script(server=own, pooled=pooled, tcp=True),
            cause, undo)


@pytest.mark.limit(300)
@pytest.mark.parametrize("how", ["forgotten", "reset", "rejected", "half-open"])
def test_network(script, network, far_server, how):
    def start(pooled):
        return script(server=far_server, pooled=pooled, before=network.before, tcp=True,
                      env=network.env(far_server))

    def cause(s, before):
        if not s.log_name:
            return  # a bare program has no connection now
        if how == "forgotten":
            network.forget(s.process.pid, far_server.port)
        elif how == "half-open":
            since = network.dropped()
            network.cut(s.process.pid, far_server.port, "dropped")
            far_server.terminate("pid = %s" % before)
            network.await_drop(since)
            network.mend()
        else:
            network.cut(s.process.pid, far_server.port, how)

    def undo(_s):
        network.mend()
        far_server.terminate()

    names = {"forgotten": "network forgot all flows", "reset": "packets of a flow answered by a reset",
             "rejected": "packets of a flow rejected (ICMP)", "half-open": "half-open"}
    measure(names[how], start, cause, undo)


# ---- new connections are refused; nothing is idle ----------------------------------------------


def refused(s):
    assert not s.do("connect", "new").isdigit(), "the fault did not happen"
    s.finish("new")


def rules(server, text):
    begin = server.marker()
    with open(server.data + "/pg_hba.conf", "w", encoding="ascii") as f:
        f.write(text)
    server.sql("SELECT pg_reload_conf()")
    assert wait_until(lambda: "received SIGHUP" in server.log_text(begin))


ACCOUNTS = {  # how it is refused, and no longer
    "password changed, and back": (
        "ALTER ROLE tester PASSWORD 'second'", "ALTER ROLE tester PASSWORD 'first'"),
    "LOGIN taken away, and given": ("ALTER ROLE tester NOLOGIN", "ALTER ROLE tester LOGIN"),
    "limit of a role reached, and raised": (
        "ALTER ROLE tester CONNECTION LIMIT 0", "ALTER ROLE tester CONNECTION LIMIT -1"),
    "limit of a database reached, and raised": (
        "ALTER DATABASE tester CONNECTION LIMIT 0", "ALTER DATABASE tester CONNECTION LIMIT -1"),
    "database dropped by force, and made again": (
        "DROP DATABASE tester WITH (FORCE)", "CREATE DATABASE tester OWNER tester"),
    "role dropped, and made again": (
        "ALTER DATABASE tester OWNER TO postgres; DROP ROLE tester",
        "CREATE ROLE tester LOGIN PASSWORD 'first'"),
}


@pytest.mark.limit(300)
@pytest.mark.parametrize("name", [*ACCOUNTS, "pg_hba.conf rejects, and no longer"])
def test_refused(script, account, name):
    def cause(s, before):
        account.terminate("usename = 'tester'")
        assert wait_until(lambda: gone(before))
        if name in ACCOUNTS:
            begin, end = ACCOUNTS[name]
            account.sql(begin)
            refused(s)
            account.sql(end)
        else:
            rules(account, "host all tester all reject\n" + HBA)
            assert wait_until(lambda: "rejects" in s.do("connect", "new"))
            s.finish("new")
            rules(account, HBA)
            assert wait_until(lambda: account.sql(
                "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'reject'") == [["0"]])

    where = {**account.env("tester", tcp=True), "PGPASSWORD": "first"}
    measure(name, lambda pooled: script(server=account, pooled=pooled, env=where), cause)


@pytest.mark.limit(300)
def test_no_room(script, new_server):
    """Others have all of max_connections, and give them back."""
    full = new_server(settings={"max_connections": "8", "superuser_reserved_connections": "1",
                                "max_wal_senders": "0"})

    def cause(s, before):
        full.terminate()
        assert wait_until(lambda: gone(before))
        others = script(server=full, pooled=False)
        for name in "abcdefg":
            others.connect(name)
        refused(s)
        others.finish(*"abcdefg")
        others.end()
        assert wait_until(lambda: not full.sessions())

    measure("max_connections reached, and free", lambda pooled: script(server=full, pooled=pooled),
            cause)


@pytest.mark.limit(300)
@pytest.mark.parametrize("how", ["refused", "unreachable"])
def test_firewall(script, network, far_server, how):
    def cause(s, before):
        far_server.terminate()
        assert wait_until(lambda: gone(before))
        network.refuse(far_server.port, how)
        refused(s)
        network.mend()

    names = {"refused": "new connections refused by a reset, and no longer",
             "unreachable": "new connections refused by ICMP, and no longer"}
    measure(names[how], lambda pooled: script(server=far_server, pooled=pooled, tcp=True,
                                              before=network.before,
                                              env=network.env(far_server)), cause)


@pytest.mark.limit(300)
@pytest.mark.parametrize("way", ["plain", "tls"])
def test_cut(script, tls_server, way):
    """A connection is cut as it begins."""
    cutter = Cutter(tls_server.port)

    def cause(s, before):
        tls_server.terminate()
        assert wait_until(lambda: gone(before))
        cuts = cutter.cuts
        cutter.budget = 100
        refused(s)
        assert wait_until(lambda: cutter.cuts > cuts), "the fault did not happen"
        cutter.budget = None

    env = {**tls_server.ways()["tls"], "PGPORT": cutter.port}
    if way == "plain":
        env = {**tls_server.env(tcp=True), "PGPORT": cutter.port, "PGSSLMODE": "disable"}
    names = {"plain": "connection cut while it begins", "tls": "TLS cut in a handshake"}
    try:
        measure(names[way], lambda pooled: script(server=tls_server, pooled=pooled, env=env), cause)
    finally:
        Cutter.shut(cutter.listener)
        cutter.listener.close()


# ---- what is idle is ended, or lost --------------------------------------------------------------


@pytest.mark.limit(300)
def test_idle_session_timeout(script, own):
    def cause(_s, before):
        assert wait_until(lambda: gone(before)), "the fault did not happen"

    measure("idle_session_timeout", lambda pooled: script(
        server=own, pooled=pooled, env={"PGOPTIONS": "-c idle_session_timeout=100ms"}), cause)


@pytest.mark.limit(300)
def test_nat(script, far_server):
    with Nat(3) as nat:
        def cause(s, _before):
            if s.log_name:
                assert wait_until(lambda: not flows(s.process.pid, far_server.port) & nat.known())

        measure("a NAT forgot all idle flows", lambda pooled: script(
            server=far_server, pooled=pooled, tcp=True, before=nat.before,
            env=nat.env(far_server)), cause, lambda s: far_server.terminate())


@pytest.mark.limit(300)
def test_name_moved(script, network, far_server, tmp_path):
    hosts, other = tmp_path / "hosts", network.other_address()

    def start(pooled):
        hosts.write_text(network.address + " db\n")
        return script(server=far_server, pooled=pooled, tcp=True,
                      before=network.before_with_hosts(hosts),
                      env={**network.env(far_server), "PGHOST": "db"})

    def cause(s, _before):
        hosts.write_text(other + " db\n")
        if s.log_name:
            network.forget(s.process.pid, far_server.port)

    def undo(_s):
        network.mend()
        far_server.terminate()

    measure("host name moved, the old server silent", start, cause, undo)


@pytest.mark.limit(300)
def test_first_host_lost(script, new_server):
    """Of two; then it is back."""
    first, second = new_server(), new_server()
    env = {"PGHOST": "%s,%s" % (first.folder.path, second.folder.path),
           "PGPORT": "%d,%d" % (first.port, second.port)}

    def cause(_s, before):
        first.halt("fast")
        assert wait_until(lambda: gone(before)), "the fault did not happen"

    measure("first host of two lost", lambda pooled: script(server=first, pooled=pooled, env=env),
            cause, lambda _s: first.launch())


# ---- the program's own side ---------------------------------------------------------------------


@pytest.mark.limit(300)
def test_keeper_killed(script, own, tmp_path):
    """The bare column is a program that does not share."""
    with Keeper(built("pqpool"), tmp_path) as keeper:
        def cause(_s, _before):
            keeper.kill()

        def undo(_s):
            keeper.start()

        measure("keeper killed (PQPOOL_SHARE)", lambda pooled: script(
            server=own, pooled=pooled, env={"PQPOOL_SHARE": keeper.path}), cause, undo)
