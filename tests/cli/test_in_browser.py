"""The run report and the explorer in a headless Chromium: nothing is asked of the network, nothing is complained about, keys work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tdpcheck.cli.report import FILES
from tdpcheck.counterexamples.schema import load
from tdpcheck.reports.compare import Comparison
from tdpcheck.reports.overview import Overview
from tdpcheck.reports.stored import Stored
from tdpcheck.runner.asking.results import document
from tdpcheck.tests.calling import QUICK
from tdpcheck.tests.counterexamples.browser import chromium
from tdpcheck.tests.reports.runs import answer, plain_run, series_run

from . import exploring
from .exploring import AIM

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@dataclass
class Opened:
    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@contextmanager
def opened(browser: Browser, url: str, *, scripts: bool = True, dark: bool = False, width: int = 1280) -> Iterator[Opened]:
    context = browser.new_context(
        java_script_enabled=scripts,
        color_scheme="dark" if dark else "light",
        viewport={"width": width, "height": 900},
        accept_downloads=True,
    )
    page = context.new_page()
    page.set_default_timeout(30_000)
    seen = Opened(page)
    page.on("request", lambda r: seen.requests.append(r.url))
    page.on("console", lambda m: seen.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: seen.complaints.append(str(e)))
    page.goto(url)
    try:
        yield seen
    finally:
        context.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    views = [Overview(Stored("out", run, {}, {})) for run in (plain_run(), series_run())]
    path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(FILES["html"][1](views[1], Comparison(*views)), encoding="utf-8")
    return path.as_uri()


# The report


@pytest.mark.parametrize("scripts", [True, False])
def test_a_report_asks_for_nothing_but_itself(browser: Browser, report: str, scripts: bool) -> None:
    with opened(browser, report, scripts=scripts) as seen:
        expect(seen.page.get_by_role("heading", level=1)).to_have_text("2 patches")
        expect(seen.page.get_by_role("region", name="Matrix of answers")).to_be_visible()
        assert {u for u in seen.requests if not u.startswith("data:")} == {report}
        assert seen.complaints == []


def test_a_cell_leads_to_its_details_even_where_they_are_folded(browser: Browser, report: str) -> None:
    with opened(browser, report) as seen:
        row = seen.page.get_by_role("row").filter(has=seen.page.get_by_role("rowheader", name="quiet"))
        row.get_by_role("link", name=re.compile("holds to 12")).click()
        target = seen.page.locator(":target")
        expect(target).to_be_visible()
        expect(target).to_contain_text("HoldsUpTo 12")


def test_quiet_scenarios_can_be_hidden_without_a_script(browser: Browser, tmp_path: Path) -> None:
    run = document([answer("p", "calm"), answer("p", "loud", "violated")])
    path = tmp_path / "index.html"
    path.write_text(FILES["html"][1](Overview(Stored("out", run, {}, {})), None), encoding="utf-8")
    with opened(browser, path.as_uri(), scripts=False) as seen:
        calm = seen.page.get_by_role("rowheader", name="calm")
        expect(calm).to_be_visible()
        seen.page.get_by_label("Hide scenarios in which everything holds").check()
        expect(calm).to_be_hidden()
        expect(seen.page.get_by_role("rowheader", name="loud")).to_be_visible()


def test_everything_in_a_report_is_reached_by_the_tab_key(browser: Browser, report: str) -> None:
    """Links, the filter, what can be unfolded, and what scrolls; and one sees where one is."""
    with opened(browser, report) as seen:
        page = seen.page
        wanted = page.evaluate(
            """() => { const controls = 'a[href], input, summary, [tabindex="0"]';
                const all = [...document.querySelectorAll(controls)].filter((e) => e.checkVisibility());
                all.forEach((e, n) => { e.dataset.mine = n; }); return all.length; }"""
        )
        reached = set()
        for _ in range(wanted + 5):
            page.keyboard.press("Tab")
            mine, outlined = page.evaluate(
                """() => { const e = document.activeElement, s = getComputedStyle(e);
                    return [e.dataset.mine ?? '', s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0]; }"""
            )
            assert outlined or not mine
            reached.add(mine)
        assert len(reached - {""}) == wanted > 20


@pytest.mark.parametrize("width", [360, 1280])
def test_a_report_is_never_wider_than_its_window(browser: Browser, report: str, width: int) -> None:
    with opened(browser, report, width=width) as seen:
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


CONTRAST = """
() => {
  const linear = (v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((v) => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const told = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) && e.checkVisibility();
  const measured = (e) => {
    const [more, less] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    return [(more + .05) / (less + .05), e.outerHTML.slice(0, 90)];
  };
  return [...document.querySelectorAll("body *")].filter(told).map(measured).filter(([ratio]) => ratio < 4.5);
}
"""
"""The elements whose text has too little contrast, with what it is."""


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_background(browser: Browser, report: str, dark: bool) -> None:
    """WCAG 2 asks for a contrast of 4.5; what is switched off is excepted."""
    with opened(browser, report, dark=dark) as seen:
        assert seen.page.evaluate(CONTRAST) == []


def test_print_shows_what_is_folded(browser: Browser, report: str) -> None:
    with opened(browser, report) as seen:
        inside = seen.page.locator("details.scenario table").first
        expect(inside).to_be_hidden()
        seen.page.emulate_media(media="print")
        expect(inside).to_be_visible()


# The explorer


def test_the_explorer_goes_through_a_race_by_keys_and_by_clicks(browser: Browser, tmp_path: Path) -> None:
    with exploring.served(exploring.opened(tmp_path)) as server, opened(browser, server.url) as seen:
        page = seen.page
        depth, said = page.locator("#depth"), page.get_by_role("status")
        expect(page.get_by_role("heading", level=1)).to_have_text(f"{QUICK} with opened.patch")
        page.keyboard.press("1")
        expect(depth).to_have_text("1 step")
        page.keyboard.press("ArrowLeft")
        expect(depth).to_have_text("0 steps")
        page.keyboard.press("ArrowRight")
        expect(depth).to_have_text("1 step")
        page.keyboard.press("u")
        expect(depth).to_have_text("0 steps")
        page.get_by_label("Go the shortest way to").select_option(AIM)
        expect(said).to_have_text(f"{AIM}: 3 steps from here, and no way is shorter")
        expect(page.get_by_role("alert")).to_have_text("The TDP is exported while non-coherent DMA of device 0 is registered.")
        expect(page.get_by_text("reject_noncoherent_dma is violated", exact=False).first).to_be_visible()
        page.get_by_role("button", name="Go back to after step 2").click()
        expect(depth).to_have_text("2 steps")
        expect(page.get_by_role("button", name=re.compile("breaks reject_noncoherent_dma"))).to_have_count(1)
        page.get_by_role("button", name=re.compile("breaks reject_noncoherent_dma")).click()
        expect(depth).to_have_text("3 steps")
        page.get_by_label("Begin again").select_option("0")
        expect(said).to_have_text("A new run begins.")
        page.keyboard.press("w")
        expect(said).to_contain_text("at random")
        assert seen.complaints == []
        assert all(u.startswith((server.url, "data:")) for u in seen.requests)


def test_the_browser_saves_a_run_and_loads_it(browser: Browser, tmp_path: Path) -> None:
    with exploring.served(exploring.opened(tmp_path)) as server, opened(browser, server.url) as seen:
        page = seen.page
        page.get_by_label("Go the shortest way to").select_option(AIM)
        expect(page.locator("#depth")).to_have_text("3 steps")
        with page.expect_download() as download:
            page.keyboard.press("s")
        saved = tmp_path / download.value.suggested_filename
        download.value.save_as(saved)
        assert saved.name == f"{QUICK}.reject_noncoherent_dma.cex.json"
        assert load(saved.read_bytes(), "x").depth == 3
        page.get_by_label("Begin again").select_option("0")
        expect(page.locator("#depth")).to_have_text("0 steps")
        page.locator("#file").set_input_files(saved)
        expect(page.get_by_role("status")).to_have_text("A stored run of 3 steps.")
        page.locator("#file").set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": b"{}"})
        expect(page.get_by_role("status")).to_contain_text("not a counterexample")
        expect(page.locator("#depth")).to_have_text("3 steps")


def test_the_machine_is_drawn(browser: Browser, tmp_path: Path) -> None:
    with exploring.served(exploring.opened(tmp_path)) as server, opened(browser, server.url) as seen:
        expect(seen.page.locator("#machine li").first).to_be_visible()
        seen.page.keyboard.press("p")
        image = seen.page.get_by_role("img", name=re.compile("The machine now"))
        expect(image).to_be_visible()
        for _ in range(100):
            if image.evaluate("i => i.naturalWidth") > 0:
                break
            seen.page.wait_for_timeout(100)
        assert image.evaluate("i => i.naturalWidth") > 100
        seen.page.keyboard.press("Escape")
        expect(image).to_be_hidden()
        assert seen.complaints == []


def test_every_control_is_reached_by_the_tab_key(browser: Browser, tmp_path: Path) -> None:
    with exploring.served(exploring.opened(tmp_path)) as server, opened(browser, server.url) as seen:
        page = seen.page
        expect(page.locator("#choices button").first).to_be_visible()
        page.keyboard.press("1")
        expect(page.locator("#depth")).to_have_text("1 step")
        wanted = page.locator("button:not(:disabled):visible, select:visible").count()
        reached = set()
        for _ in range(3 * wanted):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("() => document.activeElement.matches('button, select') ? document.activeElement.outerHTML : ''"))
        assert len(reached - {""}) == wanted


@pytest.mark.parametrize("dark", [False, True])
def test_the_explorers_text_stands_out_from_its_background(browser: Browser, tmp_path: Path, dark: bool) -> None:
    with exploring.served(exploring.opened(tmp_path)) as server, opened(browser, server.url, dark=dark) as seen:
        seen.page.get_by_label("Go the shortest way to").select_option(AIM)
        expect(seen.page.locator("#depth")).to_have_text("3 steps")
        assert [found for found in seen.page.evaluate(CONTRAST) if "disabled" not in found[1] and "<kbd" not in found[1]] == []


def test_the_page_says_when_the_explorer_has_ended(browser: Browser, tmp_path: Path) -> None:
    with exploring.served(exploring.opened(tmp_path)) as server, opened(browser, server.url) as seen:
        expect(seen.page.locator("#choices button").first).to_be_visible()
        server.shutdown()
        server.server_close()
        seen.page.keyboard.press("1")
        expect(seen.page.get_by_role("status")).to_contain_text("The explorer has ended.")
