"""Regular expressions and globs of task files that backtrack without end: an error of the examples, in bounded time."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml
from task_files import task_from_file

from evalharness import budget
from evalharness.records.requests import Example, Generate, Generation, PreparedTask
from evalharness.run.measure import measure
from evalharness.tasks import filters

TEXT = "a" * 40 + "b"
PATTERNS = ("(a+)+$", "(a|a)*$", "(a|aa)+$", "(.*a){25}$", r"(\w*)*\d", "(?:a?){40}a{40}x", "((a*)*)*$")
STEPS = (
    *({"function": "regex", "regex_pattern": pattern} for pattern in PATTERNS),
    {"function": "multi_choice_regex", "regex_pattern": "(a+)+$"},
    {"function": "multi_choice_regex", "regexes_to_ignore": ["(a+)+$"]},
)


@pytest.fixture(autouse=True)
def sooner(monkeypatch):
    monkeypatch.setattr(budget, "SECONDS", 0.1)


@pytest.fixture
def prepared(tmp_path: Path):
    """Forty examples of a task with this filter and metric."""

    def make(step: dict[str, object], metric: dict[str, object]) -> PreparedTask:
        file = tmp_path / "hostile.yaml"
        definition = {
            "task": "hostile",
            "dataset_path": "none",
            "test_split": "test",
            "doc_to_text": "q",
            "doc_to_target": "a",
            "metric_list": [{"metric": "exact_match", **metric}],
            "filter_list": [{"name": "read", "filter": [step, {"function": "take_first"}]}],
        }
        file.write_text(yaml.safe_dump(definition))
        ids = [f"e{number}" for number in range(40)]
        tags = {filters.CHOICES_TAG: "[]"}
        return PreparedTask(
            task=task_from_file(file),
            examples=tuple(Example(id=name, unit=name, prompt=name, references=("x",), tags=tags) for name in ids),
            requests=tuple(Generate(prompt=name, max_tokens=8, stop=()) for name in ids),
            failures=(),
            available=len(ids),
            data_digest="d",
            prompts_digest="p",
            chance=None,
        )

    return make


def outcome_of(task: PreparedTask):
    """What becomes of the answers, the first two of which are harmless."""
    texts = ["x", "y", *[TEXT] * 38]
    answers = {
        request.id: Generation(request_id=request.id, text=text, finish_reason="stop", tokens=3)
        for request, text in zip(task.requests, texts, strict=True)
    }
    start = time.process_time()
    outcome = measure(task, answers, "model")
    assert time.process_time() - start < 1
    return outcome


@pytest.mark.fault(24)
@pytest.mark.parametrize("step", STEPS)
def test_a_filter_without_end_is_an_error_of_the_examples_from_there_on(step, prepared) -> None:
    outcome = outcome_of(prepared(step, {}))
    assert [error.example for error in outcome.errors] == [f"e{number}" for number in range(2, 40)]
    assert "it takes more than 0.1 s" in outcome.errors[0].reason


@pytest.mark.fault(24)
def test_so_is_a_metrics_pattern(prepared) -> None:
    outcome = outcome_of(prepared({"function": "take_first"}, {"regexes_to_ignore": ["(a+)+$"]}))
    assert [error.example for error in outcome.errors] == [f"e{number}" for number in range(2, 40)]
    assert "regexes_to_ignore: it takes more than 0.1 s" in outcome.errors[0].reason


@pytest.mark.fault(24)
def test_globs_do_not_backtrack() -> None:
    start = time.process_time()
    assert not fnmatchcase("a" * 2000, "*a" * 200 + "b")
    assert time.process_time() - start < 1
