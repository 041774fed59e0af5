"""inspect_ai's logs, as its version 0.3.285 wrote them (logs/inspect/make.py): the scores of its own results, pairs by
what was asked, and what is unfinished, damaged or failed said by name.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from command_line import exit_code
from imports.log_mutations import LOGS

from evalharness.errors import DataError, NotComparableError, UsageError
from evalharness.imports import inspect_ai
from evalharness.imports.inspect_files import read_header, read_samples
from evalharness.imports.logged import AnswerTexts, ModelLog
from evalharness.imports.measurements import import_logs
from evalharness.metrics.build import from_facts
from evalharness.tasks.library import Library

RECORDED = LOGS / "inspect"
Change = Callable[[dict[str, Any]], object]


def read(path: Path, model: str = "") -> ModelLog:
    return inspect_ai.read(path, path.name, None, model)


def changed(folder: Path, task: str, change: Change, name: str = "changed.json", model: str = "tuned") -> Path:
    """A folder with one recorded log, as JSON, in which something is changed."""
    (file,) = (RECORDED / model).glob(f"{task}.*")
    log = read_header(file)
    samples, reductions = read_samples(log)
    document = {**log.header, "samples": [sample for _, sample in samples], "reductions": reductions}
    document = json.loads(json.dumps(document))
    change(document)
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(document))
    return folder


def scores(models: Mapping[str, ModelLog]) -> dict[tuple[str, str, str], float]:
    """The score of each (model, task, metric)."""
    logs = list(models.values())
    imported = import_logs(logs[0], logs[1:], Library())
    metrics = {(fact.name, metric.id): from_facts(metric) for fact in imported.facts for metric in fact.metrics}
    return {
        (each.model, each.task, each.metric): float(metrics[each.task, each.metric].score(each.rows.sum(0)))
        for each in imported.measurements
    }


def test_scores_are_those_of_inspect_ais_own_results() -> None:
    ours = scores({model: read(RECORDED / model) for model in ("base", "tuned")})
    theirs = {}
    for model in ("base", "tuned"):
        for file in (RECORDED / model).iterdir():
            log = read_header(file)
            for score in log.header["results"]["scores"]:
                reducer = "" if score.get("reducer") in (None, "mean") else f",{score['reducer']}"
                (value,) = [of["value"] for name, of in score["metrics"].items() if name in ("accuracy", "mean")]
                theirs[model, log.task, f"{score['name']}{reducer}"] = value
    assert ours == pytest.approx(theirs, rel=0, abs=1e-9)
    assert len(theirs) == 2 * (1 + 4 + 3 + 1)
    assert len(set(theirs.values())) > 5


def test_what_is_known_of_scores_and_answers() -> None:
    log = read(RECORDED / "base")
    choose, sentence, often = (log.tasks[name] for name in ("choose", "sentence", "often"))
    assert choose.stated["choice"] == {"higher_is_better": True, "chance": pytest.approx(1 / 3)}
    assert sentence.stated["match"] == {"higher_is_better": True, "chance": pytest.approx(1 / 8)}
    assert sentence.stated["f1"] == {} and sentence.version == "2"
    assert list(often.answers) == ["match", "match,mode", "match,at_least_2"]
    assert {answer.value for answer in often.answers["match"]} <= {0, 1 / 3, 2 / 3, 1}
    assert (len(often.read["none"]), len(choose.read["none"])) == (24, 8)
    assert {given.place for given in choose.read["none"]} == {0, 1, 2}
    assert not any(given.unreadable or given.empty for given in choose.read["none"])
    assert log.settings["inspect_ai_version"] == "0.3.285"


def test_texts_are_what_the_model_was_sent_and_gave() -> None:
    log = read(RECORDED / "base")
    texts = log.tasks["choose"].texts[log.tasks["choose"].answers["choice"][0].key]
    assert texts.prompt.endswith("Which is the capital? Number 0.\n\nA) Paris\nB) Rome\nC) Madrid")
    assert (texts.output, texts.gold) == ("ANSWER: A", "A: Paris")
    assert AnswerTexts(
        "system: You know capitals.\n\nuser: Answer briefly. Name it in a sentence. Number 0.", "It is Paris", "Paris"
    ) in set(log.tasks["sentence"].texts.values())


def test_a_sample_that_failed_has_no_score_and_ends_with_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = read(RECORDED / "base").tasks["broken"]
    assert (task.failed, len(task.answers["match"])) == (1, 7)
    for model in ("base", "tuned"):
        shutil.copytree(RECORDED / model, tmp_path / model)
    assert exit_code("compare", tmp_path / "base", tmp_path / "tuned", "--json") == 5
    output = capsys.readouterr()
    assert "tuned/broken.eval: 1 of 8 samples got no score (RuntimeError('the tool is gone'))" in output.err
    flags = {row["task"]: row["flags"] for row in json.loads(output.out)["comparisons"] if row["level"] == "task"}
    assert {task for task, of in flags.items() if "incomplete" in of} == {"broken"}


def test_an_epoch_that_is_missing_leaves_its_sample_without_score(tmp_path: Path) -> None:
    task = read(changed(tmp_path / "log", "often", lambda log: log["samples"].pop(0))).tasks["often"]
    assert (task.failed, len(task.answers["match"]), len(task.answers["match,mode"])) == (1, 7, 7)


def test_the_reducer_that_the_task_names_counts(tmp_path: Path) -> None:
    def only_mode(log: dict[str, Any]) -> None:
        log["eval"]["config"]["epochs_reducer"] = ["mode"]

    task = read(changed(tmp_path / "log", "often", only_mode)).tasks["often"]
    assert next(iter(task.answers)) == "match,mode" and "match" not in task.answers


def test_the_metric_that_the_task_calls_its_headline_decides(tmp_path: Path) -> None:
    def headline(log: dict[str, Any]) -> None:
        log["eval"]["headline_metric"] = {"scorer": "f1"}

    task = read(changed(tmp_path / "log", "sentence", headline)).tasks["sentence"]
    assert list(task.answers) == ["f1", "includes", "match", "exact"]


def test_scores_of_several_parts_and_of_words_are_numbers_by_part(tmp_path: Path) -> None:
    def parts(log: dict[str, Any]) -> None:
        for number, sample in enumerate(log["samples"]):
            value = {"kind": "C" if number % 2 else "P", "said": "yes", "length": 0.5 * number}
            sample["scores"] = {"judge": {"value": value}, "words": {"value": "0.25"}, "notes": {"value": "well said"}}

    task = read(changed(tmp_path / "log", "choose", parts)).tasks["choose"]
    values = {metric: [answer.value for answer in of][:2] for metric, of in task.answers.items()}
    expected = {"judge/kind": [0.5, 1.0], "judge/said": [1.0, 1.0], "judge/length": [0.0, 0.5]}
    assert values == {**expected, "words": [0.25, 0.25], "notes": ["well said"] * 2}
    assert task.stated["judge/kind"] == {"higher_is_better": True} and task.stated["judge/length"] == {}


def test_arguments_make_another_task_of_one(tmp_path: Path) -> None:
    def shots(log: dict[str, Any]) -> None:
        log["eval"]["task_args_passed"] = {"fewshot": 5, "subject": "law"}

    log = read(changed(tmp_path / "log", "choose", shots))
    assert list(log.tasks) == ["choose(fewshot=5, subject=law)"]
    with pytest.raises(NotComparableError, match="no task in common"):
        import_logs(read(RECORDED / "base"), [log], Library())


def test_the_newest_finished_log_of_a_task_counts(tmp_path: Path) -> None:
    def later(log: dict[str, Any]) -> None:
        log["eval"]["created"] = "2099-01-01T00:00:00+00:00"
        for sample in log["samples"]:
            sample["scores"]["choice"]["value"] = "I"

    def failed(log: dict[str, Any]) -> None:
        later(log)
        log["status"] = "error"

    for change, name in ((lambda log: None, "a.json"), (later, "b.json")):
        folder = changed(tmp_path / "log", "choose", change, name)
    log = read(folder)
    assert {answer.value for answer in log.tasks["choose"].answers["choice"]} == {0.0}
    assert "choose was logged 2 times; the newest finished log counts (b.json)" in log.notices
    changed(tmp_path / "log", "choose", failed, "b.json")
    assert {answer.value for answer in read(folder).tasks["choose"].answers["choice"]} == {0.0, 1.0}
    (folder / "a.json").unlink()
    with pytest.raises(DataError, match=r"was not finished \(status error\); finish it with `inspect eval-retry"):
        read(folder)


def test_one_of_several_models_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = changed(tmp_path / "logs", "choose", lambda log: None, "a.json", model="base")
    changed(folder, "choose", lambda log: None, "b.json")
    with pytest.raises(
        UsageError, match=r"several models \(mockllm/base, mockllm/tuned\); name one of them: .*#mockllm"
    ):
        read(folder)
    with pytest.raises(UsageError, match="holds no log of the model mockllm/x; mockllm/base or mockllm/tuned would"):
        read(folder, "mockllm/x")
    assert exit_code("compare", f"{folder}#mockllm/base", f"new={folder}#mockllm/tuned", "--json") == 0
    assert [model["name"] for model in json.loads(capsys.readouterr().out)["models"]] == ["mockllm/base", "new"]


def test_a_member_packed_by_deflate_as_older_versions_do_is_read(tmp_path: Path) -> None:
    log = read_header(RECORDED / "base" / "choose.eval")
    samples, _ = read_samples(log)
    with ZipFile(tmp_path / "old.eval", "w", ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(log.header))
        for _, sample in samples:
            archive.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
    assert read(tmp_path).tasks["choose"].answers == read(RECORDED / "base").tasks["choose"].answers
    with ZipFile(tmp_path / "old.eval", "w", ZIP_DEFLATED) as archive:
        archive.writestr("_journal/start.json", "{}")
    with pytest.raises(DataError, match="was not finished"):
        read(tmp_path)


def test_bytes_that_changed_on_the_way_are_noticed(tmp_path: Path) -> None:
    file = Path(shutil.copy(RECORDED / "base" / "choose.eval", tmp_path))
    whole = file.read_bytes()
    for place in range(100, len(whole) - 1500, 700):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            tasks = read(tmp_path).tasks
        except DataError as error:
            assert "choose.eval" in str(error)
        else:  # it was of a member that is not read, or of a date
            assert tasks["choose"].answers == read(RECORDED / "base").tasks["choose"].answers


def test_what_older_versions_log_as_a_message_is_the_answer(tmp_path: Path) -> None:
    def older(log: dict[str, Any]) -> None:  # as 0.3.100 does
        for sample in log["samples"]:
            del sample["output"]["completion"]
            sample["output"]["choices"][0]["stop_reason"] = "max_tokens"

    task = read(changed(tmp_path / "log", "sentence", older)).tasks["sentence"]
    assert task.texts == read(RECORDED / "tuned").tasks["sentence"].texts
    assert {(given.empty, given.cut_off) for given in task.read["none"]} == {(False, True)}


def test_an_answer_is_unreadable_only_where_its_scorer_logs_what_it_reads(tmp_path: Path) -> None:
    def unread(log: dict[str, Any], kept: int) -> None:
        for sample in log["samples"][kept:]:
            sample["scores"]["choice"].pop("answer")

    for kept, unreadable in ((3, 5), (0, 0)):
        task = read(changed(tmp_path / "log", "choose", lambda log, kept=kept: unread(log, kept))).tasks["choose"]
        assert sum(given.unreadable for given in task.read["none"]) == unreadable


def test_long_texts_that_were_set_aside_are_put_back(tmp_path: Path) -> None:
    def attach(log: dict[str, Any]) -> None:
        for sample in log["samples"]:
            sample["attachments"] = {"abc": "a long question"}
            sample["messages"][0]["content"] = [{"type": "text", "text": "attachment://abc"}, {"type": "image"}]

    task = read(changed(tmp_path / "log", "choose", attach)).tasks["choose"]
    assert {texts.prompt for texts in task.texts.values()} == {"a long question\n[image]"}
