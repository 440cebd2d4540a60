# SPDX-License-Identifier: PostgreSQL
"""Ordinary programs, preloaded as they would be, under valgrind's memcheck: no access to what is not
there or has no value yet, no memory that nobody knows any more, in the program and its children."""
import os
import re

import pytest

FOLDER = os.path.dirname(os.path.abspath(__file__))
FLAGS = ["--quiet", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=definite",
         "--errors-for-leak-kinds=definite", "--trace-children=yes", "--num-callers=24",
         "--suppressions=" + os.path.join(FOLDER, "memcheck.supp")]
FULL = {"PQPOOL_SIZE": 1, "PQPOOL_MAX_OVERFLOW": 0}
# Newer ones warn that a status page is none: of a file that is mapped, and nothing that was found.
NO_ELF_FILE = re.compile(r"==\d+== warning: connection to image .* failed\n"
                         r"==\d+== +cannot read program headers *\n")
# Several scenes of programs/unlucky.c in a process, where they do not mind each other.
SCENES = {
    "cycles": (["once", "steps", "state", "cancel", "many"], {}),
    "settings kept": (["state"], {"PQPOOL_RESET": "auto"}),
    "full pool": (["line", "wait"], FULL),
    "threads": (["threads"], {}),
    "forks": (["fork"], {}),
    "exec": (["exec"], {}),
    "rotated log": (["many"], {"PQPOOL_LOG_MAX_SIZE": "1kB"}),
    "prewarmed": (["once"], {"PQPOOL_PREWARM": 2}),
}


def check(run, memory, argv, **options):
    """Runs it under valgrind; the answer, and what valgrind says of any process of it."""
    log = memory / "valgrind.%p"
    done = run(["valgrind", *FLAGS, "--log-file=%s" % log, *argv], timeout=110, **options)
    said = "".join(path.read_text() for path in sorted(memory.glob("valgrind.*")))
    said = NO_ELF_FILE.sub("", said)
    assert said == "" and done.returncode == 0, "%s\n%s" % (done, said)
    return done


@pytest.mark.parametrize("name", SCENES)
def test_preloaded(run, program, memory, name):
    scenes, env = SCENES[name]
    argv = [program("unlucky"), *scenes]
    bare = run(argv, pooled=False, env=env)
    done = check(run, memory, argv, env=env, check_leases=name != "exec")
    # The last lines: whether it was pooled, and the number of descriptors.
    assert done.stdout.splitlines()[:-2] == bare.stdout.splitlines()[:-2]
    assert done.stdout.splitlines()[-2] == "pooled"


def test_leaks(run, program, memory):
    """Reported at the end; and a leak of the program's is none of memory, because the report knows it."""
    done = check(run, memory, [program("leaky")])
    assert len(done.events("leak")) == 3
    assert "3 connections leaked, taken at 2 places" in done.stderr


@pytest.mark.parametrize("scenes", [["once"], ["steps"]])
def test_sharing(run, program, memory, keep, scenes):
    keeper = keep(SIZE=3)
    done = check(run, memory, [program("unlucky"), *scenes], env={"PQPOOL_SHARE": keeper.path})
    assert done.stdout.splitlines()[-2] == "pooled"


def test_what_valgrind_finds_is_a_failure(run, memory, tmp_path):
    """And so nothing above passes because it looks at nothing."""
    source = tmp_path / "wrong.c"
    source.write_text("#include <stdlib.h>\nint main(void) { char *a = malloc(1); return a[0] == 'x' "
                      "? 1 : a[1] == 'y'; }\n")
    run(["gcc", "-g", "-O0", "-o", tmp_path / "wrong", source], pooled=False, server=False)
    with pytest.raises(AssertionError, match="(?s)Invalid read.*"):
        check(run, memory, [str(tmp_path / "wrong")], pooled=False, server=False)
