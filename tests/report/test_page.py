"""The whole page: complete, well formed, the same bytes every time, and inert whatever it shows."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from report.page_outline import Outline
from slow_cases import quick_ones

from evalharness.paths import shipped
from evalharness.records.comparison import Comparison, Estimate, Verdict
from evalharness.records.measurements import ExampleError, Sample
from evalharness.records.results import Flip, ModelRow, Results
from evalharness.report import wording
from evalharness.report.flags import FLAGS
from evalharness.report.folder import write
from evalharness.report.page import page as page_of
from evalharness.report.page import render
from evalharness.results import write_results

DRAWN = ("path", "use", "g", "text", "defs", "clippath", "rect")
WRAPPING = (("wbr", (), None), ("span", ("class",), "whole"))  # where a line may break, which depends on the text


@pytest.fixture(scope="module")
def page(run: Results, cost: dict[str, object]) -> str:
    return render(run, cost)


@pytest.fixture(scope="module")
def outline(page: str) -> Outline:
    return Outline(page)


# ---- form ------------------------------------------------------------------------------------------------------------


def test_well_formed_and_every_reference_resolves(outline: Outline) -> None:
    assert outline.wrong == []
    ids = Counter(attributes["id"] for _, attributes in outline.elements if "id" in attributes)
    assert max(ids.values()) == 1
    for _, attributes in outline.elements:
        for key in ("aria-labelledby", "for"):
            assert all(part in ids for part in (attributes.get(key) or "").split())
        target = attributes.get("href") or attributes.get("xlink:href") or ""
        assert not target or target.removeprefix("#") in ids, target


def test_readable_by_machine_and_without_sight(outline: Outline) -> None:
    assert dict(outline.elements[0][1]) == {"lang": "en"}
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in outline.elements
    assert outline.count("table") == outline.count("caption") >= 8
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in outline.elements if tag == "th")
    assert outline.count("h1") == outline.count("main") == 1
    svgs = [attributes for tag, attributes in outline.elements if tag == "svg"]
    assert len(svgs) == 2 and all(attributes["role"] == "img" and attributes["aria-labelledby"] for attributes in svgs)


def test_nothing_is_loaded_and_only_our_script_may_run(page: str, outline: Outline) -> None:
    script = (shipped("reports") / "script.js").read_text()
    policy = next(
        attributes["content"] for tag, attributes in outline.elements if tag == "meta" and "http-equiv" in attributes
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None and f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert page.count(f"<script>{script}</script>") == 1 and outline.count("script") == 2
    assert not {"link", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in outline.elements}
    assert not [
        key
        for _, attributes in outline.elements
        for key in attributes
        if key.startswith("on") or key in ("src", "srcset", "action")
    ]
    assert "@import" not in page and set(re.findall(r"url\((.)", page)) <= {"#"}
    assert not re.findall(r"https?://(?!www\.w3\.org/)", page)


def test_the_script_sets_text_never_markup() -> None:
    script = (shipped("reports") / "script.js").read_text()
    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|fetch\(|XMLHttp|import\(", script
    )


def _contrast(one: str, two: str) -> float:
    """WCAG 2.2 contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_in_light_dark_and_print() -> None:
    style = (shipped("reports") / "style.css").read_text()
    themes = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)
    ]
    assert len(themes) == 3
    for theme in themes:
        words = [
            (word, place)
            for word in ("ink", "muted", "link", "forgotten", "retained", "inconclusive")
            for place in ("paper", "ground")
        ]
        words += [(word, f"{word}-tint") for word in ("forgotten", "retained", "target")]
        for word, place in words:
            assert _contrast(theme[word], theme[place]) >= 4.5, (word, place, theme)
        for i in range(8):
            assert _contrast(theme[f"c{i}"], theme["paper"]) >= 3, i


# ---- content ---------------------------------------------------------------------------------------------------------


def test_every_verdict_flag_task_and_candidate_is_there(outline: Outline, run: Results) -> None:
    text = outline.text()
    for verdict, (glyph, _) in wording.VERDICTS.items():
        assert glyph in text and verdict in text
    shown = {flag for c in run.comparisons for flag in c.flags}
    assert shown >= set(FLAGS) - {"incomplete"}
    for flag, said in FLAGS.items():
        assert flag in text and all(words in text for words in said)
    for name in (
        {c.task for c in run.comparisons} | {model.name for model in run.models} | {c.metric for c in run.comparisons}
    ):
        assert name in text
    assert "did not learn" in text and "the model is exactly the base" in text


