"""Knowledge or format on the page: words first, then where lost answers went, then every measure; and what an older run
without it shows.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from evalharness import results
from evalharness.records.comparison import Estimate
from evalharness.records.measurements import Sample
from evalharness.records.results import Results
from evalharness.report import diagnoses
from evalharness.report.page import render
from evalharness.report.terminal import unexplained, verdict_lines


def test_candidates_in_the_order_of_the_page_and_numbers_as_they_are(explained: Results) -> None:
    first, second = diagnoses.views(explained)
    assert [(found.candidate, found.task, found.short) for found in (first, second)] == [
        ("full-high", "boolq", "chooses worse, less readable"),
        ("prompt-16", "mmlu", "the format seems lost"),
    ]
    assert first.fates == (
        ("texts that cannot be read", "120", "2", "−0.393 [−0.440, −0.340]"),
        ("texts that are readable and wrong", "14", "3", "−0.037 [−0.060, −0.010]"),
    )
    assert [(line.words, line.scores.base, line.scores.candidate, line.moved) for line in first.lines[1:]] == [
        ("written, right anywhere in the text", "0.740", "0.310", "fell"),
        ("written, no answer to be read", "0.010", "0.420", "fell"),
        ("written, length in tokens", "2.0", "17.2", ""),
    ]


def test_one_table_says_it_before_all_that_was_measured(explained: Results, run: Results) -> None:
    page, plain = render(explained), render(run)
    section = page.split('id="diagnoses"')[1].split("</section>")[0]
    leaning = explained.diagnoses[1].leaning
    assert leaning is not None and leaning["candidate"].choice not in page
    text = re.sub(r"<[^>]+>", " ", section)
    assert (
        text.index("chooses worse, less readable")
        < text.index("120 lost, 2 gained")
        < text.index("it chooses worse.")
        < text.index("written, length in tokens")
        < text.index("texts that cannot be read")
    )
    assert "&lt;b onclick" in section
    matrix = page.split('id="matrix"')[1].split("</section>")[0]
    assert matrix.count('href="#diagnosis-') == 2
    assert "diagnosis-" not in plain.split("<body>")[1] and 'id="diagnoses"' not in plain


def test_a_candidate_that_the_run_does_not_know_is_passed_over(explained: Results) -> None:
    assert (
        len(
            diagnoses.views(
                replace(
                    explained, diagnoses=(*explained.diagnoses, replace(explained.diagnoses[0], candidate="nobody"))
                )
            )
        )
        == 2
    )


def test_written_answers_are_among_the_changed_ones_and_linked(explained: Results, tmp_path: Path) -> None:
    """Also those of a group's members; of candidates without a diagnosis none."""
    signature = {**explained.signature, "groups": {"mmlu": ["mmlu_anatomy"], "mmlu@written": ["mmlu_anatomy@written"]}}
    found = replace(explained, signature=signature, flips=())
    for task in ("boolq@written", "mmlu_anatomy@written"):
        for model in ("tiny-base", "full-high", "prompt-16"):
            right = model == "tiny-base"
            sample = Sample(
                id="0-a",
                unit="0",
                prompt="Yes or no?",
                output="yes" if right else "",
                reference="yes",
                score=float(right),
            )
            results.write_samples(tmp_path, task, model, [sample])
    flips = tuple(results.read_flips(tmp_path, found))
    assert [(flip.task, flip.candidate, flip.direction) for flip in flips] == [
        ("boolq@written", "full-high", "lost"),
        ("mmlu_anatomy@written", "prompt-16", "lost"),
    ]
    section = render(replace(found, flips=flips)).split('id="diagnoses"')[1].split("</section>")[0]
    assert re.findall(r'<a href="#flips" data-task="(\d+)" data-candidate="(\d+)">examples</a>', section) == [
        ("0", "0")
    ]


def test_results_with_and_without_them_are_read(explained: Results, run: Results, tmp_path: Path) -> None:
    for found in (explained, run):
        results.write_results(tmp_path, found)
        assert results.read_results(tmp_path).diagnoses == found.diagnoses
        assert ("diagnoses" in json.loads((tmp_path / "results.json").read_text())) == bool(found.diagnoses)


def test_the_terminal_says_it_below_the_candidates_table(explained: Results) -> None:
    lines = list(verdict_lines(explained))
    heads = [
        next(i for i, line in enumerate(lines) if line.startswith(name))
        for name in ("full-high", "full-low", "prompt-16")
    ]
    assert heads[0] < lines.index("  boolq: it chooses worse") < heads[1]
    assert heads[2] < lines.index("  mmlu: the format")


def test_what_was_lost_and_not_explained_is_said_once(explained: Results, run: Results) -> None:
    (_, line) = unexplained(run)
    assert line.startswith("knowledge or format? The same command with --explain asks once more about sst2")
    assert "dialogsum" not in line and "demo" not in line  # nothing is chosen there
    assert list(unexplained(replace(explained, signature={**run.signature, "explain": True}))) == []
    kept = tuple(
        replace(c, verdict="retained", difference=Estimate(value=0.0, low=-0.01, high=0.01))
        for c in run.comparisons
        if c.unit
    )
    assert list(unexplained(replace(run, comparisons=kept))) == []
