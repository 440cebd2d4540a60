# SPDX-License-Identifier: PostgreSQL
"""The page that `pqpool report` makes of a real program's log, looked at in a browser."""
import os
import subprocess


def test_program_that_leaks(run, program, browser, build, tmp_path):
    log, file = tmp_path / "leaky.log", tmp_path / "report.html"
    run([program("leaky")], env={"PQPOOL_LOG": str(log)})
    subprocess.run([os.path.join(build, "pqpool"), "report", log, "-o", file], check=True)
    shown = browser.open(file)
    shown.settle()
    assert shown.run("[...document.querySelectorAll('.tile-value')].map((value) => value.textContent)") == [
        "10", "3", "3 of 30", "0", "0", "3"]
    assert shown.run("document.querySelector('h1').textContent") == "leaky"
    assert shown.run("document.querySelector('#leases').textContent.match(/leaked/g).length") == 3
    shown.run("document.querySelectorAll('#leases button.opener').forEach((button) => button.click())")
    text = shown.run("document.body.textContent")
    assert all(name in text for name in ("open_database", "bill_customer", "main"))
    assert "called by bill_customer" in text and "called by print_report" in text
    assert "The limit of 30 is far above what is drawn." in text
    # The whole stack is in the flame graph, the caller above the callee.
    frames = shown.run("[...document.querySelectorAll('.frame')].map((frame) => [frame.textContent, frame.ariaLevel])")
    level = {name: min(int(level) for text, level in frames if name in text) for name in ("main", "open_database")}
    assert level["main"] < level["open_database"]
    # Of a plot there is something to be seen.
    assert shown.run("document.querySelector('.plot canvas').width > 500 && document.querySelectorAll('.histogram rect.fill').length > 0")
    assert shown.errors == [] and shown.requests == []
    shown.close()
