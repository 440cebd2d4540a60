# SPDX-License-Identifier: PostgreSQL
"""browser     a Chromium for the tests of a file
made        made("shop"): a file, the page with these data (report_data.py)
page        page("shop", width=390, dark=True): the file opened in it
axe         the checker of accessibility, a script
"""
import os
import pathlib

import pytest

import report_data
from chromium import Chromium


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture(scope="module")
def made(tmp_path_factory, build):
    """made("shop"): the file with these data, made once."""
    folder = tmp_path_factory.mktemp("pages")

    def path(name):
        file = folder / (name + ".html")
        if not file.exists():
            data = getattr(report_data, name)()
            file.write_text(report_data.document(pathlib.Path(build, "report/page.html").read_text(encoding="utf-8"), data), encoding="utf-8")
        return file

    return path


@pytest.fixture
def page(browser, made):
    """page("shop", width=390, dark=True): opened; at the end of the test nothing has gone wrong in it,
    and nothing was asked of the network."""
    opened = []

    def get(name, **looks):
        opened.append(browser.open(made(name), **looks))
        return opened[-1]

    yield get
    for each in opened:
        each.settle()
        assert each.errors == [] and each.requests == []
        each.close()


@pytest.fixture(scope="module")
def axe(build):
    script = pathlib.Path(build, "tests/page/npm/node_modules/axe-core/axe.min.js")
    if not script.exists():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("npm could not fetch axe-core")
    return script.read_text(encoding="utf-8")
