# SPDX-License-Identifier: PostgreSQL
"""What the documents say of the tree is so: files, links, folders, functions, ranks."""
import os
import re

import pytest

import house

DOCUMENTS = house.sources(r"README\.md|(shim|tests|tools|tests/clients|tools/recipes)/README\.md|tools/recipes/[\w-]+\.md|\.github/\w+\.md")
KIND = r"\.(?:c|h|def|map|py|sh|mk|md)"
# A file or a folder; short names without a folder are examples.
FILE = re.compile(r"(?:[\w.-]+/)+[\w-]+%s|[\w-]{3,}%s|(?:[\w-]+/)+" % (KIND, KIND))


def words(name):
    """What stands in backticks, outside of examples."""
    text = re.sub(r"^(?:    |```).*$", "", house.read(name), flags=re.M)
    return re.findall(r"`([^`\n]+)`", text)


def exists(path):
    """From the top or from any folder, so that a document may say the end of a path alone."""
    if path.endswith("/"):
        return any("/" + path in "/" + file for file in house.tracked())
    return any(("/" + file).endswith("/" + path) for file in house.tracked())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_are_there(name):
    named = {word for word in words(name) if FILE.fullmatch(word) and word != "build/"}
    links = set(re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", house.read(name)))
    missing = {path for path in named if not exists(path)}
    missing |= {link for link in links
                if not os.path.exists(house.path(os.path.join(os.path.dirname(name), link)))}
    assert not missing, "%s names what is not there: %s" % (name, missing)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_within_lead_somewhere(name):
    text = house.read(name)
    titles = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
              for title in re.findall(r"^#+ (.*)$", text, re.M)}
    missing = set(re.findall(r"\]\(#([^)]+)\)", text)) - titles
    assert not missing, "%s has no such title: %s" % (name, missing)


def test_functions_are_there():
    code = "".join(house.read(name) for name in house.sources(r"shim/.*\.[ch]"))
    named = {word[:-2] for word in words("shim/README.md") if re.fullmatch(r"[a-z]\w+\(\)", word)}
    missing = {name for name in named if not re.search(r"\b%s\(" % name, code)}
    assert len(named) > 10 and not missing, "shim/README.md: no function %s" % missing


def test_folders_are_those_of_the_floors():
    rows = re.findall(r"^\| ([\w/]+)/ \|", house.read("shim/README.md"), re.M)
    assert len(rows) == len(set(rows))
    above = {folder for row in rows for folder in house.FLOORS if folder.startswith(row)}
    assert above == set(house.FLOORS) and set(rows) <= set(house.FLOORS)


def test_ranks_are_those_of_the_locks():
    ranks = re.findall(r"^\t(LOCK_\w+),", house.read("shim/base/lock.h"), re.M)
    rows = re.findall(r"^\| (LOCK_\w+) \|", house.read("shim/README.md"), re.M)
    assert rows == [rank for rank in ranks if rank != "LOCK_RANKS"]


def test_the_list_of_what_is_not_covered_names_files_and_functions_that_are_there():
    rows = re.findall(r"^\| (shim/\S+) \| (.*) \|$", house.read("tests/coverage.md"), re.M)
    assert len(rows) > 30
    for path, said in rows:
        source = house.read(path)
        for name in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", said):
            assert re.search(r"\b%s\(" % name, source), "%s has no %s" % (path, name)
