# SPDX-License-Identifier: PostgreSQL
"""The fuzz targets, each for a moment, always with the same inputs: `make fuzz` runs them for long."""
import os
import subprocess
import sys

import pytest

from conftest import built

HERE = os.path.dirname(os.path.abspath(__file__))
RUNS = {"fuzz_reply": 30000, "fuzz_start_record": 30000, "fuzz_ask": 20000, "fuzz_keeper": 500,
        "fuzz_config": 20000, "fuzz_statement": 20000, "fuzz_log": 10000, "fuzz_page": 5000,
        "fuzz_suppressions": 20000, "fuzz_elf": 20000, "fuzz_elf_image": 20000,
        "fuzz_script": 20000, "fuzz_service_file": 20000,
        "fuzz_http_request": 20000}


def test_each_target_has_its_number_of_runs():
    assert sorted(RUNS) == sorted(name[:-2] for name in os.listdir(HERE)
                                  if name.startswith("fuzz_") and name.endswith(".c"))


@pytest.mark.parametrize("target", RUNS)
def test_target(memory, tmp_path, target):
    subprocess.run([sys.executable, os.path.join(HERE, "seeds.py"), tmp_path], check=True)
    found = tmp_path / "found"  # what it finds goes there
    found.mkdir()
    done = subprocess.run(
        [built("fuzz/" + target), "-seed=1", "-runs=%d" % RUNS[target], "-print_final_stats=1",
         "-artifact_prefix=%s/" % tmp_path, found, tmp_path / target],
        env={**os.environ, "TMPDIR": str(memory)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done %d runs" % RUNS[target] in done.stderr
    assert not os.listdir(memory)
