# SPDX-License-Identifier: PostgreSQL
"""A drop-in for a unit of one's own."""
import pytest

from recipes.asking import REQUESTS, SET_UP

JOB = """import psycopg2
for _ in range(%d):
    conn = psycopg2.connect("user=app dbname=app")
    print(conn.get_backend_pid())
    conn.close()
"""
HARDENED = """
User=www-data
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=strict
ProtectHome=yes
NoNewPrivileges=yes
MemoryDenyWriteExecute=yes
AmbientCapabilities=CAP_NET_BIND_SERVICE
SystemCallFilter=@system-service
"""


def run_job(machine, program="/usr/bin/python3", more=""):
    """Runs the unit shop once; the sessions that it had."""
    machine.write("/srv/shop/job.py", JOB % REQUESTS)
    machine.write("/etc/systemd/system/shop.service", "[Service]\nType=oneshot\nStandardOutput="
                  "file:/run/shop\nExecStart=%s /srv/shop/job.py\n%s" % (program, more))
    machine.run("rm -f /run/shop; systemctl daemon-reload; systemctl restart shop.service")
    pids = machine.run("cat /run/shop").split()
    assert len(pids) == REQUESTS
    return set(pids)


@pytest.mark.parametrize("more", ["", HARDENED], ids=["plain", "hardened"])
def test_systemd(machine, page, more):
    assert len(run_job(machine, more=more)) == REQUESTS
    page("systemd").follow(machine, SET_UP)
    assert len(run_job(machine, more=more)) == 1


def test_systemd_with_a_program_of_capabilities(machine, page):
    """Which is not preloaded, and runs as ever."""
    machine.run("cp /usr/bin/python3 /usr/local/bin/able; setcap cap_net_raw+ep /usr/local/bin/able")
    run_job(machine)
    page("systemd").follow(machine, SET_UP)
    user = "User=www-data\n"
    assert len(run_job(machine, "/usr/local/bin/able", user)) == REQUESTS
    assert len(run_job(machine, more=user + "AmbientCapabilities=CAP_NET_RAW\n")) == 1


def test_the_keeper_is_started_once_programs_can_connect(machine):
    """Its unit is waited for: a program right after it finds the keeper."""
    show = "runuser -u www-data -- pqpool keep --socket /run/pqpool-www-data/keeper.socket show"
    said = machine.run("systemctl start pqpool-keep@www-data; %s; systemctl show "
                       "--property=Type,ActiveState pqpool-keep@www-data" % show)
    assert "kind=keeper" in said and "Type=notify\nActiveState=active\n" in said
    machine.run("systemctl reload pqpool-keep@www-data; systemctl stop pqpool-keep@www-data")
    assert machine.run("systemctl show --property=Result pqpool-keep@www-data") == "Result=success\n"