def test_what_decides_comes_first(page: str) -> None:
    ids = ["decision", "matrix", "figures", "details", "flips", "scores", "models", "cost", "measured"]
    places = [page.index(f'id="{name}"') for name in ids]
    assert places == sorted(places)


def test_the_cost_section_is_all_that_cost_moves(run: Results, cost: dict[str, object]) -> None:
    def without_cost(text: str) -> str:
        return re.sub(r'<section id="cost".*?</section>', "", text, flags=re.S)

    first, second, none = (
        render(run, cost),
        render(run, {**cost, "seconds": 99.0, "notices": ["x" * 5000]}),
        render(run),
    )
    assert first != second != none
    assert without_cost(first) == without_cost(second) == without_cost(none)
    assert (
        "1 min 14 s" in first
        and "812 MB" in first
        and "2026-09-01" in first
        and "2026-09-01" not in without_cost(first)
    )
    assert "not recorded" in none


def test_only_a_base(only_base: Results) -> None:
    outline = Outline(render(only_base))
    assert outline.wrong == [] and outline.count("svg") == 0
    assert "nothing to compare" in outline.text() and "tiny-base" in outline.text()


def test_troubles_are_loud(troubled: Results) -> None:
    outline = Outline(render(troubled))
    assert outline.wrong == []
    text = re.sub(r"\s+", " ", outline.text())
    assert text.index("Incomplete: 42 examples got no answer") < text.index("May it ship?")
    assert "the engine stopped: out of memory" in text and "All 5 candidates are incomplete" in text
    assert any(attributes.get("role") == "alert" for _, attributes in outline.elements)


def test_no_answers_to_show(make_run: Callable[..., Results]) -> None:
    outline = Outline(render(make_run(0)))
    assert outline.wrong == [] and "No answer changed its score" in outline.text()


def test_a_page_with_very_many_changed_answers_stays_small(make_run: Callable[..., Results]) -> None:
    results = make_run(60)
    long = tuple(
        replace(
            flip,
            base=replace(flip.base, prompt=f"{i} " + "word " * 900),
            sample=replace(flip.sample, prompt=f"{i} " + "word " * 900),
        )
        for i, flip in enumerate(results.flips * 8)
    )
    page = render(replace(results, flips=long))
    assert len(page.encode()) < 2_000_000
    changed = sum(flip.direction != "same" for flip in long)
    assert re.search(rf"[\d,]+ of {changed:,} examples whose answers changed their score are in this file", page)


def test_a_page_that_would_be_too_large_leaves_its_tables_to_a_file_beside_it(run: Results, tmp_path: Path) -> None:
    small, all_of_it = page_of(run, most=420_000), page_of(run)
    assert not all_of_it.left_out and small.left_out[:1] == ("the table of all comparisons",)
    assert len(small.text.encode()) <= 420_000 and Outline(small.text).wrong == []
    assert "lora-r8 may ship" in small.text and 'id="details"' not in small.text and 'id="details"' in all_of_it.text
    least = page_of(run, most=1)
    assert len(least.left_out) == 6 and "lora-r8 may ship" in least.text and len(least.text) < 150_000
    write_results(tmp_path, run)
    write(tmp_path, most=420_000)
    assert len((tmp_path / "comparisons.csv").read_text("utf-8").splitlines()) == 1 + len(run.comparisons)
    assert 'href="comparisons.csv"' in (tmp_path / "report.html").read_text("utf-8")
    write(tmp_path)
    assert not (tmp_path / "comparisons.csv").exists()


def test_no_local_path_is_on_the_page(run: Results) -> None:
    """A page is mailed to others: of paths the last part is left, of addresses all."""
    signature = {**run.signature, "data": "/home/me/data/rows.jsonl", "from": "https://hub.example/a/b"}
    cost = {"loads": {"/srv/secret/models/base": 1}, "notices": ["kept in ~/runs/one/x.json, and C:\\Users\\me\\y.csv"]}
    error = ExampleError(task="sst2", model="lora-r8", example="1", reason="/tmp/of me/a/rows.csv: not there")
    text = render(replace(run, signature=signature, errors=(error,)), cost)
    assert not [part for part in ("/home/me", "/srv/secret", "~/runs", "Users", "/tmp/of") if part in text]
    for part in ("…/rows.jsonl", "…/base", "…/x.json", "…/y.csv", "https://hub.example/a/b", "rows.csv: not there"):
        assert part in text


