"""A sweep on the page: its tables, its figure, its section; and how candidates were made."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from evalharness import results as folder_of
from evalharness.errors import UsageError
from evalharness.records.comparison import Estimate
from evalharness.records.results import Results
from evalharness.report import curves, tradeoff, training_table
from evalharness.report.folder import write
from evalharness.report.page import render
from evalharness.report.svg import COLOURS
from evalharness.report.sweep import SWEEP, Choice, Outcome, Point, Sweep
from evalharness.report.sweep_tables import chosen_table, rank_table, rate_table, tables
from evalharness.report.text_table import markdown

SVG = "{http://www.w3.org/2000/svg}"
# series, rate, gain, suite: of seed 1; seed 2 is a little worse; None: diverged
GRID = (
    ("full", 1e-4, 0.61, -0.01), ("full", 1e-3, 0.72, -0.40), ("full", 1e-2, None, None),
    ("lora-r1", 1e-3, 0.40, -0.02), ("lora-r1", 1e-2, 0.66, -0.30), ("lora-r8", 1e-3, 0.01, 0.0),
    ("lora-r8", 1e-2, 0.68, -0.35),
)  # fmt: skip


def point(series: str, rate: float, seed: int, gain: float | None, suite: float | None) -> Point:
    method, _, rank = series.partition("-r")
    name = f"{series}-lr{rate:g}-s{seed}"
    blank = Point(
        name=name,
        series=series,
        method=method,
        rank=int(rank) if rank else None,
        learning_rate=rate,
        seed=seed,
        status="trained",
        reason="",
        made={
            "trainable": 4608,
            "bytes": 18_432,
            "seconds": 12.5,
            "tokens_per_second": 1520.4,
            "peak_memory_process": 9e8,
        },
    )
    if gain is None or suite is None:
        return replace(blank, status="diverged", reason="training diverged: the loss is nan", made={})
    less = 0.02 * (seed - 1)
    found = Outcome(
        metrics={"acc": 0.25 + gain - less, "brier_score": 0.4},
        gain=Estimate(value=gain - less, low=gain - 0.05, high=gain + 0.05), learned=gain > 0.1,
        suite=Estimate(value=suite - less, low=suite - 0.03, high=suite + 0.03),
        forgotten=("sst2", "rte")[: 2 if suite < -0.1 else 0],
        units=11,
    )  # fmt: skip
    return replace(blank, loss=1.0 - gain, validation=found, test=found if rate == 1e-2 and method == "lora" else None)


@pytest.fixture
def sweep() -> Sweep:
    points = tuple(point(series, rate, seed, gain, suite) for series, rate, gain, suite in GRID for seed in (1, 2))
    names = {
        key: tuple(p.name for p in points if (p.series, p.learning_rate) == key)
        for key in {(p.series, p.learning_rate) for p in points}
    }
    chosen = tuple(Choice(series, 1e-2, 0.9, names[series, 1e-2]) for series in ("lora-r1", "lora-r8"))
    return Sweep(
        base="tiny-base",
        task="topics",
        suite="demo",
        select="acc",
        rule="The rule.",
        rows={"topics": "validation"},
        points=points,
        chosen=chosen,
        notices=("rte: 50 rows are held out",),
    )


def test_there_and_back(sweep: Sweep, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(SWEEP.text(sweep))
    assert SWEEP.read(tmp_path) == sweep and SWEEP.read(tmp_path / "elsewhere") is None
    document = json.loads(SWEEP.text(sweep))
    del document["digest"]
    (tmp_path / "sweep.json").write_text(json.dumps({**document, "schema_version": 1}, indent=1))
    with pytest.raises(UsageError, match="sweep of schema version 1, this evalharness reads 2"):
        SWEEP.read(tmp_path)


def test_the_rank_table_has_the_columns_of_the_papers_and_what_was_forgotten(sweep: Sweep) -> None:
    table = chosen_table(sweep)
    assert table.columns[:6] == ("method", "rank", "rate", "val_loss", "acc", "brier_score")
    assert [row[:4] for row in table.rows] == [("lora", "1", "0.01", "0.340"), ("lora", "8", "0.01", "0.320")]
    cells = dict(zip(table.columns, table.rows[0], strict=True))
    assert (
        cells["forgotten"] == "2 of 11"
        and cells["trainable"] == "4,608"
        and cells["size"] == "18.4 kB"
        and cells["training"] == "12.5 s"
        and (cells["tokens/s"], cells["peak memory"]) == ("1,520", "900 MB")
    )
    assert (
        cells["acc"] == "0.900"
        and cells["gain on the target"] == "+0.650 (+0.640 … +0.660)"
        and cells["suite, in margins"] == "−0.31"
    )
    assert "2 seeds" in table.note and "Test rows" in table.note


# Hu et al. (2021), table 18: GPT-2 medium on E2E.
RANKS = """
1     1.23  68.72  8.7215  0.4565  0.7052  2.4329
2     1.21  69.17  8.7413  0.4590  0.7052  2.4639
4     1.18  70.38  8.8439  0.4689  0.7186  2.5349
8     1.17  69.57  8.7457  0.4636  0.7196  2.5196
16    1.16  69.61  8.7483  0.4629  0.7177  2.4985
32    1.16  69.33  8.7736  0.4642  0.7105  2.5255
64    1.16  69.24  8.7174  0.4651  0.7180  2.5070
128   1.16  68.73  8.6718  0.4628  0.7127  2.5030
256   1.16  68.92  8.6982  0.4629  0.7128  2.5012
512   1.16  68.78  8.6857  0.4637  0.7128  2.5025
1024  1.17  69.37  8.7495  0.4659  0.7149  2.5090
"""


def test_the_rank_table_prints_the_papers_digits_and_marks_by_the_interval(sweep: Sweep) -> None:
    lines = [line.split() for line in RANKS.strip().splitlines()]
    points, chosen = [], []
    for rank, loss, *scores in lines:
        metrics = dict(zip(("bleu", "nist", "meteor", "rougeL", "cider"), map(float, scores), strict=True))
        made = point(f"lora-r{rank}", 2e-4, 1, 0.5, 0.0)
        assert made.validation is not None
        outcome = replace(
            made.validation, metrics=dict(reversed(metrics.items()))
        )  # columns have an order of their own
        points.append(replace(made, loss=float(loss), test=outcome))
        chosen.append(Choice(made.series, 2e-4, metrics["bleu"], (made.name,)))
    best = ("lora-r4", "lora-r8", "lora-r16")
    ranks = replace(sweep, points=tuple(points), chosen=tuple(chosen), best=best, best_rule="The rule of marks.")
    table = rank_table(ranks)
    assert table.columns == ("rank", "val_loss", "BLEU", "NIST", "METEOR", "ROUGE_L", "CIDEr", "remarks")
    assert [list(row[:-1]) for row in table.rows] == lines
    marks = {row[0]: row[-1] for row in table.rows if row[-1]}
    assert marks == dict.fromkeys(("8", "16"), "● not separated from the best") | {"4": "● best"}
    assert table.note == "The rule of marks." and tables(ranks)[0] == table


def test_without_ranks_there_is_no_rank_table_and_with_two_methods_each_is_named(sweep: Sweep) -> None:
    assert [row[0] for row in rank_table(sweep).rows] == ["1", "8"]
    assert rank_table(sweep).note == "No rank is marked."
    full = tuple(replace(each, rank=None) for each in sweep.points)
    assert rank_table(replace(sweep, points=full)).rows == ()
    other = tuple(replace(each, method="dora") if each.series == "lora-r8" else each for each in sweep.points)
    assert [row[0] for row in rank_table(replace(sweep, points=other)).rows] == ["lora 1", "dora 8"]


def test_every_rate_with_its_seeds_and_remarks(sweep: Sweep) -> None:
    table = rate_table(sweep)
    rows = {(row[0], row[1]): dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert len(rows) == len(GRID)
    assert (
        rows["full", "0.01"]["remarks"] == "diverged: seed 1, 2" and rows["full", "0.01"]["gain on the target"] == "–"
    )
    assert (
        rows["lora-r8", "0.001"]["remarks"] == "did not learn its target"
        and rows["lora-r8", "0.01"]["remarks"] == "chosen, the largest tried"
    )
    assert rows["full", "0.001"]["suite, in margins"] == "−0.41 (−0.42 … −0.40)"
    single = replace(sweep, points=tuple(p for p in sweep.points if p.seed == 1))
    assert rate_table(single).rows[0][3] == "+0.610 [+0.560, +0.660]"
    assert "never test rows" in table.note


def test_as_markdown(sweep: Sweep) -> None:
    lines = [line for table in tables(sweep) for line in markdown(table)]
    widths = {line.count("|") for line in lines if line.startswith("|")}
    assert len(widths) == 3 and "|---|" in "\n".join(lines)


def test_the_figure_joins_rates_marks_the_unlearned_hollow_and_is_the_same_every_time(sweep: Sweep) -> None:
    text = curves.curves(sweep)
    assert text == curves.curves(sweep)
    root = ElementTree.fromstring(text)
    assert not any(colour in text for colour in COLOURS)
    ids = [str(element.get("id")) for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) and all(key.startswith("curves-") for key in ids)
    tips = [str(element.text) for element in root.iter(f"{SVG}title")]
    assert any(tip.startswith("lora-r8 at 0.001:") and "learned in 0 of" in tip for tip in tips)
    assert any(tip.startswith("lora-r1 at 0.01:") and tip.endswith("learned in 2 of 2, chosen") for tip in tips)
    fills = {
        str(g.get("id")): str(next(g.iter(f"{SVG}use")).get("style"))
        for g in root.iter(f"{SVG}g")
        if "-stop-" in str(g.get("id"))
    }
    assert len(fills) == 6, "what diverged has no point"
    assert "fill: var(--paper)" in fills["curves-stop-2-0"] and "fill: var(--c2)" in fills["curves-stop-2-1"]
    assert curves.curves(replace(sweep, points=tuple(p for p in sweep.points if p.validation is None))) == ""


def test_the_page_shows_the_sweep_that_chose_its_candidates_and_no_other(
    run: Results, sweep: Sweep, tmp_path: Path
) -> None:
    page = render(run, sweep=sweep)
    assert 'id="sweep"' in page and "The rule." in page and page.count('role="img"') == 3
    assert re.search(r"Rte: 50 rows are held out\.", page)
    assert 'id="sweep"' not in render(run)
    (tmp_path / "samples").mkdir()
    folder_of.write_results(tmp_path, run)
    (tmp_path / "sweep.json").write_text(SWEEP.text(sweep))
    assert 'id="sweep"' not in write(tmp_path).read_text()
    points = tuple(
        replace(each, name=name) for each, name in zip(sweep.points, ("full-high", "full-low"), strict=False)
    )
    own = replace(sweep, chosen=(Choice("full", 1e-4, 0.9, ("full-high", "full-low")),), points=points)
    (tmp_path / "sweep.json").write_text(SWEEP.text(own))
    assert 'id="sweep"' in write(tmp_path).read_text()


# ---- how they were made ----------------------------------------------------------------------------------------------


def trained(run: Results) -> Results:
    facts = {
        "full-high": {
            "method": "full",
            "learning_rate": 1e-3,
            "steps": 240,
            "examples": 2000,
            "seconds": 61.2,
            "seed": 1,
        },
        "full-low": {"method": "full", "learning_rate": 1e-4, "after": "stage-1"},
        "lora-r8": {"method": "lora", "rank": 8, "learning_rate": 1e-3},
        "lora-slow": {"method": "lora", "rank": 4, "learning_rate": 1e-5},
    }
    return replace(run, models=tuple(replace(model, training=facts.get(model.name, {})) for model in run.models))


def test_how_they_were_made(run: Results) -> None:
    rows = {row.name: row.cells for row in training_table.training_table(trained(run))}
    assert list(rows) == ["full-high", "full-low", "lora-r8", "lora-slow"]
    high = rows["full-high"]
    assert (high["Method"], high["Rank"], high["Learning rate"], high["Steps"], high["Time"]) == (
        "full",
        "–",
        "0.001",
        "240",
        "1 min 01 s",
    )
    assert (
        high["Forgotten"].endswith(" of 10")
        and high["Target gain"].startswith("+0.72")
        and high["Trainable share"] == "100.00 %"
    )
    assert (
        rows["lora-r8"]["Rank"] == "8"
        and rows["lora-r8"]["Size on disk"] == "301 kB"
        and rows["lora-r8"]["Time"] == "–"
    )
    page = render(trained(run))
    assert "How they were made" in page and "after stage-1" in page and "How they were made" not in render(run)


def test_candidates_that_differ_in_their_rate_alone_are_joined(run: Results) -> None:
    high = {"method": "full", "learning_rate": 1e-3, "steps": 240, "seed": 1, "seconds": 61.2, "examples": 2000}
    low = {**high, "learning_rate": 1e-4, "seed": 2, "seconds": 60.1}

    def with_low(**more: object) -> Results:
        facts = {"full-high": high, "full-low": {**low, **more}}
        return replace(run, models=tuple(replace(m, training=facts.get(m.name, {})) for m in run.models))

    assert training_table.rate_series(with_low()) == [("full-low", "full-high")]
    for other in ({"replay": {"sst2": 0.2}}, {"after": "stage-1"}, {"steps": 100}, {"method": "lora"}):
        assert training_table.rate_series(with_low(**other)) == []
    assert training_table.rate_series(run) == []
    assert tradeoff.tradeoff(with_low()) != tradeoff.tradeoff(run)


def test_a_gain_that_is_no_learning_says_why(sweep: Sweep) -> None:
    """From below guessing up to guessing: the interval alone would contradict the remark."""

    def remarks(low: float) -> str:
        gain = Estimate(value=0.2, low=low, high=0.343)
        points = [
            replace(p, validation=replace(p.validation, learned=False, gain=gain)) for p in sweep.points if p.validation
        ]
        table = rate_table(replace(sweep, points=tuple(points), chosen=()))
        return dict(zip(table.columns, table.rows[0], strict=True))["remarks"]

    assert remarks(0.101) == (
        "did not learn its target: its gain is within the margin, or its score no better than guessing"
    )
    assert remarks(-0.05) == "did not learn its target"
