# SPDX-License-Identifier: PostgreSQL
"""What reads the sources without running them: clang-tidy, gcc -fanalyzer, cppcheck.

Each is to say nothing of any file. What is off, and why, stands in .clang-tidy and here; one
place that an analyser misreads is marked there (NOLINT, cppcheck-suppress) with the reason.
"""
import concurrent.futures
import os
import shutil
import subprocess

import pytest

import house

pytestmark = pytest.mark.limit(1800)  # the first waits for all of them
FLAGS = house.flags() + ["-I" + house.path("tools")]
SOURCES = house.sources(r"(shim|tools)/.*\.c")
GCC = ["gcc", "-O1", "-fanalyzer", "-S", "-o", os.devnull,
       # It loses track of what a function found in a list or table, and takes that for NULL or
       # unset, or for lost where a list owns it. clang's analyser asks the same, with better eyes.
       "-Wno-analyzer-null-dereference", "-Wno-analyzer-use-of-uninitialized-value",
       "-Wno-analyzer-malloc-leak"]
CPPCHECK = ["cppcheck", "-q", "--enable=warning,performance,portability", "--inline-suppr",
            "--std=c11", "--error-exitcode=1", "-D_GNU_SOURCE", "-DElfW(type)=Elf64_##type",
            "--suppress=missingIncludeSystem",
            # A variable that a list's loop sets is unset to it, as is one that is set by address.
            "--suppress=uninitvar", "--suppress=ctuuninitvar",
            # And a function that is handed a struct's address does not return it.
            "--suppress=returnDanglingLifetime",
            "-I" + house.path("shim"), "-I" + house.path("tools")]


def analyse(tool, name):
    """What the tool says of a source."""
    argv = {"clang-tidy": ["clang-tidy", "--quiet", name, "--", *FLAGS],
            "gcc": GCC + FLAGS + [name],
            "cppcheck": CPPCHECK + [name]}[tool]
    done = subprocess.run(argv, cwd=house.ROOT, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    said = done.stdout if tool == "clang-tidy" else done.stdout + done.stderr
    return said.strip() or (done.stderr.strip() if done.returncode else "")


@pytest.fixture(scope="session")
def said():
    """All of it, made with as many processes as there are processors."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {(tool, name): pool.submit(analyse, tool, name)
                for tool in ("clang-tidy", "gcc", "cppcheck") for name in SOURCES}
        return {job: future.result() for job, future in jobs.items()}


@pytest.mark.parametrize("tool", ["clang-tidy", "gcc", "cppcheck"])
def test_sees_a_fault(tool, tmp_path):
    """Each is really there, and would say so."""
    assert shutil.which(tool), "%s is not installed" % tool
    fault = tmp_path / "fault.c"
    fault.write_text("#include <stdlib.h>\nvoid fault(void);\nvoid fault(void)\n{\n\tchar *p = malloc(8);\n\n"
                     "\tif (p == NULL) {\n\t\treturn;\n\t}\n\tfree(p);\n\tfree(p);\n}\n")
    assert analyse(tool, str(fault))


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("tool", ["clang-tidy", "gcc", "cppcheck"])
def test_says_nothing(said, tool, name):
    assert said[tool, name] == ""
