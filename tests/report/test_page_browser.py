"""The page in a real browser: quiet, inert, sortable, filterable, in light and dark."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from evalharness.records.results import Results
from evalharness.report.page import render
from evalharness.report.wording import visible

try:
    from axe_playwright_python.sync_playwright import Axe
except ImportError:
    Axe = None

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
OWN = "window.owned=1;alert(1)"
HOSTILE = f'</script><img src=x onerror="{OWN}"><script>{OWN}</script>\u202e\x1b[31m $x$ {{{{ 7*7 }}}} '
Open = Callable[..., Page]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("CI"), reason="Chromium is not installed (apt install chromium)"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM, "Chromium is not installed (apt install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a page from disk; afterwards nothing may have been printed, asked for, thrown or popped up."""
    noise: list[str] = []
    contexts = []

    def open_(text: str, folded: bool = False, **options: object) -> Page:
        place = tmp_path / f"report{len(contexts)}.html"
        place.write_text(text, encoding="utf-8")
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options}
        )  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: noise.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: noise.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (noise.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: (
                noise.append(f"request: {request.url}") if request.url.split("#")[0] != place.as_uri() else None
            ),
        )
        page.goto(place.as_uri())
        if not folded:
            page.eval_on_selector_all(".part > details", "parts => parts.forEach((part) => { part.open = true; })")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert noise == []


@pytest.fixture(scope="module")
def report(run: Results, cost: dict[str, object]) -> str:
    return render(run, cost)


def _six_figures(value: float) -> float:
    return float(f"{value:.6g}")


def _sorted_by(page: Page, title: str) -> list[float | None]:
    """The values that the rows are sorted by in a column, in the order shown."""
    titles = page.locator("#details-table thead th").all_inner_texts()
    place = next(i for i, text in enumerate(titles) if text.startswith(title))
    values = page.eval_on_selector_all(
        "#details-table tbody tr",
        "(rows, i) => rows.map((row) => row.cells[i].dataset.v ?? row.cells[i].textContent)",
        place,
    )
    return [None if value == "–" else float(value) for value in values]


def test_sorting_by_a_number_up_and_down(open_page: Open, report: str, run: Results) -> None:
    page = open_page(report)
    page.get_by_label("all 26 columns").check()
    differences = sorted(_six_figures(c.difference.value) for c in run.comparisons)
    header = page.locator("#details-table th", has_text="Difference").first
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert _sorted_by(page, "Difference") == differences
    header.get_by_role("button").press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert _sorted_by(page, "Difference") == differences[::-1]
    page.locator("#details-table th", has_text="p retained").get_by_role("button").click()
    assert header.get_attribute("aria-sort") is None
    chances = [c.p_retained for c in run.comparisons]
    known = sorted(_six_figures(p) for p in chances if p is not None)
    assert _sorted_by(page, "p retained") == [*known, *[None] * chances.count(None)]


def test_filtering_the_comparisons(open_page: Open, report: str, run: Results) -> None:
    page = open_page(report)
    page.fill("#details-filter", "mmlu_virology forgotten")
    assert page.locator("#details-table tbody tr:visible").count() == 1
    assert page.locator("#details .controls output").inner_text() == f"1 of {len(run.comparisons)} rows"


def _shown(page: Page) -> dict[str, tuple[str, str]]:
    """Of the example that is shown: each model's (change, answer)."""
    rows = page.eval_on_selector_all(
        "#flip-viewer tbody tr", "rows => rows.map((row) => Array.from(row.cells, (cell) => cell.textContent))"
    )
    return {name: (change, answer) for name, change, _, answer in rows}


def _examples(run: Results, **wanted: str) -> int:
    """How many examples have a changed answer that fits."""
    fits = (f for f in run.flips if f.direction != "same" and all(getattr(f, k) == v for k, v in wanted.items()))
    return len({(f.task, f.base.id) for f in fits})


