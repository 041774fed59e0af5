"""The baseline file: what was measured comes back, small, and nothing that was changed is taken; candidates are judged
from it alone as they are from the base.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measured_runs import ACC, MCC, ROUGE, measured, measured_run, scored, task

from evalharness.analysis.analyse import analyse
from evalharness.analysis.baseline_accept import accepted_file, change_lines
from evalharness.analysis.baseline_file import BaselineFile, read_file, text_of
from evalharness.analysis.baseline_gate import results_against, with_baseline
from evalharness.analysis.gate import judge, merge_decisions
from evalharness.analysis.row_packing import apply_changes, as_packed, pack_changes, pack_rows, unpack_rows
from evalharness.errors import EvalHarnessError, NotComparableError, UsageError
from evalharness.records.answers import AnswerCounts
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import Measurement
from evalharness.records.models import NO_TARGET
from evalharness.records.policy import Policy
from evalharness.records.results import ModelRow
from evalharness.results.digest import with_digest
from evalharness.tasks.library import Library

BOTH, BASELINE = Policy(against="both"), Policy(against="baseline")


def model(name: str, base: str | None = None) -> ModelRow:
    return ModelRow(
        name=name,
        kind="lora" if base else "base",
        fingerprint=f"content of {name}",
        base=base,
        parameters=10,
        trainable=1,
        trainable_share=0.1,
        bytes=1,
    )


def run_of(base: str, candidate: str, values: dict[str, dict[str, np.ndarray]], **signature: Any) -> MeasuredRun:
    """A run of two models; `values`: of each by task."""
    facts = [replace(task(name), data_digest="d" * 64, prompts_digest="a" * 64) for name in next(iter(values.values()))]
    rows = [measured(name, model, right) for model, of in values.items() for name, right in of.items()]
    plan = ComparePlan(base=base, candidates=(candidate,), targets={candidate: NO_TARGET})
    stated = {"alpha": 0.05, "engine": {"name": "drawn", "fingerprint": "f", "device": "cpu"}, "limit": None}
    return measured_run(
        facts, rows, plan, models=(model(base), model(candidate, base)), signature={**stated, **signature}
    )


def right(share: float, n: int = 1000, shift: int = 0) -> np.ndarray:
    return ((np.arange(n) + shift) % n < share * n).astype(float)


def write(path: Path, run: MeasuredRun, name: str) -> BaselineFile:
    before = read_file(path) if path.exists() else None
    path.write_text(text_of(accepted_file(path, run, name, before)))
    return read_file(path)


# ---- packing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows",
    [
        np.column_stack([right(0.7, 101), np.ones(101)]),
        scored(MCC, "m", right(0.7, 50)).rows,
        np.column_stack([np.random.default_rng(1).random(300), np.ones(300)]),  # no two alike
        np.column_stack([np.arange(400) // 3 / 7, np.full(400, 3.0)]),
        np.random.default_rng(2).integers(0, 70_000, (200, 10)).astype(float),
        np.zeros((0, 2)),
        np.zeros((4, 20)),
        np.array([[0.1, 3.0]]),
        -np.ones((9, 1)),
    ],
)
def test_rows_come_back_in_single_precision(rows: np.ndarray) -> None:
    again = unpack_rows(pack_rows(rows))
    assert again.shape == rows.shape and np.array_equal(again, rows.astype(np.float32).astype(float))
    assert np.array_equal(as_packed(rows), again) and np.array_equal(as_packed(again), again)
    other = rows.copy()
    other[::7] = other[::-1][::7]
    assert np.array_equal(apply_changes(pack_changes(as_packed(other), again), again), as_packed(other))


def test_sums_of_squares_stay_those_of_their_numbers() -> None:
    """A constant number stays constant, whatever its precision: a correlation must not be made of rounding."""
    rng = np.random.default_rng(3)
    for x in (rng.random(500) * 5, np.full(500, 0.1) + 1e-9 * rng.random(500)):
        y = np.round(rng.random(500) * 5, 1)
        rows = unpack_rows(pack_rows(np.column_stack([np.ones(500), x, y, x * x, y * y, x * y])))
        assert np.array_equal(rows[:, 3], rows[:, 1] ** 2) and np.array_equal(rows[:, 5], rows[:, 1] * rows[:, 2])


def test_what_is_nothing_packed_is_a_value_error() -> None:
    for text in ("", "x", pack_rows(np.ones((5, 2)))[:-4], "!!!!!", "Ω"):
        with pytest.raises(ValueError):
            unpack_rows(text)


# ---- the size --------------------------------------------------------------------------------------------------------

# GLUE's, SuperGLUE's and MMLU's validation or test sets, by the metric that decides
SIZES = {
    "sst2": 872,
    "mrpc": 408,
    "qqp": 40430,
    "mnli": 9815,
    "mnli_mismatch": 9832,
    "qnli": 5463,
    "rte": 277,
    "wnli": 71,
    "boolq": 3270,
    "cb": 56,
    "copa": 100,
    "sglue_rte": 277,
    "wic": 638,
    "wsc": 104,
    **dict.fromkeys(Library().group("mmlu").tasks, 247),
}


def test_glue_superglue_and_mmlu_fit_in_40_kb(tmp_path: Path) -> None:
    """With answers of which nothing can be foreseen, and numbers of which no two are alike where numbers are scored."""
    rng, facts, rows = np.random.default_rng(4), [], []
    pearson = replace(ACC, id="pearson", name="pearson", kind="corpus", low=-1.0, signature="pearson|x:expectation|v:1")
    f1a = replace(ACC, id="f1a", name="f1a", kind="corpus", signature="f1a|positive:1|v:1")

    def add(name: str, metric: Any, table: np.ndarray, sizes: np.ndarray | None = None) -> None:
        counts = AnswerCounts(answers=len(table), most_common="B", most_common_count=9, most_common_right=9)
        facts.append(replace(task(name, metric, answers={"base": counts}), data_digest=name, prompts_digest="p" * 64))
        units = tuple(f"{i}-{name}" for i in range(len(table)))
        each = tuple(int(size) for size in (np.ones(len(table)) if sizes is None else sizes))
        rows.append(Measurement(task=name, metric=metric.id, model="base", units=units, sizes=each, rows=table))

    for name, n in SIZES.items():
        add(
            name, replace(ACC, signature="acc|ties:first|v:1"), np.column_stack([rng.random(n) < 0.5, np.ones(n)]) * 1.0
        )
    add("cola", replace(MCC, signature="mcc|classes:2|v:1"), np.eye(4)[rng.choice(4, 1043, p=[0.2, 0.1, 0.1, 0.6])])
    x, y = rng.random(1500) * 5, np.round(rng.random(1500) * 25) / 5
    add("stsb", pearson, np.column_stack([np.ones(1500), x, y, x * x, y * y, x * y]))
    choices = rng.integers(2, 10, 953)
    judged = np.column_stack([rng.binomial(choices, p) for p in (0.4, 0.1, 0.1, 0.4)]).astype(float)
    add("multirc", f1a, judged, judged.sum(axis=1).clip(1))
    queries = rng.integers(1, 4, 7481)
    add("record", ROUGE, np.column_stack([rng.binomial(queries, 0.8), queries]).astype(float), queries)
    engine = {"fingerprint": "f" * 64, **{f"detail {i}": "of the engine, in some words" for i in range(20)}}
    run = measured_run(facts, rows, models=(model("base"),), signature={"engine": engine})
    path = tmp_path / "baseline.json"
    file = write(path, run, "base")
    assert path.stat().st_size < 40_000
    assert [len(each.rows) for each in file.scores[0]] == [len(each.units) for each in rows]
    lines = path.read_text().splitlines()
    assert sum(line.startswith('["') for line in lines) == 2 * len(facts)  # a task a line, and its rows


# ---- judged from it --------------------------------------------------------------------------------------------------

TASKS = ("t1", "t2", "t3", "t4")


def step(number: int, lost: int) -> dict[str, np.ndarray]:
    """The answers after so many steps, each of which lost so many of 1,000 on every task."""
    return {name: (np.arange(1000) >= number * lost) & (np.arange(1000) < 900) for name in TASKS}


def values(number: int, lost: int = 9) -> dict[str, np.ndarray]:
    return {name: each.astype(float) for name, each in step(number, lost).items()}


def gated(run: MeasuredRun, path: Path, policy: Policy) -> int:
    policy = replace(policy, baseline=str(path))
    every = results_against(run, analyse(run), policy)
    return int(merge_decisions([(label, judge(of, policy)) for label, of in every]).exit_code)


def test_ten_small_steps_are_seen_against_the_original_base(tmp_path: Path) -> None:
    """Each loses .9 points of the 2 that are acceptable; each is accepted, and is what the next one is held against."""
    path = tmp_path / "baseline.json"
    write(path, run_of("base", "s1", {"base": values(0), "s1": values(1)}), "base")
    codes = []
    for number in range(1, 11):
        run = run_of("base", f"s{number}", {"base": values(0), f"s{number}": values(number)})
        codes.append((gated(run, path, BASELINE), gated(run, path, BOTH)))
        write(path, run, f"s{number}")
    assert [code for code, _ in codes] == [0] * 10
    assert codes[0][1] == 0 and {code for _, code in codes[3:]} == {3}


def test_a_candidate_is_judged_from_the_file_as_beside_the_base(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    run = run_of("base", "c", {"base": values(0), "c": values(6)})
    file = write(path, run, "base")
    from_file = analyse(with_baseline(run, file.original))
    assert from_file.comparisons == analyse(run).comparisons
    # and without the base's rows in the run
    other = run_of("other", "c", {"other": values(3), "c": values(6)})
    assert analyse(with_baseline(other, file.original)).comparisons == from_file.comparisons
    assert gated(other, path, BASELINE) == 3


def test_both_is_of_the_files_original_where_the_run_was_of_the_accepted(tmp_path: Path) -> None:
    """Whoever gives the last candidate as --base has not got rid of the original one."""
    path = tmp_path / "baseline.json"
    write(path, run_of("base", "s1", {"base": values(0), "s1": values(1)}), "base")
    write(path, run_of("base", "s4", {"base": values(0), "s4": values(4)}), "s4")
    run = run_of("s4", "s5", {"s4": values(4), "s5": values(5)})
    assert judge(analyse(run), Policy()).exit_code == 0
    assert gated(run, path, BASELINE) == 0 and gated(run, path, BOTH) == 3
    stranger = run_of("s3", "s5", {"s3": values(3), "s5": values(5)})
    with pytest.raises(NotComparableError, match=r"of base and s4, and the base of this run is another model \(s3\)"):
        gated(stranger, path, BOTH)
    with pytest.raises(NotComparableError, match="neither its original base nor the candidate accepted last"):
        write(path, stranger, "s5")


def edited_run(**changes: Any) -> MeasuredRun:
    return run_of("base", "c", {"base": values(0), "c": values(1)}, **changes)


def with_fact(**changes: Any) -> MeasuredRun:
    run = edited_run()
    return replace(run, facts=(replace(run.facts[0], **changes), *run.facts[1:]))


def of_tasks(count: int) -> MeasuredRun:
    run = edited_run()
    return replace(
        run, facts=run.facts[:count], measurements=tuple(m for m in run.measurements if m.task in TASKS[:count])
    )


def other_units() -> MeasuredRun:
    run = edited_run()
    rows = (replace(m, units=tuple(f"{unit}?" for unit in m.units)) for m in run.measurements)
    return replace(run, measurements=tuple(rows))


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (with_fact(data_digest="e" * 64), "t1: the scores are of other data than this run's"),
        (with_fact(prompts_digest="b" * 64), "t1: the scores are of other prompts"),
        (with_fact(metrics=(replace(ACC, signature="acc|v:2"),)), "t1: the scores are of other metrics"),
        (edited_run(tasks={name: {"definition": "new"} for name in TASKS}), "the scores are of other task files"),
        (edited_run(engine={"name": "drawn", "fingerprint": "g", "device": "cuda"}), "device cpu there, cuda here"),
        (of_tasks(3), "holds scores of t4, which this run did not ask"),
        (other_units(), "the scores are of other questions"),
    ],
)
def test_what_was_asked_otherwise_is_not_compared(run: MeasuredRun, message: str, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write(path, edited_run(), "base")
    for policy in (BASELINE, BOTH):
        with pytest.raises(NotComparableError, match=message.replace("(", r"\(")) as caught:
            gated(run, path, policy)
        assert caught.value.exit_code == 5


def test_a_run_of_more_tasks_than_the_file_is_not_judged_by_a_part(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write(path, of_tasks(3), "base")
    with pytest.raises(NotComparableError, match="t4: there are no scores of this task"):
        gated(edited_run(), path, BASELINE)


# ---- tampered --------------------------------------------------------------------------------------------------------


def forged(document: dict[str, Any]) -> dict[str, Any]:
    """With the digest that belongs to it: what is wrong in it must be seen all the same."""
    content = {key: value for key, value in document.items() if key not in ("digest", "schema_version")}
    return with_digest(content, document["schema_version"])


@pytest.mark.parametrize("signed", [False, True])
def test_a_file_that_was_changed_ends_with_5_wherever(tmp_path: Path, signed: bool) -> None:
    path = tmp_path / "baseline.json"
    write(path, edited_run(), "base")
    write(path, edited_run(), "c")
    whole = json.loads(path.read_text())
    edits: list[tuple[Any, ...]] = [
        ("models", []),
        ("models", 0, "fingerprint", 3),
        ("models", 1, "nickname", "x"),
        ("tasks", 0, 4, 999),
        ("tasks", 0, 4, "1000"),
        ("tasks", whole["tasks"][1:]),
        ("rows", 0, 0, whole["rows"][0][0][:-5]),
        ("rows", 0, whole["rows"][0][:1]),
        ("rows", 0, 1, "x"),
        ("counts", 0, [["a", 0, [1, 2]]]),
        ("engine", None),
        ("engine", {}),
        ("counts", 0, 0, 2, list(range(9))),
        ("schema_version", 99),
        ("more", {}),
    ]
    if not signed:
        edits += [
            ("tasks", 0, 2, 0, 0.1),
            ("models", 0, "name", "x"),
            ("rows", 0, 0, pack_rows(np.ones((1000, 2)))),
            ("asked", {}),
        ]
    for *keys, last, value in edits:
        document = json.loads(path.read_text())
        place = document
        for key in keys:
            place = place[key]
        place[last] = value
        other = tmp_path / "other.json"
        other.write_text(json.dumps(forged(document) if signed else document))
        with pytest.raises(NotComparableError) as caught:
            read_file(other)
        assert caught.value.exit_code == 5 and "baseline accept" in caught.value.fix, (keys, last)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\x00", b'{"schema_version": 1}', b"x" * 1000])
def test_what_is_no_baseline_file_ends_with_5(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "baseline.json"
    path.write_bytes(content)
    with pytest.raises(NotComparableError):
        read_file(path)


def test_every_byte_that_is_cut_off_or_flipped_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write(path, edited_run(), "base")
    content, rng = path.read_bytes(), np.random.default_rng(5)
    for at in rng.integers(0, len(content) - 3, 60):
        changed_byte = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        for damaged in (content[:at], changed_byte):
            path.write_bytes(damaged)
            with pytest.raises(EvalHarnessError) as caught:
                read_file(path)
            assert caught.value.exit_code == 5


def test_no_file_at_all_is_a_mistake_of_whoever_names_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no baseline file can be read here"):
        read_file(tmp_path / "nothing.json")
    with pytest.raises(UsageError, match=r"evalharness-baseline\.json: no baseline file can be read here"):
        results_against(edited_run(), analyse(edited_run()), BASELINE)


# ---- accepting -------------------------------------------------------------------------------------------------------


def test_accepting_says_what_changes(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    run = edited_run()
    file = accepted_file(path, run, "base", None)
    first = list(change_lines(None, file))
    assert first[0] == "new: base on 4 tasks" and "t1: acc 0.9000" in first
    both = accepted_file(path, run, "c", file)
    assert list(change_lines(file, both)) == [
        "accepted: c (content of c), before: base (content of b)",
        *(f"{name}: acc 0.9000 → 0.8910, 9 of 1000 units" for name in TASKS),
    ]
    assert list(change_lines(both, both)) == ["no accepted score of the same questions changes"]
    limited = accepted_file(path, edited_run(limit=5), "base", both)
    assert "limit: None there, 5 here" in list(change_lines(both, limited))
    assert [row.name for row in limited.models] == ["base"]
    with pytest.raises(NotComparableError, match="holds scores of something else \\(limit: None there, 5 here\\)"):
        accepted_file(path, edited_run(limit=5), "c", both)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"failed": {"base": 3}}, "base failed on 3 examples"),
        ({"rounds": {"base": 2}}, "base was not asked all of it"),
        ({"partly": ("base",)}, "base was not asked all of it"),
    ],
)
def test_what_was_not_answered_as_a_whole_is_not_accepted(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(NotComparableError, match=message):
        accepted_file(tmp_path / "x.json", with_fact(**changes), "base", None)
