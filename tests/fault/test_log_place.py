# SPDX-License-Identifier: PostgreSQL
"""A log whose folder cannot be written to, or is gone: the program does not notice."""
import shutil

import pytest

from running import SPAWN_NAMESPACE
from server import wait_until

PID = "SELECT pg_backend_pid()"


def works(s):
    """Two leases of one session."""
    pid = s.connect("a")
    assert s.exec("a", PID) == pid
    s.finish("a")
    assert s.lease() == pid
    return pid


def test_read_only_folder(script, tmp_path):
    """A file system that is mounted so: also root may not write there."""
    folder = tmp_path / "logs"
    folder.mkdir()
    mounted = [*SPAWN_NAMESPACE, "sh", "-c", 'mount -t tmpfs -o ro none "$0" || exit 99\n'
               '! touch "$0/proof" 2>/dev/null || exit 98\nexec "$@"', str(folder)]
    s = script(env={"PQPOOL_LOG": str(folder / "log")}, before=mounted)
    works(s)
    assert s.process.poll() is None
    done = s.end()
    assert done.returncode == 0, "the fault did not happen"
    assert len(done.stderr.splitlines()) <= 1 and not list(folder.iterdir())


@pytest.mark.parametrize("back", [False, True])
def test_folder_that_vanishes(script, tmp_path, back):
    folder = tmp_path / "logs"
    folder.mkdir()
    s = script(env={"PQPOOL_LOG": str(folder / "log")})
    pid = works(s)
    shutil.rmtree(folder)
    assert works(s) == pid
    assert not folder.exists(), "the fault did not happen"
    if back:
        folder.mkdir()
        assert wait_until(lambda: works(s) == pid and s.events("acquire"))
    done = s.end()
    assert done.returncode == 0 and len(done.stderr.splitlines()) <= 1