def test_one_example_across_base_and_all_candidates(open_page: Open, report: str, run: Results) -> None:
    page = open_page(report)
    place = page.locator("#flip-pager output")
    assert place.inner_text() == f"Example 1 of {_examples(run)}"
    assert list(_shown(page)) == ["base", *run.candidates]
    page.get_by_role("button", name="Next").click()
    page.keyboard.press("ArrowRight")
    assert place.inner_text().startswith("Example 3 of ")
    page.keyboard.press("ArrowLeft")
    assert place.inner_text().startswith("Example 2 of ")
    page.select_option("[name=candidate]", label="full-high")
    page.select_option("[name=task]", label="dialogsum")
    page.select_option("[name=change]", label="lost")
    wanted = _examples(run, candidate="full-high", task="dialogsum", direction="lost")
    assert place.inner_text() == f"Example 1 of {wanted}"
    assert _shown(page)["full-high"][0] == "▼ lost"
    assert page.locator("#flip-viewer h3").inner_text().startswith("dialogsum")
    page.locator("[name=text]").press("ArrowRight")
    assert place.inner_text() == f"Example 1 of {wanted}"
    page.fill("[name=text]", "no such words anywhere")
    assert place.inner_text() == "no example fits these filters" and page.locator("#flip-viewer > *").count() == 0


WITHOUT = """(pre, gone) => {
  const copy = pre.cloneNode(true);
  copy.querySelectorAll(gone).forEach((part) => part.remove());
  return copy.textContent;
}"""


def test_the_word_difference_rebuilds_both_answers(open_page: Open, report: str, run: Results) -> None:
    page = open_page(report)
    page.select_option("[name=task]", label="dialogsum")
    known = {(f.base.output, f.sample.output) for f in run.flips if f.task == "dialogsum"}
    compared = 0
    for _ in range(3):
        base = _shown(page)["base"][1]
        for pre in page.locator("#flip-viewer tbody tr:has(ins, del) pre").all():
            after, before = (pre.evaluate(WITHOUT, gone) for gone in ("del", "ins"))
            assert before == base and (before, after) in known
            compared += 1
        page.get_by_role("button", name="Next").click()
    assert compared >= 3


def test_a_cell_leads_to_its_answers_and_the_address_keeps_the_filter(open_page: Open, report: str) -> None:
    page = open_page(report)
    link = page.locator("#matrix tr", has=page.locator("th", has_text=re.compile("^copa"))).locator("a").first
    lost, gained = map(int, re.findall(r"\d+", link.inner_text()))
    link.click()
    place = page.locator("#flip-pager output")
    assert place.inner_text() == f"Example 1 of {lost + gained}"
    page.get_by_role("button", name="Next").click()
    assert "#flips?candidate=0&task=" in page.url and page.url.endswith("&example=2")
    page.reload()
    assert place.inner_text() == f"Example 2 of {lost + gained}"
    page.evaluate("location.hash = '#flips?task=99&example=-4&change=x'")
    page.wait_for_function("document.querySelector('#flip-pager output').textContent.startsWith('Example 1 of')")


def _saved(page: Page, button: Locator) -> list[dict[str, str]]:
    """The lines of the CSV file that a button saves."""
    with page.expect_download() as download:
        button.click()
    return list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8"))))


