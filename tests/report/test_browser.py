"""The page in a real browser: quiet, inert, sortable, filterable, in light and dark."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from evalharness.records.results import Results
from evalharness.report.page import render
from evalharness.report.wording import visible

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

    def open_(text: str, **options: object) -> Page:
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
        return page

    yield open_
    for context in contexts:
        context.close()
    assert noise == []


@pytest.fixture(scope="module")
def report(run: Results, cost: dict[str, object]) -> str:
    return render(run, cost)


def _sorted_by(page: Page, title: str) -> list[float | None]:
    """The values that the rows are sorted by in a column, in the order shown."""
    titles = page.locator("#details-table thead th").all_inner_texts()
    place = next(i for i, text in enumerate(titles) if text.startswith(title))
    values = page.eval_on_selector_all(
        "#details-table tbody tr", "(rows, i) => rows.map((row) => row.cells[i].dataset.v)", place
    )
    return [float(value) if value else None for value in values]


def test_sorting_by_a_number_up_and_down(open_page: Open, report: str, run: Results) -> None:
    page = open_page(report)
    differences = sorted(c.difference.value for c in run.comparisons)
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
    known = sorted(p for p in chances if p is not None)
    assert _sorted_by(page, "p retained") == [*known, *[None] * chances.count(None)]


def test_filtering_the_comparisons(open_page: Open, report: str, run: Results) -> None:
    page = open_page(report)
    page.fill("#details-filter", "mmlu_virology forgotten")
    assert page.locator("#details-table tbody tr:visible").count() == 1
    assert page.locator("#details .controls output").inner_text() == f"1 of {len(run.comparisons)} rows"


def test_paging_and_filtering_changed_answers(open_page: Open, report: str, run: Results) -> None:
    page = open_page(report)
    pager = page.locator("#flip-pager")
    total = len(run.flips)
    assert page.locator(".flip").count() == 50 and pager.locator("output").inner_text() == f"1–50 of {total}"
    pager.get_by_role("button", name="Later").click()
    assert pager.locator("output").inner_text() == f"51–100 of {total}"
    page.select_option("[name=candidate]", label="full-high")
    page.select_option("[name=task]", label="dialogsum")
    page.select_option("[name=direction]", label="lost")
    wanted = [f for f in run.flips if (f.candidate, f.task, f.direction) == ("full-high", "dialogsum", "lost")]
    assert pager.locator("output").inner_text() == f"1–50 of {len(wanted)}"
    first = page.locator(".flip").first
    assert "▼ lost" in first.inner_text() and "dialogsum" in first.inner_text()
    assert first.locator("del").count() > 0 and first.locator("ins").count() > 0
    page.fill("[name=text]", "no such words anywhere")
    assert (
        page.locator(".flip").count() == 0 and pager.locator("output").inner_text() == "no example fits these filters"
    )


def test_the_word_difference_rebuilds_both_answers(open_page: Open, report: str, run: Results) -> None:
    page = open_page(f"{report}")
    page.select_option("[name=task]", label="dialogsum")
    shown = page.eval_on_selector_all(
        ".flip", "boxes => boxes.map(box => Array.from(box.querySelectorAll('.answers pre'), pre => pre.textContent))"
    )
    known = {(f.base.reference, f.base.output, f.sample.output) for f in run.flips if f.task == "dialogsum"}
    assert len(shown) == 50 and {tuple(texts) for texts in shown} <= known


def test_a_cell_leads_to_its_answers_and_the_address_keeps_the_filter(open_page: Open, report: str) -> None:
    page = open_page(report)
    link = page.locator("#matrix tr", has=page.locator("th", has_text=re.compile("^copa"))).locator("a").first
    lost, gained = map(int, re.findall(r"\d+", link.inner_text()))
    link.click()
    assert page.locator("#flip-pager output").inner_text().endswith(f"of {lost + gained}")
    assert "#flips?candidate=0&task=" in page.url
    page.reload()
    assert page.locator("#flip-pager output").inner_text().endswith(f"of {lost + gained}")


def test_the_prompt_opens_by_keyboard(open_page: Open, report: str, run: Results) -> None:
    page = open_page(report)
    page.locator(".flip summary").first.press("Enter")
    prompt = page.locator(".flip details pre").first
    prompt.wait_for()
    assert prompt.text_content() in {flip.base.prompt for flip in run.flips}


def test_without_javascript_everything_that_decides_is_there(open_page: Open, report: str) -> None:
    page = open_page(report, java_script_enabled=False)
    assert page.locator("noscript p").is_visible()
    assert page.locator("#flip-controls").is_hidden() and page.locator("#details .controls").is_hidden()
    text = page.locator("body").inner_text()
    for words in ("must not ship", "▼ forgotten", "● retained", "? inconclusive", "+0.72"):
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


def test_printing(open_page: Open, report: str) -> None:
    page = open_page(report)
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden() and page.locator("#flip-controls").is_hidden()
    assert page.locator(".flip:visible").count() == 20
    assert len(page.pdf()) > 20_000


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
    page = open_page(render(results, {**cost, bad: bad}))
    page.eval_on_selector_all("details", "all => all.forEach(d => { d.open = true; })")
    page.locator(".flip details pre").first.wait_for()
    page.select_option("[name=task]", index=1)
    page.fill("[name=text]", "<img")
    page.locator(".flip details").first.evaluate("d => { d.open = true; }")
    page.locator(".flip details pre").first.wait_for()
    page.locator("#details-table th button").first.click()
    assert page.locator(".flip").count() > 0
    assert page.locator("img").count() == 0 and page.locator("script").count() == 2
    assert page.evaluate("window.owned") is None
    assert page.locator(".flip pre").first.text_content() == visible(bad)


def test_only_a_base_and_a_run_with_troubles(open_page: Open, only_base: Results, troubled: Results) -> None:
    assert "nothing to compare" in open_page(render(only_base)).locator("header").inner_text()
    page = open_page(render(troubled))
    assert page.get_by_role("alert").is_visible() and page.locator("#errors tbody tr").count() == 3


@pytest.mark.parametrize(
    "options", [{"java_script_enabled": False}, {"viewport": {"width": 360, "height": 700}}, {"color_scheme": "dark"}]
)
def test_what_was_lost_is_said_in_every_way_of_looking(
    open_page: Open, explained: Results, options: dict[str, object]
) -> None:
    page = open_page(render(explained), **options)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    first = page.locator("#diagnoses article").first
    assert first.get_by_role("heading").inner_text().endswith("full-high · boolq both")
    assert "texts that cannot be read" in first.inner_text() and "length in tokens" not in first.inner_text()
    first.locator("summary").click()
    assert "length in tokens" in first.inner_text()
    page.locator("#matrix a[href='#diagnosis-1']").click()
    assert page.evaluate("location.hash") == "#diagnosis-1"


def test_the_written_answers_of_a_diagnosis_are_one_click_away(open_page: Open, explained: Results) -> None:
    written = tuple(
        replace(f, task="boolq@written") for f in explained.flips if (f.task, f.candidate) == ("boolq", "full-high")
    )
    page = open_page(render(replace(explained, flips=(*explained.flips, *written))))
    page.locator("#diagnosis-1").get_by_role("link", name="examples").click()
    assert page.locator("[name=task] option:checked").inner_text() == "boolq@written"
    assert page.locator("#flip-pager output").inner_text().endswith(f"of {len(written)}")