# ---- the same bytes --------------------------------------------------------------------------------------------------

RENDER = """
import hashlib, pickle, sys
from evalharness.report.page import render
r, c = pickle.load(open(sys.argv[1], 'rb'))
"""


@pytest.mark.parametrize("seed", ["271828", pytest.param("1", marks=pytest.mark.slow)])
def test_byte_identical_in_another_process(
    page: str, run: Results, cost: dict[str, object], tmp_path: Path, seed: str
) -> None:
    stored = tmp_path / "run.pickle"
    stored.write_bytes(pickle.dumps((run, cost)))
    code = RENDER + "print(hashlib.sha256(render(r, c).encode()).hexdigest())"
    elsewhere = subprocess.run(
        [sys.executable, "-c", code, str(stored)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    assert elsewhere.stdout.strip() == hashlib.sha256(page.encode()).hexdigest()
    assert render(run, cost) == page


@pytest.mark.slow
def test_no_heavy_library_is_loaded() -> None:
    modules = "evalharness.report.page, evalharness.report.forest, evalharness.report.tradeoff"
    heavy = {"torch", "transformers", "datasets", "evaluate"}
    code = f"import {modules}, sys; print({heavy} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "set()"
    )


# ---- hostile text ----------------------------------------------------------------------------------------------------

PAYLOADS = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</svg><img src=x onerror=alert(1)>",
    "</textarea></pre></td></table><iframe srcdoc='<script>alert(1)</script>'>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "\" onmouseover=\"alert(1)\" x=\"",
    "' onfocus='alert(1)' autofocus='",
    "` onclick=`alert(1)`",
    "javascript:alert(1)",
    "<!-- <script> -->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "]]></desc><script>alert(1)</script>",
    "{{ 7 * 7 }} {% include 'style.css' %} {# x #}",
    "${alert(1)} #{1} <%= 1 %>",
    "a $x_{$ b $\\frac{1}$",
    "&lt;script&gt; &amp;amp; &#x3c;b&#x3e;",
    "\u202egnp.exe\u2066\u2069\u200b\ufeff",
    "\x1b[2J\x1b]0;owned\x07 \x9b31m \x00",
    "\ud800\udfff lone",
    "\\u003cscript\\u003e \\x3cb\\x3e",
    "a\r\nb\u2028c\u2029d\x0be\x85f",
    "=cmd|'/c calc'!A1",
    "z̸̢̛̗͓̮̓͊͝a̵̱͗l̴̹̈́g̶̤̈́o" * 20,
    "constructor __proto__ toString",
    "n" * 4000,
)  # fmt: skip


