# SPDX-License-Identifier: PostgreSQL
"""What a build needs of the machine, and what it says where that is not there."""
import json
import os
import re
import shutil
import subprocess

import house

# What libpq 14 brought to libpq-fe.h and no function shows.
TYPES_OF_14 = [r"typedef enum\s*\{[^}]*\}\s*PGpipelineStatus;",
               r"PGRES_PIPELINE_(SYNC|ABORTED),?[^\n]*(\n\s+\* [^\n]*)*"]


def exported(libpq):
    symbols = house.output("nm", "-D", "--defined-only", libpq)
    return {line.split()[-1].split("@")[0] for line in symbols.splitlines()}


def as_of_13(text, functions):
    """libpq-fe.h without what libpq 13 has not: what its functions are tells the library."""
    text = re.sub(r"#define LIBPQ_HAS_\w+[^\n]*\n", "", text)
    for pattern in TYPES_OF_14:
        text = re.sub(pattern, "", text)
    without = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return re.sub(r"^extern [^;]*?\b(\w+)\([^;]*;",
                  lambda found: found.group() if found.group(1) in functions else "", without,
                  flags=re.M | re.S)


def test_with_the_headers_of_libpq_13(tmp_path, libpq_of):
    include = house.output("pg_config", "--includedir").strip()
    for name in ("libpq-events.h", "postgres_ext.h", "pg_config_ext.h"):
        # No link: gcc takes a system's header by its shortest path, and its neighbours with it.
        shutil.copy(os.path.join(include, name), tmp_path / name)
    with open(os.path.join(include, "libpq-fe.h"), encoding="utf-8") as f:
        header = as_of_13(f.read(), exported(libpq_of("13") + "/libpq.so.5"))
    assert "PQsendQuery" in header and "ipeline" not in header, header
    (tmp_path / "libpq-fe.h").write_text(header)
    flags = [str(tmp_path) if flag == include else flag for flag in house.flags()]
    assert flags != house.flags()
    sources = [house.path(n) for n in house.sources(r"shim/.*\.c")]
    house.output("gcc", *flags, "-Werror", "-fsyntax-only", *sources)


def test_too_old_a_c_library(tmp_path):
    """One sentence, instead of what the compiler would say."""
    compiler = tmp_path / "cc"
    compiler.write_text('#!/bin/sh\ncase " $* " in *" -E "*) echo old;; *) exec gcc "$@";; esac\n')
    compiler.chmod(0o755)
    done = subprocess.run(["make", "--no-print-directory", "-n", "CC=%s" % compiler], cwd=house.ROOT, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r"Makefile:\d+: \*\*\* pqpool needs glibc 2\.35 or newer, to be built and"
                        r" to run\.  Stop\.\n", done.stderr)


def test_missing_headers(tmp_path):
    """One line with the packages that have them, and what for."""
    compiler = tmp_path / "cc"
    compiler.write_text("""#!/bin/sh
case " $* " in
*" -E "*" - "*) ! grep -qE 'elfutils|uthash';;
*) exec gcc "$@";;
esac
""")
    compiler.chmod(0o755)
    for target, missing in [("headers", r"uthash-dev \(.*\)"), ("headers.tool", r"libdw-dev \(.*\)")]:
        done = subprocess.run(["make", "--no-print-directory", "CC=%s" % compiler, "BUILD=%s" % tmp_path,
                               str(tmp_path / target)],
                              cwd=house.ROOT, text=True, capture_output=True, check=False)
        assert done.returncode == 2 and done.stdout == ""
        assert re.fullmatch(r"pqpool needs " + missing, done.stderr.splitlines()[0]), done.stderr


def make_page(tmp_path, *words, path=os.environ["PATH"]):
    return subprocess.run(["make", "--no-print-directory", "BUILD=%s/build" % tmp_path, *words, "%s/build/report/page.html" % tmp_path],
                          cwd=house.ROOT, text=True, capture_output=True, check=False,
                          # Not as a part of the make that runs the tests, and has a jobserver.
                          env={**{k: v for k, v in os.environ.items() if not k.startswith("MAKE")},
                               "PATH": path})


def test_report_page_needs_npm(tmp_path):
    """One line that says so, with no npm and with one that can fetch nothing. A page that a release
    brings needs none."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "make", "mkdir", "cp", "mv", "touch", "find", "tail", "node"):
        (programs / name).symlink_to(shutil.which(name))

    def complaint():
        done = make_page(tmp_path, path=str(programs))
        assert done.returncode == 2 and "no network" not in done.stdout + done.stderr
        line, = [line for line in done.stderr.splitlines() if "not found" not in line and not line.startswith("make: ***")]
        return line

    assert complaint() == "pqpool needs npm (package npm) for the page of pqpool report"
    (programs / "npm").write_text("#!/bin/sh\necho no network; echo no network >&2; exit 1\n")
    (programs / "npm").chmod(0o755)
    assert re.fullmatch(r"pqpool needs npm \(package npm\) and a registry for the page of pqpool report; see \S+/log", complaint())
    (tmp_path / "ready.html").write_text("ready")
    done = make_page(tmp_path, "PAGE_READY=%s/ready.html" % tmp_path, path=str(programs))
    assert done.returncode == 0 and (tmp_path / "build/report/page.html").read_text() == "ready", done.stderr


def test_npm_packages_are_pinned():
    """By version and digest, and from no registry in particular."""
    for name in house.sources(r"(tools|tests)/.*package\.json"):
        wanted = json.loads(house.read(name))
        locked = json.loads(house.read(name.replace(".json", "-lock.json")))["packages"]
        assert locked.pop("") and all(re.fullmatch(r"[\d.]+", version) for version in wanted["dependencies"].values())
        assert locked and all(set(each) & {"integrity", "resolved"} == {"integrity"} for each in locked.values()), name
