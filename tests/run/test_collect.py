"""Every request is answered once, by the right model, in blocks that do not depend on what was stored before."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import pytest
from command_line import exit_code

from evalharness import interruption
from evalharness.cli import main as entry
from evalharness.errors import ModelError, NotComparableError
from evalharness.records.models import EngineInfo
from evalharness.records.requests import Failure, Generate, Generation, Rank, Ranking, Request, Response
from evalharness.run.collect import BLOCK, MOST_UNCHECKED, AnswerSource, blocks, collect
from evalharness.store import Store


def requests(n: int) -> list[Request]:
    return [Generate(prompt=f"prompt {i}", stop=("\n",), max_tokens=4) for i in range(n)]


class Echo:
    """An engine that answers with its own name and keeps the blocks that it was given; every `deaf`-th request
    fails.
    """

    def __init__(self, name: str, deaf: int | None = None) -> None:
        self.name, self.deaf, self.asked = name, deaf, []
        self.info = EngineInfo(name=name, details={})

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        self.asked.append([request.id for request in requests])
        for i, request in reversed(list(enumerate(requests))):
            failed = self.deaf is not None and i % self.deaf == 0
            yield (
                Failure(request_id=request.id, reason="deaf")
                if failed
                else Generation(request_id=request.id, text=f"{self.name} {i}", finish_reason="stop", tokens=1)
            )


def source(store: Store, engine: Echo, model: str = "m") -> AnswerSource:
    return AnswerSource(model=model, engine="e", store=store, open_engine=lambda: engine)


class Watched(Echo):
    """Has other weights from its so-maniest check on."""

    def __init__(self, checks: int) -> None:
        super().__init__("watched")
        self.checks = checks

    def check_weights(self) -> None:
        self.checks -= 1
        if self.checks < 0:
            raise NotComparableError("here", "other weights", "none")

    def close(self) -> None: ...


def test_answers_of_watched_weights_are_stored_once_these_were_checked_after_them(tmp_path: Path) -> None:
    questions = requests((MOST_UNCHECKED + 2) * BLOCK)
    keys = [request.id for request in questions]
    with Store(tmp_path / "s") as store:
        with pytest.raises(NotComparableError, match="other weights"):
            collect(questions, source(store, Watched(1)))
        assert [*store.read("m", "e", keys)] and {*store.read("m", "e", keys)} == {*keys[: MOST_UNCHECKED * BLOCK]}
        collect(questions, source(store, Watched(1)))
        assert len(store.read("m", "e", keys)) == len(questions)


def test_the_second_time_nothing_is_asked(tmp_path: Path) -> None:
    questions = requests(300)
    with Store(tmp_path / "s") as store:
        first = collect(questions, source(store, Echo("a")))
        idle = Echo("b")
        assert collect(questions, source(store, idle)) == first
    assert idle.asked == []
    assert [first[r.id].text for r in questions[:3]] == ["a 0", "a 1", "a 2"]


def test_equal_requests_are_asked_once(tmp_path: Path) -> None:
    engine = Echo("a")
    with Store(tmp_path / "s") as store:
        answers = collect([*requests(3), *requests(3)], source(store, engine))
    assert [len(block) for block in engine.asked] == [3]
    assert len(answers) == 3


def test_a_half_answered_block_is_asked_whole_and_stored_answers_win(tmp_path: Path) -> None:
    questions = requests(BLOCK + 10)
    with Store(tmp_path / "s") as store:
        collect(questions[:5], source(store, Echo("old")))
        engine = Echo("new")
        answers = collect(questions, source(store, engine))
    assert [len(block) for block in engine.asked] == [BLOCK, 10]
    assert [answers[r.id].text.split()[0] for r in questions[:7]] == ["old"] * 5 + ["new"] * 2


def test_failures_are_returned_not_kept_and_tried_again(tmp_path: Path) -> None:
    questions = requests(10)
    with Store(tmp_path / "s") as store:
        first = collect(questions, source(store, Echo("a", deaf=5)))
        assert [type(first[r.id]).__name__ for r in questions].count("Failure") == 2
        second = collect(questions, source(store, Echo("b")))
    assert second[questions[0].id].text == "b 0"
    assert second[questions[1].id].text == "a 1"


def test_a_silent_engine_is_a_failure_not_a_score(tmp_path: Path) -> None:
    class Mute(Echo):
        def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
            return iter(())

    with Store(tmp_path / "s") as store:
        answers = collect(requests(2), source(store, Mute("x")))
    assert {type(a) for a in answers.values()} == {Failure}


def test_models_that_share_a_store_answer_for_themselves(tmp_path: Path) -> None:
    questions = requests(5)
    with Store(tmp_path / "s") as store:
        one = collect(questions, source(store, Echo("one"), "model-1"))
        two = collect(questions, source(store, Echo("two"), "model-2"))
        again = collect(questions, source(store, Echo("never"), "model-1"))
    assert {a.text.split()[0] for a in one.values()} == {"one"}
    assert {a.text.split()[0] for a in two.values()} == {"two"}
    assert again == one


def test_blocks_do_not_depend_on_anything_but_the_requests() -> None:
    assert [list(block) for block in blocks(requests(200))] == [list(block) for block in blocks(requests(200))]
    assert [len(block) for block in blocks(requests(2 * BLOCK + 1))] == [BLOCK, BLOCK, 1]


class Careless:
    """An engine of somebody else that answers with what it is given, whatever was asked."""

    info = EngineInfo(name="careless", details={})

    def __init__(self, answer: Callable[[Request], Response]) -> None:
        self._answer = answer

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        yield from map(self._answer, requests)

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda r: Ranking(request_id=r.id, logprobs=(-1.0,), tokens=(1,), greedy=(True,)), "ranked 1 of 2"),
        (lambda r: Ranking(request_id=r.id, logprobs=(-1.0, nan), tokens=(1, 1), greedy=(True, True)), "not a finite"),
        (lambda r: Generation(request_id=r.id, text="yes", finish_reason="stop", tokens=1), "a Rank with a Gen"),
        (lambda r: Generation(request_id="another", text="yes", finish_reason="stop", tokens=1), "gave no answer"),
    ],
)
def test_what_is_no_answer_to_the_request_is_a_failure_and_never_stored(
    tmp_path: Path, answer: Callable[[Request], Response], reason: str
) -> None:
    request = Rank(pairs=(("a", " b"), ("a", " c")))
    with Store(tmp_path / "store.sqlite") as store:
        source = AnswerSource(model="model", engine="engine", store=store, open_engine=lambda: Careless(answer))
        (failure,) = collect([request], source).values()
        assert isinstance(failure, Failure) and reason in failure.reason
        assert not store.read("model", "engine", [request.id, "another"])


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (lambda request: [][0], r"IndexError \(list index out of range\)"),
        (lambda request: "yes", "AttributeError"),
        (lambda request: (_ for _ in ()).throw(KeyError()), "KeyError"),
    ],
)
def test_an_engine_that_raises_is_named(answer: Callable[[Request], Any], what: str, tmp_path: Path) -> None:
    with (
        Store(tmp_path / "s") as store,
        pytest.raises(NotComparableError, match=f"engine careless: answer raised {what}"),
    ):
        collect(requests(2), source(store, Careless(answer)))


def test_what_the_user_can_mend_is_said_as_it_stands(tmp_path: Path) -> None:
    def answer(request: Request) -> Response:
        raise ModelError("x", "gone")

    with Store(tmp_path / "s") as store, pytest.raises(ModelError, match="x: gone"):
        collect(requests(2), source(store, Careless(answer)))


class Swallowing(Echo):
    """An engine with a library in it that is signalled in a callback or a destructor, and lets nothing out of these."""

    def __init__(self, number: int, times: int = 1) -> None:
        super().__init__("a")
        self.number, self.times = number, times

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        for _ in range(self.times):
            with suppress(BaseException):
                signal.raise_signal(self.number)
        yield from super().answer(requests)


@pytest.mark.fault(4)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_a_library_swallows_ends_the_run_after_its_block(
    tmp_path: Path, number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine, asked = Swallowing(number), requests(3 * BLOCK)

    def command(*_: object, **__: object) -> None:
        with Store(tmp_path / "s") as store:
            collect(asked, source(store, engine))

    monkeypatch.setattr(entry.evalharness, "main", command)
    assert exit_code("run", "--model", "m") == code
    assert "Interrupted. What is done so far is kept" in capsys.readouterr().err
    assert len(engine.asked) == 1
    with Store(tmp_path / "s") as store:
        after = Echo("b")
        answers = collect(asked, source(store, after))
    assert len(after.asked) == 2 and len(answers) == len(asked)


@pytest.mark.fault(4)
def test_a_second_signal_ends_the_process_at_once() -> None:
    if not (child := os.fork()):
        with interruption.signals_caught():
            list(Swallowing(signal.SIGTERM, times=2).answer([]))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 143


class Drafted(Echo):
    """An engine that can use drafts, and keeps those that it was given."""

    def answer_with_drafts(self, requests: Sequence[Request], drafts: dict[str, str]) -> Iterator[Response | Failure]:
        self.drafts = dict(drafts)
        return self.answer(requests)

    def close(self) -> None:
        pass


def test_what_the_base_wrote_is_a_draft_of_the_same_block_also_after_an_interruption(tmp_path: Path) -> None:
    questions = requests(5)
    with Store(tmp_path / "s") as store:
        written = collect(questions, source(store, Echo("base", deaf=4), "base"))
        drafts = {key: answer.text for key, answer in written.items() if isinstance(answer, Generation)}
        assert len(drafts) == 3
        for _ in range(2):  # the second time all but two are stored
            engine = Drafted("candidate", deaf=4)
            drafted = replace(source(store, engine), drafted_by="base")
            collect(questions, drafted)
            assert engine.drafts == drafts and engine.asked == [[request.id for request in questions]]
        alone, plain = Drafted("b", deaf=4), Echo("candidate", deaf=4)
        collect(questions, source(store, alone, "base"))
        collect(questions, replace(source(store, plain), drafted_by="base"))
    assert not hasattr(alone, "drafts") and len(plain.asked) == 1
