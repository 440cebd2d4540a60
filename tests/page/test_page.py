# SPDX-License-Identifier: PostgreSQL
"""The page of `pqpool report` in a real browser, with made-up data."""
import json
import re

import pytest

import house
import report_data

SHAPES = ["shop", "several", "nothing", "one_event", "nulls", "hostile"]


def text_of(page, selector):
    return page.run("document.querySelector(%s).textContent" % json.dumps(selector))


def count_of(page, selector):
    return page.run("[...document.querySelectorAll(%s)].filter((e) => e.checkVisibility()).length" % json.dumps(selector))


def focused(page, what="id"):
    return page.run("document.activeElement.%s" % what)


# --- it is there, whatever the logs have ---


@pytest.mark.parametrize("name", SHAPES)
def test_opens(page, name):
    shown = page(name)
    assert shown.run("performance.getEntriesByName('report-ready').length") == 1
    text = shown.run("document.body.innerText")
    assert not re.search(r"\b(undefined|NaN|null|Infinity|\[object)\b", text), text
    assert shown.run("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("name", ["shop", "several", "hostile", "nothing"])
def test_fits_a_telephone(page, name):
    shown = page(name, width=390)
    assert shown.run("document.documentElement.scrollWidth") == 390
    # Nothing sticks out and is cut off either, but what may.
    assert shown.run("[...document.querySelectorAll('main *, header *')].filter((e) => e.checkVisibility() && !e.closest('.plots, .hidden, .flame, svg, .life-track')"
                     " && e.getBoundingClientRect().right > 391).map((e) => e.outerHTML.slice(0, 100))") == []


@pytest.mark.parametrize("width", [1280, 390])
def test_titles_of_charts_are_one_line(page, width):
    """What is left of the plots is cut off; on two lines the second would cover the axis."""
    shown = page("shop", width=width)
    assert shown.run("[...document.querySelectorAll('.plot-title')].map((title) => {"
                     " const range = document.createRange(); range.selectNodeContents(title);"
                     " const text = range.getBoundingClientRect();"
                     " return [title.textContent, range.getClientRects().length,"
                     " text.left >= title.closest('.plots').getBoundingClientRect().left]; })") == [
                         ["in use", 1, True], ["waiting", 1, True]]


def test_figures(page):
    shown = page("shop")
    data = report_data.shop()
    tiles = shown.run("[...document.querySelectorAll('.tile')].map((tile) => [tile.querySelector('.tile-value').textContent, tile.classList.contains('alarm')])")
    totals = data["totals"]
    assert tiles == [["{:,}".format(totals["acquired"]), False], ["412", False], ["30 of 30", False], [str(totals["waits"]), False], [str(totals["timeouts"]), True], [str(totals["leaks"]), True]]
    assert text_of(shown, "h1") == "shop-worker"
    assert "2025-12-02 08:00:00 – 12:00:00 UTC" in text_of(shown, ".facts")


def test_nothing_says_so(page):
    shown = page("nothing")
    assert count_of(shown, ".tile.alarm") == 0
    assert count_of(shown, ".empty") == 1 and "No connection was taken" in text_of(shown, ".empty")
    assert count_of(shown, "section h2") == 0


def test_durations():
    """Of units.js alone, in node."""
    texts = {None: "–", 0: "0 µs", 340: "340 µs", 999: "999 µs", 1000: "1 ms", 1234: "1.23 ms", 12_340: "12.3 ms", 999_600: "1 s", 1_200_000: "1.2 s", 59_940_000: "59.9 s",
             59_990_000: "1 min", 125_000_000: "2 min 5 s", 3_599_999_999: "1 h", 7_260_000_000: "2 h 1 min", 200_000_000_000: "2 d 8 h"}
    source = house.path("tools/report/page/script/units.js")
    said = house.output("node", "-e", "eval(require('fs').readFileSync(%s, 'utf8') + '; console.log(JSON.stringify(%s.map(duration)))')" % (json.dumps(source), json.dumps(list(texts))))
    assert json.loads(said) == list(texts.values())


def test_reasons_are_explained():
    """Every word that the log has for why a session was closed."""
    words = re.findall(r'^REASON\(\w+, "(\w+)"\)', house.read("shim/pool/drop_reason.def"), re.M)
    known = re.findall(r"^  (\w+): '", house.read("tools/report/page/script/sessions.js"), re.M)
    assert len(words) > 30 and words[1:] == known


# --- text from logs is text ---


def test_hostile_strings_are_text(page):
    shown = page("hostile")
    shown.run("document.querySelectorAll('button.opener').forEach((button) => button.click())")
    shown.settle()
    assert shown.run("window.hostile === undefined && ({}).hostile === undefined")
    assert count_of(shown, "main img, main script, main b[onerror]") == 0
    text = shown.run("document.body.textContent")
    seen = {"\x1b[31mred\x07\x00": r"\x1b[31mred\x07\x00", "a\u2028b\u2029c": r"a\u2028b\u2029c", "\u202egnp.exe": r"\u202egnp.exe", "\ud800": r"\ud800"}
    for each in report_data.HOSTILE:
        assert seen.get(each, each) in text, each


def test_policy_lets_nothing_else_run(page):
    shown = page("shop")
    shown.run("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.injected = 1'}))")
    shown.run("document.body.append(Object.assign(document.createElement('img'), {src: 'http://127.0.0.1:9/x.png'}))")
    assert shown.run("window.injected === undefined")
    refused = [error for error in shown.errors if "Content Security Policy" in error]
    assert len(refused) >= 1 and refused == shown.errors
    shown.errors.clear()
    shown.requests.clear()


# --- finding one's way ---


def test_zoom_by_keys(page):
    shown = page("shop")
    stretch = lambda: text_of(shown, ".readout dd")
    shown.run("document.querySelector('.chart-focus').focus()")
    assert stretch() == "4 h"
    shown.press("+")
    shown.press("ArrowRight")
    assert re.fullmatch(r"\d\d:\d\d:\d\d", stretch())
    before = shown.run("document.activeElement.getAttribute('aria-valuenow')")
    shown.press("ArrowRight")
    assert int(shown.run("document.activeElement.getAttribute('aria-valuenow')")) > int(before)
    assert "In use, most" in shown.run("document.activeElement.getAttribute('aria-valuetext')")
    assert not shown.run("[...document.querySelectorAll('#time button')].at(-1).disabled")
    shown.press("Escape")
    assert shown.run("[...document.querySelectorAll('#time button')].at(-1).disabled")


def test_zoom_by_dragging(page):
    shown = page("shop")
    shown.run("document.querySelector('.plot').scrollIntoView({block: 'center'})")
    x, y, width = shown.run("(() => { const b = document.querySelector('.u-over').getBoundingClientRect(); return [b.x, b.y + b.height / 2, b.width]; })()")
    shown.mouse("mouseMoved", x + width / 4, y)
    shown.mouse("mousePressed", x + width / 4, y, held=1)
    for part in (.3, .4, .5):
        shown.mouse("mouseMoved", x + width * part, y, held=1)
    shown.mouse("mouseReleased", x + width / 2, y)
    shown.settle()
    shown.mouse("mouseMoved", 5, 5)
    shown.settle()
    # A quarter of four hours; both charts show it.
    assert re.match(r"(1 h|59 min|1 h 1 min)\b", text_of(shown, ".readout dd")), text_of(shown, ".readout dd")
    shown.click("#time .choice button:last-child")
    shown.mouse("mouseMoved", 5, 5)
    shown.settle()
    assert text_of(shown, ".readout dd") == "4 h"


def test_search(page):
    shown = page("shop")
    leases = "#leases tbody tr:not(.detail)"
    shown.press("/")
    assert focused(shown) == "search"
    shown.type("Stock.py update")
    found = count_of(shown, leases)
    assert 0 < found < 25
    assert re.search(r", %d leases?, " % found, text_of(shown, "#status"))
    assert shown.run("[...document.querySelectorAll('%s')].every((row) => /stock\\.py/.test(row.textContent) && /UPDATE/.test(row.textContent))" % leases)
    shown.press("Escape")
    assert count_of(shown, leases) == 25 and focused(shown, "tagName") == "BODY"
    shown.press("/")
    shown.type("stock.py")
    assert count_of(shown, ".frame.hit") == 1 and "stock.py:34" in text_of(shown, ".frame.hit")
    shown.type("no such thing")
    assert count_of(shown, leases) == 0 and "No lease matches" in text_of(shown, "#leases")


def test_flame_graph_by_keys(page):
    shown = page("shop")
    shown.run("document.querySelector('.frame[tabindex=\"0\"]').focus()")
    assert "All places" in focused(shown, "textContent")
    shown.press("ArrowDown")
    shown.press("ArrowDown")
    name = focused(shown, "textContent")
    assert "worker.py:141" in name
    width = shown.run("document.activeElement.getBoundingClientRect().width")
    shown.press("Enter")
    assert focused(shown, "textContent") == name
    assert shown.run("document.activeElement.getBoundingClientRect().width") > width
    label = focused(shown, "ariaLabel")
    assert re.search(r"worker\.py:141, .* held, \d+ % of all, [\d,]+ leases.*, query running \d+ %, idle in transaction \d+ %, idle \d+ %", label), label
    shown.press("Escape")
    shown.press("Escape")
    assert "All places" in focused(shown, "textContent")


def test_flame_graph_by_what_was_done(page):
    shown = page("shop")
    places = report_data.shop()["places"]
    for number, (name, key) in enumerate([("with a query running", "query_us"), ("idle in transaction", "transaction_us"), ("idle", "idle_us")], 2):
        shown.click("#held .choice button:nth-child(%d)" % number)
        label = shown.run("document.querySelector('.frame').ariaLabel")
        hours, minutes = divmod(round(sum(place[key] for place in places) / 60e6), 60)
        said = "%s%d min %s" % ("%d h " % hours if hours else "", minutes, name)
        assert said in label or not hours, (said, label)


def test_sorting(page):
    shown = page("shop")
    held = lambda: shown.run("[...document.querySelectorAll('#leases tbody tr:not(.detail) td:nth-child(3)')].map((cell) => cell.textContent)")
    assert held()[0] != held()[1]
    shown.click("#leases thead th:nth-child(5) button")
    assert shown.run("document.querySelector('#leases thead th:nth-child(5)').ariaSort") == "descending"
    waited = shown.run("[...document.querySelectorAll('#leases tbody tr:not(.detail) td:nth-child(5)')].map((cell) => cell.textContent)")
    assert waited[0] == "810 ms"
    shown.click("#leases thead th:nth-child(5) button")
    assert shown.run("document.querySelector('#leases thead th:nth-child(5)').ariaSort") == "ascending"
    shown.click("#leases .choice button:nth-child(2)")
    assert count_of(shown, "#leases tbody tr:not(.detail)") == 3
    shown.click("#leases button.opener")
    assert "innermost first" in text_of(shown, "#leases .detail")


def test_choice_of_the_pool(page):
    shown = page("several")
    assert text_of(shown, "#time .lead") == "shop@db1:5432/shop"
    shown.press("p")
    assert focused(shown) == "pool"
    shown.press("ArrowDown")
    assert text_of(shown, "#time .lead") == "reports@db2:5432/warehouse"
    shown.click("#pools tbody tr:last-child button")
    assert text_of(shown, "#time .lead") == "audit@db1:5432/audit"
    every = count_of(shown, "#leases tbody tr:not(.detail)")
    shown.click("#pools .choice button:last-child")
    assert 0 < count_of(shown, "#leases tbody tr:not(.detail)") < every
    assert count_of(page("shop"), "#pool") == 0


def test_everything_by_tab(page):
    """Tab comes to each control once, in the page's order, and each shows that it has the focus."""
    shown = page("small")
    controls = shown.run("(() => { const all = [...document.querySelectorAll('a, button, input, select, summary, [tabindex=\"0\"]')].filter((e) => e.checkVisibility() && !e.disabled);"
                         " all.forEach((e, i) => { e.dataset.number = i; }); return all.length; })()")
    reached = []
    for _ in range(controls):
        shown.press("Tab")
        number, outline = shown.run("[document.activeElement.dataset.number, getComputedStyle(document.activeElement).outlineStyle]")
        reached.append(int(number))
        assert outline != "none", shown.run("document.activeElement.outerHTML.slice(0, 200)")
    assert reached == list(range(controls))


def test_help(page):
    shown = page("shop")
    shown.press("?")
    assert shown.run("document.querySelector('#help').open") and "Flame graph" in text_of(shown, "#help")
    shown.press("Escape")
    assert not shown.run("document.querySelector('#help').open")


def test_light_and_dark(page):
    shown = page("shop", dark=True)
    background = "getComputedStyle(document.body).backgroundColor"
    dark = shown.run(background)
    shown.press("t")
    light = shown.run(background)
    assert dark == "rgb(14, 18, 24)" and light == "rgb(246, 247, 249)"
    shown.run("localStorage.clear()")


def test_prints(page):
    """Light, as wide as the paper, and with no controls."""
    shown = page("shop", dark=True)
    look = "[document.documentElement.dataset.theme, document.querySelector('.plot canvas').clientWidth]"
    before = shown.run(look)
    shown.run("addEventListener('beforeprint', () => { window.printed = %s; })" % look)
    pdf = shown.pdf()
    assert pdf.startswith(b"%PDF-") and len(re.findall(rb"/Type\s*/Page\b", pdf)) in range(3, 12)
    assert shown.run("window.printed") == ["light", 640]
    shown.settle()
    assert shown.run(look) == before and before[0] == "dark"
    shown.call("Emulation.setEmulatedMedia", media="print")
    assert count_of(shown, "header.bar, .choice, .hint, thead button") == 0
    assert count_of(shown, ".histogram rect.fill") > 10


# --- for everybody ---


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(page, axe, width, dark):
    shown = page("small", width=width, dark=dark)
    shown.run("document.querySelectorAll('tbody tr:first-child button.opener').forEach((button) => button.click())")
    shown.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    shown.run(axe + "; 0")
    found = shown.run("axe.run(document, {resultTypes: ['violations'], elementRef: false}).then((result) => result.violations.map("
                      "(each) => each.id + ': ' + each.nodes.map((node) => node.html.slice(0, 150)).slice(0, 4).join(' | ')))")
    assert found == [], "\n".join(found)
