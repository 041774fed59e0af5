"""lm-eval's logs: the values it logged, pairs by what was asked, and everything that cannot be paired said by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from imports.tiny_logs import DATE, line
from sklearn.metrics import f1_score, matthews_corrcoef

from evalharness.errors import DataError, EvalHarnessError, NotComparableError, UsageError
from evalharness.imports import lm_eval
from evalharness.imports.measurements import ImportedLogs, check_margins, import_logs
from evalharness.metrics.build import from_facts
from evalharness.tasks.library import Library

LIBRARY = Library()
WriteLog = Callable[..., Path]


def read(path: Path):
    return lm_eval.read(path, path.name, LIBRARY)


def scores(imported: ImportedLogs, task: str) -> dict[tuple[str, str], float]:
    """Score all rows of each (model, metric)."""
    facts = {metric.id: metric for fact in imported.facts if fact.name == task for metric in fact.metrics}
    return {
        (m.model, m.metric): float(from_facts(facts[m.metric]).score(m.rows.sum(0)))
        for m in imported.measurements
        if m.task == task
    }


def test_logged_values_count_by_metric_and_filter(write_log: WriteLog) -> None:
    base = [line(i, acc=float(i < 6), acc_norm=1.0) for i in range(8)] + [
        line(i, pipe="strict", acc=0.0) for i in range(8)
    ]
    tuned = [line(i, acc=float(i < 2), acc_norm=1.0) for i in reversed(range(8))] + [
        line(i, pipe="strict", acc=1.0) for i in range(8)
    ]
    imported = import_logs(read(write_log("base", {"odd": base})), [read(write_log("tuned", {"odd": tuned}))], LIBRARY)
    assert [metric.id for metric in imported.facts[0].metrics] == ["acc", "acc_norm", "acc,strict"]
    assert scores(imported, "odd") == {
        ("base", "acc"): 0.75, ("tuned", "acc"): 0.25, ("base", "acc_norm"): 1.0, ("tuned", "acc_norm"): 1.0,
        ("base", "acc,strict"): 0.0, ("tuned", "acc,strict"): 1.0,
    }  # fmt: skip
    units = {m.model: m.units for m in imported.measurements if m.metric == "acc"}
    assert units["base"] == units["tuned"]
    assert (imported.facts[0].chance, imported.facts[0].margin, imported.facts[0].failed) == (0.5, 0.02, {})


def test_corpus_metrics_are_those_of_scikit_learn_and_sacrebleu(write_log: WriteLog) -> None:
    rng = np.random.default_rng(3)
    gold, chosen = rng.integers(0, 2, 40).tolist(), rng.integers(0, 2, 40).tolist()
    texts = [
        ("the cat sat on the mat today", "the cat sat on a mat"),
        ("a dog ran far away from here", "a dog ran far away from home"),
    ]
    choices = [line(i, f1=[g, c], mcc=[g, c]) for i, (g, c) in enumerate(zip(gold, chosen, strict=True))]
    written = [line(i, bleu=list(pair), chrf=list(pair), ter=list(pair), choices=1) for i, pair in enumerate(texts)]
    log = read(write_log("base", {"choose": choices, "write": written}))
    imported = import_logs(log, [], LIBRARY)
    assert scores(imported, "choose")["base", "f1"] == pytest.approx(f1_score(gold, chosen))
    assert scores(imported, "choose")["base", "mcc"] == pytest.approx(matthews_corrcoef(gold, chosen))
    references, outputs = [[reference for reference, _ in texts]], [output for _, output in texts]
    by_metric = {metric: score for (_, metric), score in scores(imported, "write").items()}
    assert by_metric["bleu"] == pytest.approx(sacrebleu.corpus_bleu(outputs, references).score)
    assert by_metric["chrf"] == pytest.approx(sacrebleu.corpus_chrf(outputs, references).score)
    assert by_metric["ter"] == pytest.approx(sacrebleu.corpus_ter(outputs, references).score)
    assert imported.unscaled == {"write": "bleu"}
    with pytest.raises(UsageError, match="--margin write=DELTA"):
        check_margins(imported, {})
    check_margins(imported, {"write": 1.0})


def test_perplexities_are_sums_of_nats_and_less_is_better(write_log: WriteLog) -> None:
    lines = [line(i, choices=1, word_perplexity=[-10.0 * (i + 1), 5 + i], bits_per_byte=[-10.0, 20]) for i in range(3)]
    imported = import_logs(read(write_log("base", {"texts": lines})), [], LIBRARY)
    by_metric = {metric: score for (_, metric), score in scores(imported, "texts").items()}
    assert by_metric["word_perplexity"] == pytest.approx(np.exp(60 / 18))
    assert by_metric["bits_per_byte"] == pytest.approx(30 / 60 / np.log(2))
    assert not any(metric.higher_is_better for metric in imported.facts[0].metrics)


def test_duplicates_are_told_apart_and_another_order_pairs(write_log: WriteLog) -> None:
    same = [line(0, acc=1.0), line(0, acc=0.0), line(1, acc=1.0)]
    imported = import_logs(
        read(write_log("base", {"odd": same})),
        [read(write_log("tuned", {"odd": [same[2], same[0], same[1]]}))],
        LIBRARY,
    )
    base, tuned = imported.measurements
    assert (base.sizes, base.rows.tolist()) == ((2, 1), [[1.0, 2.0], [1.0, 1.0]])  # which of the two is right is kept
    assert base.units == tuned.units
    assert base.rows.tolist() == tuned.rows.tolist()
    assert (imported.facts[0].repeated, imported.facts[0].available) == (1, 2)


def test_a_prompt_that_comes_again_from_another_document_is_one_unit(write_log: WriteLog) -> None:
    again = [line(0, acc=1.0), line(1, prompt="question 0", acc=1.0), line(2, prompt="question 0", target="0", acc=0.0)]
    more = [line(3, prompt="question 0", choices=3, acc=1.0), line(4, acc=1.0)]
    imported = import_logs(read(write_log("base", {"odd": again + more})), [], LIBRARY)
    assert sorted(imported.measurements[0].sizes) == [1, 1, 1, 2]  # other gold and other choices are other questions
    assert imported.facts[0].repeated == 1


def test_rows_that_our_task_file_keeps_together_are_one_unit(write_log: WriteLog) -> None:
    places = [{"paragraph": 0, "question": i // 3, "answer": i} for i in range(9)]
    rows = [
        {**line(i, acc=1.0), "doc": {"paragraph": "p", "question": f"q{i // 3}", "idx": place}}
        for i, place in enumerate(places)
    ]
    imported = import_logs(read(write_log("base", {"multirc": rows})), [], LIBRARY)
    assert imported.measurements[0].sizes == (3, 3, 3)
    assert imported.facts[0].family == "superglue"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prompt": "another question"}, "8 of 8 shared documents of odd were asked or judged otherwise"),
        ({"target": "0"}, "8 of 8 shared documents of odd were asked or judged otherwise"),
    ],
)
def test_other_prompts_or_gold_answers_are_never_paired(
    write_log: WriteLog, changed: dict[str, str], message: str
) -> None:
    base = read(write_log("base", {"odd": [line(i, acc=1.0) for i in range(8)]}))
    tuned = read(write_log("tuned", {"odd": [line(i, acc=1.0, **changed) for i in range(8)]}))
    with pytest.raises(NotComparableError, match=message):
        import_logs(base, [tuned], LIBRARY)


def test_what_only_one_log_has_is_left_out_and_told(write_log: WriteLog) -> None:
    base = read(write_log("base", {"odd": [line(i, acc=1.0) for i in range(8)], "even": [line(0, acc=1.0)]}))
    tuned = read(write_log("tuned", {"odd": [line(i, acc=1.0) for i in range(3, 10)]}))
    imported = import_logs(base, [tuned], LIBRARY)
    assert [fact.name for fact in imported.facts] == ["odd"]
    assert imported.facts[0].failed == {"base": 2, "tuned": 3}
    assert any("even" in notice for notice in imported.notices)
    assert sum("examples are not in the log of" in notice for notice in imported.notices) == 2
    nothing = read(write_log("other", {"odd": [line(i, acc=1.0) for i in range(20, 22)]}))
    with pytest.raises(NotComparableError, match="no document of odd in common"):
        import_logs(base, [nothing], LIBRARY)
    with pytest.raises(NotComparableError, match="no task in common"):
        import_logs(base, [read(write_log("third", {"else": [line(0, acc=1.0)]}))], LIBRARY)


def test_an_empty_file_is_told_and_the_newest_counts(write_log: WriteLog) -> None:
    write_log("base", {"odd": [line(0, acc=0.0)]}, date="2025-01-02T03-04-05")
    log = read(write_log("base", {"odd": [line(0, acc=1.0)], "empty": []}))
    assert [answer.value for answer in log.tasks["odd"].answers["acc"]] == [1.0]
    assert any("logged 2 times" in notice and DATE in notice for notice in log.notices)
    assert any("no samples in it, so empty is left out" in notice for notice in log.notices)
    with pytest.raises(DataError, match="no samples in any file"):
        read(write_log("nothing", {"odd": []}))


def test_groups_of_ours_and_of_the_log(write_log: WriteLog) -> None:
    subjects = ("mmlu_astronomy", "mmlu_anatomy", "odd", "even")
    about = {"group_subtasks": {"numbers": ["inner"], "inner": ["odd", "even"], "odd": [], "mmlu_astronomy": []}}
    log = read(write_log("base", {task: [line(i, acc=1.0, choices=4) for i in range(3)] for task in subjects}, about))
    groups = {group.name: group for group in import_logs(log, [], LIBRARY).groups}
    assert groups["mmlu"].unit
    assert set(groups["mmlu"].tasks) == {"mmlu_astronomy", "mmlu_anatomy"}
    assert not groups["numbers"].unit
    assert groups["numbers"].tasks == ("odd", "even")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[1]", "no line of lm-eval's samples"),
        ('{"doc_hash": "a"}', "without prompt_hash, target_hash, filter, metrics"),
        (
            '{"doc_hash": "a", "prompt_hash": "b", "target_hash": "c", "filter": "none", "metrics": ["acc"]}',
            "names the metric acc and has no value",
        ),
    ],
)
def test_lines_that_are_not_lm_evals_are_named(write_log: WriteLog, text: str, message: str) -> None:
    folder = write_log("base", {"odd": [line(0, acc=1.0)]})
    (file,) = folder.glob("*/samples_odd_*")
    file.write_text(file.read_text() + text + "\n")
    with pytest.raises(DataError, match=message) as error:
        read(folder)
    assert f"{file.name}:2" in str(error.value)


def test_bytes_that_are_no_text_are_an_error_with_the_file(write_log: WriteLog) -> None:
    folder = write_log("base", {"odd": [line(0, acc=1.0)]})
    (file,) = folder.glob("*/samples_odd_*")
    file.write_bytes(b"\xff\xff" + file.read_bytes())
    with pytest.raises(EvalHarnessError, match=r"jsonl:1: holds bytes that are not UTF-8"):
        read(folder)


def test_metrics_of_no_known_form_are_left_out_and_told(write_log: WriteLog) -> None:
    lines = [line(i, acc=1.0, judged={"by": "someone"}, wide=[0, 5], f1=[0, 3]) for i in range(4)]
    imported = import_logs(read(write_log("base", {"odd": lines})), [], LIBRARY)
    assert [metric.id for metric in imported.facts[0].metrics] == ["acc"]
    assert sum("cannot be scored here" in notice for notice in imported.notices) == 3


def test_the_logs_of_several_models_are_not_one(write_log: WriteLog, tmp_path: Path) -> None:
    folder = write_log("base", {"odd": [line(0, acc=1.0)]})
    (folder / "model__name").rename(folder / "one")
    write_log("base", {"odd": [line(0, acc=1.0)]})
    with pytest.raises(UsageError, match=r"several models \(model__name, one\)"):
        read(folder)
    assert lm_eval.is_log(folder / "one")
    assert not lm_eval.is_log(tmp_path / "nowhere")


def test_another_metric_never_decides_in_the_place_of_one_that_a_candidate_lacks(write_log: WriteLog) -> None:
    base = read(write_log("base", {"odd": [line(i, acc=1.0, acc_norm=1.0) for i in range(8)]}))
    without = read(write_log("without", {"odd": [line(i, acc_norm=1.0) for i in range(8)]}))
    with pytest.raises(NotComparableError, match="without: odd has no scores by acc, which decides"):
        import_logs(base, [without], LIBRARY)
    broken = read(
        write_log("broken", {"odd": [line(i, acc=float("nan") if i == 3 else 0.0, acc_norm=1.0) for i in range(8)]})
    )
    imported = import_logs(base, [broken], LIBRARY)
    assert [metric.id for metric in imported.facts[0].metrics] == ["acc"]
    assert imported.facts[0].failed == {"broken": 1}
    assert any("acc_norm is left out" in notice for notice in imported.notices)


def test_which_way_is_better(write_log: WriteLog) -> None:
    lines = [line(i, choices=1, wer=0.5, oddness=0.5, cer=0.1, acc=1.0) for i in range(4)]
    imported = import_logs(
        read(write_log("base", {"odd": lines}, {"higher_is_better": {"odd": {"cer": True}}})),
        [],
        LIBRARY,
        {"acc": {"higher_is_better": False}},
    )
    assert {metric.id: metric.higher_is_better for metric in imported.facts[0].metrics} == {
        "wer": False,
        "oddness": True,
        "cer": True,
        "acc": False,
    }
    assert [notice for notice in imported.notices if "higher_is_better" in notice] == [
        "odd: oddness is assumed to be better when higher; if not: --metric oddness:higher_is_better=no"
    ]


def test_chance_is_the_mean_over_questions_with_different_numbers_of_choices(write_log: WriteLog) -> None:
    lines = [line(i, choices=4 if i else 2, acc=1.0) for i in range(4)]
    assert import_logs(read(write_log("base", {"odd": lines})), [], LIBRARY).facts[0].chance == pytest.approx(
        (3 / 4 + 1 / 2) / 4
    )


def test_documents_asked_twice_in_other_words_pair_in_any_order(write_log: WriteLog) -> None:
    lines = [line(0, acc=1.0), line(0, prompt="in other words", acc=0.0), line(1, acc=1.0)]
    imported = import_logs(
        read(write_log("base", {"odd": lines})), [read(write_log("tuned", {"odd": lines[::-1]}))], LIBRARY
    )
    assert imported.facts[0].failed == {}
    assert imported.measurements[0].rows.tolist() == imported.measurements[1].rows.tolist()


ODDITIES = (None, True, 3, float("nan"), "x", [], [1], ["a"], [None], {}, {"a": 1}, [[1]], 10**400)


@pytest.mark.parametrize("key", [*line(0, acc=1.0), "no such key"])
def test_no_line_however_odd_is_a_crash(write_log: WriteLog, key: str) -> None:
    """One line, then every line, with something else in the place of each of its values."""
    good = [line(i, acc=float(i % 2)) for i in range(12)]
    base = read(write_log("base", {"odd": good}))
    for value in ODDITIES:
        for odd in (
            [{**each, key: value} if i == 5 else each for i, each in enumerate(good)],
            [{**each, key: value} for each in good],
        ):
            try:
                imported = import_logs(base, [read(write_log("tuned", {"odd": odd}))], LIBRARY)
            except EvalHarnessError as error:
                assert error.exit_code in (2, 5)
            else:
                assert all(np.isfinite(measured.rows).all() for measured in imported.measurements)


@pytest.mark.parametrize("key", ["group_subtasks", "higher_is_better", "versions", "config", "limit"])
def test_results_files_however_odd_decide_nothing(write_log: WriteLog, key: str) -> None:
    lines = {"odd": [line(i, acc=1.0) for i in range(3)]}
    for value in ODDITIES:
        for odd in (value, {"odd": value}, {"odd": {"acc": value}}):
            log = read(write_log("base", lines, {key: odd}))
            assert import_logs(log, [], LIBRARY).facts[0].name == "odd"
            json.dumps(log.settings, allow_nan=False)


def test_mutual_information_asks_for_each_choice_twice(write_log: WriteLog) -> None:
    log = read(write_log("base", {"odd": [line(i, choices=8, acc=1.0, acc_mutual_info=1.0) for i in range(3)]}))
    assert log.tasks["odd"].stated["acc"] == {"chance": 1 / 4}


def test_each_task_is_told_of_by_the_results_file_of_its_own_date(write_log: WriteLog) -> None:
    """Two evaluations into one folder, as more tasks are added to it."""
    earlier, later = "2026-01-01T00-00-00.1", "2026-02-01T00-00-00.1"
    first = {
        "group_subtasks": {"numbers": ["odd", "even"]},
        "higher_is_better": {"odd": {"badness": False}},
        "versions": {"odd": 3},
    }
    write_log(
        "base", {name: [line(0, badness=1.0)] for name in ("odd", "even")}, {**first, "config": {"limit": 5}}, earlier
    )
    log = read(
        write_log("base", {"more": [line(0, acc=1.0)]}, {"versions": {"more": 1}, "config": {"limit": 7}}, later)
    )
    assert log.groups == {"numbers": ("odd", "even")}
    assert (log.tasks["odd"].stated["badness"], log.tasks["odd"].version, log.tasks["more"].version) == (
        {"higher_is_better": False},
        "3",
        "1",
    )
    assert log.settings == {"limit": 7}


def test_the_results_file_of_an_output_path_that_is_a_file_is_found(write_log: WriteLog) -> None:
    folder = write_log("base", {"odd": [line(0, acc=1.0)]}, {"versions": {"odd": 2}})
    (file,) = folder.glob("*/results_*.json")
    file.rename(file.with_name(file.name.replace("results_", "mine_")))
    assert read(folder).tasks["odd"].version == "2"
