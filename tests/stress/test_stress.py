# SPDX-License-Identifier: PostgreSQL
"""Each stress program, linked with the sanitized shim, against the private server."""
import glob
import os

import pytest

import cmocka

FOLDER = os.path.dirname(os.path.abspath(__file__))
NAMES = sorted(os.path.basename(p)[:-2] for p in glob.glob(os.path.join(FOLDER, "*.c")))


@pytest.mark.limit(320)
@pytest.mark.parametrize("name", NAMES)
def test_stress(name, server, build, tmp_path):
    log = {"PQPOOL_LOG": str(tmp_path / "log")}
    status, output = cmocka.run_program(os.path.join(build, "tests/stress", name),
                                        {**server.env(), **log}, timeout=300)
    assert status == 0 and not cmocka.REPORT.search(output), cmocka.status_name(status) + output
