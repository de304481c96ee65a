"""The page in a real browser: plots, sorting, copying, print, accessibility; no overflow and no console messages."""

import csv
import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.report.runs import write_run
from workflow_scripts.report.build import build
from workflow_scripts.report.compare import compare

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
WIDTHS = (1280, 390)


@dataclass
class Seen:
    """A page in a browser, its console messages and its requests."""

    page: Page
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


def look_at(browser: Browser, path: Path, width: int) -> Seen:
    """Open a file and wait for its plots."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    seen = Seen(page)
    page.on("console", lambda message: seen.messages.append(message.text))
    page.on("pageerror", lambda error: seen.messages.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_function(
        "document.querySelectorAll('.plot .main-svg').length >= document.querySelectorAll('.plot').length"
    )
    return seen


def wait_until(page: Page, condition: str) -> None:
    """Wait up to 30 s; plots follow a window's size a little later. The page's policy forbids `wait_for_function`."""
    for _ in range(300):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(condition)


def overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def column(page: Page, table: str, number: int) -> list[float]:
    values = page.eval_on_selector_all(
        f"{table} tbody tr", f"rows => rows.map(row => row.cells[{number}].dataset.value)"
    )
    return [float(value) for value in values]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_works_in_a_browser(
    everything: Callable[[], dict[str, Any]], browser: Browser, width: int, tmp_path: Path
) -> None:
    arguments = everything()
    build(**arguments)
    seen = look_at(browser, arguments["out"], width)
    page = seen.page
    assert overflow(page) <= 0
    cut = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.innerHTML.slice(0, 100))"
    assert page.eval_on_selector_all("header .scroll" if width < 1280 else ".scroll", cut) == []
    assert page.locator("section:visible").count() == 10
    assert page.locator(".plot .main-svg").count() >= 8
    page.click("#scores-table thead th:nth-child(3) button")
    ascending = column(page, "#scores-table", 2)
    assert ascending == sorted(ascending)
    assert len(set(ascending)) > 1
    page.focus("#scores-table thead th:nth-child(3) button")
    page.keyboard.press("Space")
    assert column(page, "#scores-table", 2) == ascending[::-1]
    assert_every_table_is_copied_cell_by_cell(page)
    # Hovering over an image shows its species.
    trace = "plane.data.findIndex(one => one.text.some(name => name.includes('hudsonia')))"
    point = "plane.data[trace].text.findIndex(name => name.includes('hudsonia'))"
    hover = (
        f"plane => {{ const trace = {trace}; Plotly.Fx.hover(plane, [{{curveNumber: trace, pointNumber: {point}}}]); }}"
    )
    page.locator("#features .plane").first.evaluate(hover)
    assert "hudsonia" in (page.locator("#features .hovertext").text_content() or "")
    # Colour by another rank, and highlight one of its names.
    page.select_option("#features select", "species")
    assert page.locator("#features .legend button").all_inner_texts() == ["hudsonia", "unknown"]
    page.click("#features .legend button:first-child")
    faint = "plane => plane.data.filter(one => one.opacity < 0.5).reduce((sum, one) => sum + one.x.length, 0)"
    assert page.eval_on_selector("#features .plane", faint) == 4
    assert overflow(page) <= 0
    if width == 1280:
        assert_tables_fit_a_tablet_and_scroll_on_a_phone(page)
    assert_quiet(seen, arguments["out"])


def assert_tables_fit_a_tablet_and_scroll_on_a_phone(page: Page) -> None:
    """What is wider than a phone can be reached by keyboard, keeps its first column and says that there is more."""
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    wide = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth + 1).length"
    page.set_viewport_size({"width": 800, "height": 900})
    heights = "[...document.querySelectorAll('[data-figure]')].map(one => one.clientHeight).join()"
    before_resizing = page.evaluate(heights)
    marked = "document.querySelectorAll('.scrolls[tabindex]').length"
    wait_until(page, f"{wide} === 0 && {marked} === 0")
    page.set_viewport_size({"width": 390, "height": 900})
    wait_until(page, f"{wide} > 0 && {wide} === {marked}")
    assert page.locator(".scrolls > .hint:visible").count() == page.evaluate(marked)
    assert page.evaluate(heights) == before_resizing
    left = "document.querySelector('#cost .scrolls tbody td').getBoundingClientRect().x"
    before_scrolling = page.evaluate(left)
    page.evaluate("document.querySelector('#cost .scrolls').scrollLeft = 60")
    assert page.evaluate(left) == before_scrolling


def test_print_shows_everything_and_cuts_nothing(
    everything: Callable[[], dict[str, Any]], browser: Browser, tmp_path: Path
) -> None:
    """A4 between its margins is 703 CSS pixels wide."""
    arguments = everything()
    build(**arguments)
    page = look_at(browser, arguments["out"], 703).page
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("details").count() == page.locator("details[open]").count() > 0
    assert overflow(page) <= 0
    wide = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.outerHTML.slice(0, 200))"
    assert page.eval_on_selector_all(".scroll, .plot, pre", wide) == []
    shown = "all => all.every(one => one.complete && one.naturalWidth > 0 && one.loading !== 'lazy')"
    assert page.eval_on_selector_all("img", shown)
    assert page.locator("button:not(.sort):visible").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details").count() > page.locator("details[open]").count()
    # From a wide window, plots have the size of paper at once: printing does not wait for an animation.
    page.close()
    page = look_at(browser, arguments["out"], 1600).page
    right = page.evaluate("""() => {
        dispatchEvent(new Event('beforeprint'));
        const flow = document.querySelector('[data-figure=flow]');
        const ends = [...flow.querySelectorAll('.node-rect')].map(one => one.getBoundingClientRect().right);
        return Math.max(...ends) - flow.getBoundingClientRect().left;
    }""")
    assert 0 < right <= 703
    # Labels of the flow do not touch one another.
    boxes = page.eval_on_selector_all(
        "[data-figure=flow] .node-label",
        "all => all.filter(one => one.textContent).map(one => one.getBoundingClientRect())"
        ".map(box => [box.x, box.y, box.right, box.bottom])",
    )
    touching = [
        (one, other)
        for one, other in itertools.combinations(boxes, 2)
        if one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
    ]
    assert len(boxes) > 5
    assert touching == []
    page.close()


def test_a_saved_picture_has_legend_title_and_white_background_in_dark_mode_too(
    everything: Callable[[], dict[str, Any]], browser: Browser, tmp_path: Path
) -> None:
    arguments = everything()
    build(**arguments)
    page = look_at(browser, arguments["out"], 1280).page
    page.emulate_media(color_scheme="dark")
    saved = """place => new Promise(done => {
        Plotly.downloadImage = (figure, options) => done({...figure.layout, names: figure.data.map(one => one.name),
                                                          format: options.format});
        save(place);
    })"""
    for place in ("[data-figure='zero-shot']", "#features .plane"):
        picture = page.locator(place).first.evaluate(saved)
        assert picture["showlegend"] is True
        assert picture["title"]["text"]
        assert picture["names"]
        assert (picture["paper_bgcolor"], picture["font"]["color"], picture["format"]) == ("#fff", "#1e2f29", "svg")
    page.close()


def test_the_page_passes_axe(everything: Callable[[], dict[str, Any]], browser: Browser, tmp_path: Path) -> None:
    """axe-core checks names, roles, contrast, heading order and keyboard access; contrast in dark mode too."""
    axe = pytest.importorskip("axe_playwright_python", reason="left out: axe-playwright-python is not installed")
    arguments = everything()
    build(**arguments)
    page = browser.new_context(bypass_csp=True).new_page()
    page.goto(arguments["out"].as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = page.evaluate("rules => axe.run(document, {resultTypes: ['violations'], ...rules})", rules)
        assert [(scheme, one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]] == []
    page.context.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.slow
def test_the_comparison_works_in_a_browser(browser: Browser, width: int, tmp_path: Path) -> None:
    write_run(tmp_path, "a", 0.1, [True] * 60 + [False] * 40)
    write_run(tmp_path, "b", 0.2, [True] * 80 + [False] * 20)
    compare(runs=("a", "b"), results=tmp_path, out=tmp_path / "compare.html")
    seen = look_at(browser, tmp_path / "compare.html", width)
    assert overflow(seen.page) <= 0
    assert seen.page.locator("section:visible").count() == 5
    assert_every_table_is_copied_cell_by_cell(seen.page)
    assert_quiet(seen, tmp_path / "compare.html")


def assert_every_table_is_copied_cell_by_cell(page: Page) -> None:
    """Every sortable table has a copy button, and the copy equals the table's cells."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tables = page.locator("table.sortable")
    assert page.get_by_role("button", name="Copy as CSV", include_hidden=True).count() == tables.count() > 0
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    for table in tables.all():
        button = table.locator("xpath=ancestor::div[contains(@class, 'scroll')]/preceding-sibling::div[1]/button")
        button.click()
        copied = list(csv.reader(page.evaluate("navigator.clipboard.readText()").splitlines()))
        cells = table.evaluate(
            "table => [...table.rows].map(row => "
            "[...row.cells].map(cell => ({text: cell.textContent, ...cell.dataset})))"
        )
        ends = {column for row in cells for column, cell in enumerate(row) if "low" in cell}
        assert len({*map(len, copied)}) == 1
        for line, row in zip(copied[1:], cells[1:], strict=True):
            fields = iter(line)
            for column, cell in enumerate(row):
                field = next(fields)
                if "value" in cell:
                    # Numbers are copied as numbers, missing ones as an empty field.
                    assert field == cell["value"] == "" or float(field) == float(cell["value"])
                else:
                    assert field == " ".join(cell["text"].split())
                if column in ends:
                    assert (next(fields), next(fields)) == (cell.get("low", ""), cell.get("high", ""))


def assert_quiet(seen: Seen, path: Path) -> None:
    """No console messages, and no request except for the file itself."""
    assert seen.messages == []
    assert [url for url in seen.requests if not url.startswith("data:")] == [path.as_uri()]
    seen.page.close()