def test_an_example_is_copied_and_tables_are_saved(open_page: Open, report: str, run: Results) -> None:
    page = open_page(report, accept_downloads=True, permissions=["clipboard-read", "clipboard-write"])
    page.select_option("[name=task]", label="dialogsum")
    page.get_by_role("button", name="Copy").click()
    page.get_by_text("copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("dialogsum ") and all(f"{name} (" in copied for name in ("base", *run.candidates))
    lines = _saved(page, page.get_by_role("button", name="Save these as CSV"))
    assert len(lines) == (1 + len(run.candidates)) * _examples(run, task="dialogsum")
    assert {line["model"] for line in lines} == {"base", *run.candidates}
    lines = _saved(page, page.locator("#details").get_by_role("button", name="Save as CSV"))
    assert len(lines) == len(run.comparisons) and "p forgotten" in lines[0]
    assert [float(line["Difference"]) for line in lines] == [_six_figures(c.difference.value) for c in run.comparisons]


def test_eight_columns_at_first_and_all_on_demand_without_scripts(open_page: Open, report: str) -> None:
    page = open_page(report, java_script_enabled=False)
    titles = page.locator("#details-table thead th:visible")
    assert titles.count() == 8
    page.get_by_label("all 26 columns").check()
    assert titles.count() == 26


def test_without_javascript_everything_that_decides_is_there(open_page: Open, report: str) -> None:
    page = open_page(report, java_script_enabled=False)
    assert page.locator("noscript p").is_visible()
    assert page.locator("#flip-controls").is_hidden() and page.locator("#details-filter").is_hidden()
    text = page.locator("body").inner_text()
    for words in ("may not ship", "▼ forgotten", "● retained", "? inconclusive", "+0.72"):
        assert words in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes(open_page: Open, report: str, scheme: str) -> None:
    page = open_page(report, color_scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    figure = page.evaluate("getComputedStyle(document.querySelector('#forest-title ~ g text')).fill")
    bright = sum(map(int, re.findall(r"\d+", ground)[:3])) > 380
    assert bright == (scheme == "light")
    assert (sum(map(int, re.findall(r"\d+", figure)[:3])) > 380) != bright, "figures follow the theme"


def test_a_narrow_screen_scrolls_tables_not_the_page(open_page: Open, report: str) -> None:
    page = open_page(report, viewport={"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("document.querySelector('#matrix .scroll').scrollWidth") > 360


def _pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def test_two_pages_are_printed_and_everything_on_request(open_page: Open, report: str) -> None:
    page = open_page(report, folded=True)
    assert _pages(page.pdf(prefer_css_page_size=True)) == 2
    assert page.locator(".part > details[open]").count() == 0
    page.evaluate("window.print = () => {}")
    page.get_by_role("button", name="Print everything").click()
    assert _pages(page.pdf(prefer_css_page_size=True)) > 10
    page.emulate_media(media="print")
    assert page.locator("#details").is_hidden() and page.locator("#flip-controls").is_hidden()


@pytest.mark.fault(28)
def test_hostile_text_everywhere_is_inert(open_page: Open, run: Results, cost: dict[str, object]) -> None:
    bad = HOSTILE
    told = {"prompt": bad, "reference": bad, "id": bad}
    flips = tuple(
        replace(
            f,
            task=bad + f.task,
            candidate=bad + f.candidate,
            base=replace(f.base, output=bad + "a b", **told),
            sample=replace(f.sample, output=bad + "a c", **told),
        )
        for f in run.flips[:200]
    )
    comparisons = tuple(
        replace(c, task=bad + c.task, candidate=bad + c.candidate, metric=bad + c.metric, flags=(bad,))
        for c in run.comparisons
    )
    models = tuple(
        replace(
            m, name=bad + m.name, base=m.base and bad + m.base, target_task=bad + (m.target_task or ""), fingerprint=bad
        )
        for m in run.models
    )
    results = replace(
        run, models=models, comparisons=comparisons, flips=flips, signature={bad: bad, "tasks": {bad: {bad: bad}}}
    )
    page = open_page(
        render(results, {**cost, bad: bad}), accept_downloads=True, permissions=["clipboard-read", "clipboard-write"]
    )
    page.eval_on_selector_all("details", "all => all.forEach(d => { d.open = true; })")
    page.select_option("[name=task]", index=1)
    page.fill("[name=text]", "<img")
    page.locator("#details-table th button").first.click()
    page.get_by_label(" columns").check()
    page.get_by_role("button", name="Copy").click()
    page.get_by_text("copied").wait_for()
    for name in ("Save these as CSV", "Save as CSV"):
        for line in _saved(page, page.get_by_role("button", name=name, exact=True)):
            assert not [cell for cell in line.values() if re.match(r"[=+@\t\r]|-(?![\d.])", cell or "")]
    page.evaluate("address => { location.hash = address; }", f"flips?task={OWN}&text={HOSTILE}&example={OWN}")
    page.fill("[name=text]", "<img")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("img").count() == 0 and page.locator("script").count() == 2
    assert page.evaluate("window.owned") is None
    assert page.locator("#flip-viewer pre").first.text_content() == visible(bad)


def test_only_a_base_and_a_run_with_troubles(open_page: Open, only_base: Results, troubled: Results) -> None:
    assert "nothing to compare" in open_page(render(only_base)).locator("header").inner_text()
    page = open_page(render(troubled))
    assert page.get_by_role("alert").is_visible() and page.locator("#errors tbody tr").count() == 3


@pytest.mark.parametrize(
    "options",
    [
        {"java_script_enabled": False, "viewport": {"width": 360, "height": 700}},
        pytest.param({"color_scheme": "dark"}, marks=pytest.mark.slow),
    ],
)
def test_what_was_lost_is_said_in_every_way_of_looking(
    open_page: Open, explained: Results, options: dict[str, object]
) -> None:
    page = open_page(render(explained), **options)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    row = page.locator("#diagnosis-1")
    assert row.locator("th").inner_text() == "boolq" and "full-high" in row.inner_text()
    assert "chooses worse, less readable" in row.inner_text() and "120 lost, 2 gained" in row.inner_text()
    measured = page.locator("#diagnoses details details")
    assert not measured.get_by_text("length in tokens").first.is_visible()
    measured.locator("summary").click()
    assert measured.get_by_text("length in tokens").first.is_visible()
    page.locator("#matrix a[href='#diagnosis-1']").click()
    assert page.evaluate("location.hash") == "#diagnosis-1"


def test_the_written_answers_of_a_diagnosis_are_one_click_away(open_page: Open, explained: Results) -> None:
    written = tuple(
        replace(f, task="boolq@written")
        for f in explained.flips
        if (f.task, f.candidate) == ("boolq", "full-high") and f.direction != "same"
    )
    page = open_page(render(replace(explained, flips=(*explained.flips, *written))))
    page.locator("#diagnosis-1").get_by_role("link", name="examples").click()
    assert page.locator("[name=task] option:checked").inner_text() == "boolq@written"
    assert page.locator("#flip-pager output").inner_text() == f"Example 1 of {len(written)}"


# ---- the first screen ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [True, False])
def test_a_term_explains_itself_on_hover_and_by_keyboard(open_page: Open, report: str, script: bool) -> None:
    page = open_page(report, folded=True, java_script_enabled=script)
    term, tip = page.get_by_role("button", name="Skill kept"), page.locator("#in-line-kept")
    assert tip.is_hidden() and term.get_attribute("aria-describedby") == "in-line-kept"
    term.hover()
    assert tip.is_visible()
    page.mouse.move(0, 0)
    assert tip.is_hidden()
    term.focus()
    assert tip.is_visible()
    if script:
        page.keyboard.press("Escape")
        assert tip.is_hidden()
        page.keyboard.press("Tab")
        term.focus()
        assert tip.is_visible()


def test_the_first_screen_holds_the_decision_the_figure_and_every_candidate(open_page: Open, report: str) -> None:
    page = open_page(report, folded=True, viewport={"width": 1400, "height": 900})
    assert page.locator("h1").inner_text().startswith("lora-r8 may ship; ")
    for place in ("h1", "svg.figure >> nth=0", ".ranking li:last-child .next"):
        box = page.locator(place).bounding_box()
        assert box and box["y"] + box["height"] <= 900, place
    names = page.locator(".ranking h2 .name").all_inner_texts()
    assert names == ["lora-r8", "lora-slow", "prompt-16", "full-low", "full-high"]


@pytest.mark.parametrize("width", [360, 390, 800, 1400])
def test_the_page_never_scrolls_sideways(open_page: Open, report: str, width: int) -> None:
    page = open_page(report, viewport={"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for term in page.locator(".term button").all():
        term.focus()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_link_opens_the_part_that_it_leads_to(open_page: Open, explained: Results) -> None:
    page = open_page(render(explained), folded=True)
    assert not page.locator("#matrix").get_by_role("table").first.is_visible()
    page.evaluate("location.hash = '#matrix'")
    page.locator("#matrix a[href='#diagnosis-1']").click()
    assert page.locator("#diagnosis-1").is_visible()


# ---- accessibility ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_report(explained: Results, troubled: Results, cost: dict[str, object]) -> str:
    """The report of a run with everything, diagnoses, failures and changed answers, on a few tasks."""
    tasks = ("demo", "mmlu", "mmlu_virology", "boolq", "dialogsum", "topics")
    rows = tuple(c for c in explained.comparisons if c.task in tasks)
    return render(replace(explained, comparisons=rows, errors=troubled.errors), cost)


@pytest.mark.skipif(Axe is None and not os.environ.get("CI"), reason="axe-playwright-python is not installed")
@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), pytest.param("dark", 360, marks=pytest.mark.slow)])
def test_axe_finds_nothing(open_page: Open, small_report: str, scheme: str, width: int) -> None:
    """By any rule of axe-core, WCAG 2.2 AA among them, whatever its impact."""
    page = open_page(small_report, color_scheme=scheme, viewport={"width": width, "height": 844})
    page.eval_on_selector_all("details", "all => all.forEach((part) => { part.open = true; })")
    page.get_by_label("all 26 columns").check()
    page.locator(".term button").first.focus()
    assert Axe is not None, "axe-playwright-python is not installed"
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = Axe().run(page, options={"runOnly": rules, "resultTypes": ["violations"]}).response["violations"]
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found] == []