def hostile_run(bad: str) -> Results:
    """Two candidates × three tasks in which every text is `bad`, told apart by a number."""
    base, one, two = f"{bad}0", f"{bad}1", f"{bad}2"
    models = (
        ModelRow(
            name=base,
            kind="base",
            fingerprint=bad,
            base=None,
            parameters=10,
            trainable=0,
            trainable_share=0.0,
            bytes=10,
        ),
        ModelRow(
            name=one,
            kind="full",
            fingerprint=bad,
            base=base,
            parameters=10,
            trainable=10,
            trainable_share=1.0,
            bytes=10,
            target_task=f"{bad}t1",
            target_gain=Estimate(value=0.3, low=0.2, high=0.4),
            learned_target=True,
        ),
        ModelRow(
            name=two,
            kind="lora",
            fingerprint=bad,
            base=base,
            parameters=10,
            trainable=1,
            trainable_share=0.1,
            bytes=10,
            target_task=f"{bad}t1",
            target_gain=Estimate(value=0.0, low=-0.1, high=0.1),
            learned_target=False,
        ),
    )
    comparisons, flips = [], []
    for candidate, change in ((one, -0.3), (two, 0.0)):
        verdict: Verdict = "forgotten" if change else "retained"
        difference = Estimate(value=change, low=change - 0.01, high=change + 0.01)
        for task, level, metric, primary in (
            (f"{bad}s", "suite", "skill", True),
            (f"{bad}t1", "task", bad, True),
            (f"{bad}t1", "task", f"{bad}'", False),
            (f"{bad}t2", "task", bad, True),
        ):
            comparisons.append(
                Comparison(
                    task=task, family=bad, level=level, unit=True, metric=metric, primary=primary, candidate=candidate,
                    n=50, base=Estimate(value=0.6), candidate_score=Estimate(value=0.6 + change),
                    difference=difference, ci_level=0.9, lost=3, gained=1, p_forgotten=0.01, p_forgotten_adjusted=0.02,
                    p_retained=0.9, p_difference=0.05, margin=0.02, verdict=verdict, flags=(bad, "suspect"),
                    available=80,
                )
            )  # fmt: skip
        sample = Sample(
            id=bad, unit=bad, prompt=f"{bad} question", output=f"{bad} right", reference=f"{bad} gold", score=1.0
        )
        flips.append(
            Flip(
                task=f"{bad}t1",
                candidate=candidate,
                direction="lost",
                base=sample,
                sample=replace(sample, output=f"{bad} wrong", score=0.0, error=bad),
            )
        )
        flips.append(
            Flip(
                task=f"{bad}t2",
                candidate=candidate,
                direction="gained",
                base=sample,
                sample=replace(sample, output=bad),
            )
        )
    errors = (
        ExampleError(task=f"{bad}t1", model=one, example=bad, reason=bad),
        ExampleError(task=bad, model=bad, example=bad, reason=bad),
    )
    signature = {
        "suite": bad,
        bad: bad,
        "list": [bad],
        "tasks": {bad: {bad: bad, "data": bad}},
        f"{bad}m": {bad: {bad: {bad: bad}}},
    }
    return Results(
        signature=signature, models=models, comparisons=tuple(comparisons), errors=errors, flips=tuple(flips)
    )


@cache
@functools.cache
def hostile_page(bad: str) -> str:
    return render(hostile_run(bad), {"seconds": 1.0, bad: bad, "notices": [bad], "models": {bad: {bad: 1}}})


def _skeleton(outline: Outline) -> list[tuple[str, tuple[str, ...], str | None]]:
    """Elements with the names of their attributes and their classes: all that text must not be able to change, but for
    where a line may break.
    """
    every = ((tag, tuple(sorted(attributes)), attributes.get("class")) for tag, attributes in outline.elements)
    return [entry for entry in every if entry not in WRAPPING]


@pytest.fixture(scope="module")
def harmless() -> list[tuple[str, tuple[str, ...], str | None]]:
    return _skeleton(Outline(hostile_page("word ")))


@pytest.mark.fault(28)
@pytest.mark.parametrize("bad", quick_ones(PAYLOADS, PAYLOADS[::3]), ids=range(len(PAYLOADS)))
def test_hostile_text_changes_no_element(bad: str, harmless: list[tuple[str, tuple[str, ...], str | None]]) -> None:
    page = hostile_page(bad)
    outline = Outline(page)
    assert outline.wrong == []
    elements = _skeleton(outline)
    assert [entry for entry in elements if entry[0] not in DRAWN] == [e for e in harmless if e[0] not in DRAWN]
    assert {tag for tag, _, _ in elements} == {tag for tag, _, _ in harmless}
    assert not [key for _, attributes in outline.elements for key in attributes if key.startswith("on")]
    page.encode("utf-8")
    assert not [
        character
        for character in set(page) - {"\n", "\t"}
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]


@pytest.mark.fault(28)
@pytest.mark.parametrize("bad", PAYLOADS, ids=range(len(PAYLOADS)))
def test_hostile_text_is_shown_as_it_is(bad: str) -> None:
    outline = Outline(hostile_page(bad))
    island = next(data for tag, data in outline.texts if tag == "script")
    data = json.loads(island)
    assert wording.shortened(wording.visible(f"{bad} right"), 1600) in data["texts"] and not set("<>&") & set(island)
    if len(bad) < 200:
        assert wording.one_line(f"{bad}1") in outline.text()


def test_what_was_not_measured_is_nowhere_a_number(half_measured: Results, unmeasured: Results) -> None:
    page = Outline(render(half_measured))
    assert not page.wrong
    assert "Not drawn, because not measured: full-low and prompt-16." in page.text()
    assert "full-low is incomplete" in page.text() and "not measured" in page.text()
    without = Outline(render(unmeasured))
    assert not without.wrong and "<figure" not in render(unmeasured)
    assert "0.000" not in without.text() and "nan" not in without.text()
