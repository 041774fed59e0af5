"""What the lines of a file of answers make models answer, and what is refused in one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalharness.engines.script_file import NO_ANSWER, script_of
from evalharness.errors import UsageError
from evalharness.records.requests import (
    Failure,
    Generate,
    Generation,
    Profile,
    Rank,
    Ranking,
    Request,
    Response,
    Score,
    Scoring,
)

ASK = Generate(prompt="Is it raining?", stop=("\n",), max_tokens=8)
CHOOSE = Rank(pairs=(("Is it?", " no"), ("Is it?", " yes"), ("Is it?", " perhaps")))
CONTINUE = Rank(pairs=(("The end of", " time"),))
Write = Callable[..., dict[str, str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A file of answers, as the option that names it."""

    def written(*lines: dict[str, Any] | str) -> dict[str, str]:
        path = tmp_path / "answers.jsonl"
        path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
        return {"answers": str(path)}

    return written


def answer(options: dict[str, str], request: Request, model: str = "tuned") -> Response | Failure:
    return script_of(options).reply_of(model)(request)


def top(ranking: Response | Failure) -> int:
    assert isinstance(ranking, Ranking)
    assert ranking.greedy.count(True) == 1
    per_letter = [logprob / length for logprob, length in zip(ranking.logprobs, (3, 4, 8), strict=True)]
    (best,) = {values.index(max(values)) for values in (ranking.logprobs, per_letter)}
    return best


def test_without_a_file_texts_are_empty_and_first_choices_taken() -> None:
    assert answer({}, ASK) == Generation(request_id=ASK.id, text="", finish_reason="eos", tokens=0)
    assert top(answer({}, CHOOSE)) == 0
    assert answer({}, Score(text="one two")) == Scoring(request_id=Score(text="one two").id, logprob=-2.0, tokens=2)


def test_the_first_line_that_is_for_the_model_and_the_prompt_answers(write: Write) -> None:
    options = write(
        {"model": "tun*", "prompt": "Is it raining?", "text": "yes"},
        "",
        {"prompt": "Is it raining?", "text": "no"},
        {"text": "I do not know", "choice": 2},
    )
    assert answer(options, ASK) == Generation(request_id=ASK.id, text="yes", finish_reason="eos", tokens=1)
    assert answer(options, ASK, "base") == Generation(request_id=ASK.id, text="no", finish_reason="eos", tokens=1)
    assert answer(options, Generate(prompt="Is it?", stop=(), max_tokens=8)).text == "I do not know"
    assert top(answer(options, CHOOSE)) == 2


def test_a_text_chooses_the_continuation_that_it_is(write: Write) -> None:
    assert top(answer(write({"text": "yes"}), CHOOSE)) == 1
    assert top(answer(write({"text": "maybe"}, {"choice": 0}), CHOOSE)) == 0
    assert answer(write({"text": "maybe"}), CHOOSE) == Failure(request_id=CHOOSE.id, reason=NO_ANSWER)
    assert answer(write({"choice": 7}), CHOOSE) == Failure(request_id=CHOOSE.id, reason=NO_ANSWER)
    assert answer(write({"text": "time"}), CONTINUE).greedy == (True,)
    assert answer(write({"text": "the road"}), CONTINUE).greedy == (False,)


def test_what_no_line_answers_is_a_failure(write: Write) -> None:
    options = write({"prompt": "Is it snowing?", "text": "yes"}, {"nats": 0.5})
    assert answer(options, ASK) == Failure(request_id=ASK.id, reason=NO_ANSWER)
    assert answer(options, Score(text="a b c")).logprob == -1.5
    assert isinstance(answer(options, Profile(text="a b", top_k=4)), Failure)


def test_models_are_right_on_a_share_of_what_an_earlier_run_has_samples_of(write: Write, tmp_path: Path) -> None:
    """Whoever is right more often is right wherever the other is."""
    samples = tmp_path / "samples/task/base.jsonl"
    samples.parent.mkdir(parents=True)
    lines = [{"prompt": f"{n}?", "reference": f"{n} | number {n}", "id": n} for n in range(400)]
    samples.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    options = write({"model": "base", "right": 0.9}, {"right": 0.6, "text": "who knows"}, {"text": "none of them"})
    options["samples"] = str(tmp_path / "samples")
    asked = [Generate(prompt=f"{n}?", stop=(), max_tokens=8) for n in range(400)]
    reply = {model: script_of(options).reply_of(model) for model in ("base", "tuned")}
    right = {
        model: {n for n, request in enumerate(asked) if of_model(request).text == str(n)}
        for model, of_model in reply.items()
    }
    assert 340 < len(right["base"]) < 380 and 220 < len(right["tuned"]) < 260
    assert right["tuned"] < right["base"]
    assert {reply["tuned"](request).text for n, request in enumerate(asked) if n not in right["tuned"]} == {"who knows"}
    assert answer(options, ASK).text == "none of them"
    wrong = next(n for n in range(400) if n not in right["base"])
    choices = Rank(pairs=tuple((f"{wrong}?", f" {choice}") for choice in (wrong, "other", "third")))
    assert answer(options, choices, "base").greedy == (False, True, False)


def test_the_digest_is_of_what_is_said_and_not_of_where(write: Write, tmp_path: Path) -> None:
    before = script_of(write({"text": "yes"})).digest
    assert script_of(write({"text": "no"})).digest != before
    (tmp_path / "other.jsonl").write_text('\n{ "text": "yes" }\n')
    assert script_of({"answers": str(tmp_path / "other.jsonl")}).digest == before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", r"answers\.jsonl:1: is no JSON"),
        ("[]", "is no object"),
        ("[" * 100_000, r"answers\.jsonl:1: is no JSON \(it is nested too deeply\)"),
        ('{"text": "x", "nats": 1e999}', r"is no JSON \(nats: 1e999 is beyond all numbers\)"),
        ({"txt": "x"}, r"unknown key 'txt'; did you mean text\?"),
        ({"text": 3}, "'text' is 3; a text would be right"),
        ({"choice": True}, "'choice' is True; a whole number would be right"),
        ({"model": "x"}, "says nothing to answer"),
        ({"right": 1.5}, "a share from 0 to 1 would be right"),
        ({"right": 0.5}, "but not what would be right; name an earlier run's samples"),
    ],
)
def test_what_is_no_file_of_answers(write: Write, line: dict[str, Any] | str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        script_of(write(line))


def test_files_that_are_not_there(tmp_path: Path, write: Write) -> None:
    with pytest.raises(UsageError, match=r"nowhere: cannot be read"):
        script_of({"answers": str(tmp_path / "nowhere")})
    with pytest.raises(UsageError, match="does not exist; an earlier run's RUN/samples would be right"):
        script_of({"samples": str(tmp_path / "nowhere")})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"--engine-option samples: no samples in .*empty; an earlier run's RUN/sam"):
        script_of({"samples": str(tmp_path / "empty")})
    with pytest.raises(UsageError, match="is no sample: it lacks prompt or reference"):
        script_of({"samples": write({"text": "x"})["answers"]})
