"""Two engines on the same requests: equal, near, apart in numbers, in texts, in what is answered; and by themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import evalharness
from evalharness.errors import UsageError
from evalharness.report.engine_check import AGAIN, TURNED, EngineCheck, document, sentences

SMALL = {"limit": 6, "device": "cpu", "tasks": ["yes_no", "echo"]}


@pytest.fixture
def check(zoo: dict[str, Path], small_world: Path) -> Callable[..., EngineCheck]:
    """Checks two engines, both of them hf on one model where nothing else is said, on the small world."""

    def run(first: str = "", second: str = "", **options: object) -> EngineCheck:
        rows = {"include": [small_world / "tasks"], "data_dir": small_world / "data"}
        same = f"hf={zoo['llama']}"
        return evalharness.engine_check(first or same, second or same, **{**SMALL, **rows, **options})

    return run


def test_the_same_engine_is_equal_to_itself_and_states_its_noise(check: Callable[..., EngineCheck]) -> None:
    same = check()
    assert same.equal and [(each.kind, each.requests) for each in same.between] == [("rank", 6), ("generate", 6)]
    rank, written = same.between
    assert (rank.largest, rank.median, rank.flips, rank.choices, rank.numbers) == (0.0, 0.0, 0, 6, 12)
    assert (written.same, written.texts, written.largest) == (6, 6, None)
    assert [set(engine.noise) for engine in same.engines] == [{AGAIN, TURNED}] * 2
    assert [(each.task, each.n, each.difference) for each in same.scores] == [("yes_no", 6, 0.0), ("echo", 6, 0.0)]
    assert sentences(same)[0] == "equal: within 0.0001 nats, 100 % of the texts alike"


def test_other_batches_are_near_and_another_precision_is_not(check: Callable[..., EngineCheck]) -> None:
    assert check(second_options={"batch_size": "1"}).equal
    half = {"second_options": {"dtype": "bfloat16"}}
    apart = check(**half, tolerance=1e-4)
    largest = apart.between[0].largest
    assert not apart.equal and largest is not None and 1e-4 < largest < 0.15
    assert f"rank: the largest |Δ log-probability| is {largest:.2g} nats" in apart.reasons
    assert check(**half, same_texts=0.0).tolerance == 0.15  # that of the coarser of the two


def test_another_model_is_apart_in_texts_too(check: Callable[..., EngineCheck], zoo: dict[str, Path]) -> None:
    apart = check(second=f"hf={zoo['llama-lora']}", tolerance=100.0)
    assert [reason.partition(":")[0] for reason in apart.reasons] == ["generate"]
    assert check(second=f"hf={zoo['llama-lora']}", tolerance=100.0, same_texts=0.0).equal


def test_what_one_does_not_answer_or_counts_otherwise_is_not_equal(
    check: Callable[..., EngineCheck], zoo: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "answers.jsonl").write_text('{"text": "yes"}\n')
    scripted = {"second": f"scripted={zoo['llama']}", "second_options": {"answers": str(tmp_path / "answers.jsonl")}}
    apart = check(**scripted, tasks=["echo"], tolerance=100.0)
    assert apart.engines[1].name == "scripted" and not apart.equal
    failing = tmp_path / "failing.jsonl"
    failing.write_text('{"prompt": "nothing that is asked", "text": "yes"}\n')
    lost = check(**{**scripted, "second_options": {"answers": str(failing)}}, tasks=["echo"])
    assert lost.between[0].failed == 6 and "6 of 6 requests got no answer" in lost.reasons[0]
    assert lost.scores[0].second is None and lost.scores[0].difference is None
    assert json.loads(document(lost))["equal"] is False


@pytest.mark.parametrize(
    ("first", "options", "message"),
    [
        ("hf", {}, "'hf' is not ENGINE=MODEL"),
        ("hff=x", {}, "unknown engine 'hff'; did you mean hf?"),
        ("", {"first_options": {"batch_size": "many"}}, "'many' is no value for it"),
        ("", {"first_options": {"strict": "maybe"}}, "true or false would be right"),
        ("", {"first_options": {"speed": "high"}}, "the engine hf has no option 'speed'"),
        ("", {"tolerance": -1.0}, "is no difference"),
        ("", {"same_texts": 2.0}, "is no share"),
        ("", {"limt": 3}, "there is no such option; did you mean limit"),
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_read(
    first: str, options: dict[str, object], message: str, check: Callable[..., EngineCheck]
) -> None:
    with pytest.raises(UsageError, match=message):
        check(first, **options)
