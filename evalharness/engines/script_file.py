"""Read the scripted engine's file of answers (docs/scripted.md)."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from evalharness import fingerprint
from evalharness.errors import UsageError, did_you_mean
from evalharness.json_text import parse_json
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

ANSWERS, SAMPLES = "answers", "samples"
RUN_SAMPLES = "an earlier run's RUN/samples would be right"
NO_ANSWER = "no line of the file of answers says what to answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRule:
    """One line of the file: models, a prompt, and their answer.

    `model`: a name or a glob pattern. `prompt`: the prompt that gets the answer, None for every prompt. `text`: the
    written answer. `choice`: the number of the choice that is preferred. `right`: the share of prompts (drawn by their
    content) that get the right answer of the samples; the others get `text` or `choice`, else a wrong answer. `nats`:
    the log-probability of one word of a text that is scored whole.
    """

    model: str = "*"
    prompt: str | None = None
    text: str | None = None
    choice: int | None = None
    right: float | None = None
    nats: float | None = None


TEXT, NUMBER, WHOLE = ((str,), "a text"), ((float, int), "a number"), ((int,), "a whole number")
KINDS = {"model": TEXT, "prompt": TEXT, "text": TEXT, "choice": WHOLE, "right": NUMBER, "nats": NUMBER}
WITHOUT_FILE = (AnswerRule(text="", choice=0, nats=1.0),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The file's lines, and the right answers that they may refer to.

    `rules`: the lines in their order; the first one with an answer counts. `references`: prompt -> its right answer in
    the samples of an earlier run.
    """

    rules: tuple[AnswerRule, ...]
    references: Mapping[str, str]

    @property
    def digest(self) -> str:
        rules = [[getattr(rule, field.name) for field in fields(rule)] for rule in self.rules]
        return fingerprint.of_value([rules, dict(self.references)])

    def reply_of(self, model: str) -> Callable[[Request], Response | Failure]:
        """Return the function that answers for a model of this name."""
        rules = [rule for rule in self.rules if fnmatch.fnmatchcase(model, rule.model)]

        def reply(request: Request) -> Response | Failure:
            if isinstance(request, Profile):
                return Failure(request_id=request.id, reason="a script has no probabilities of single tokens")
            answers = (self._answer(rule, request) for rule in rules)
            return next((answer for answer in answers if answer), Failure(request_id=request.id, reason=NO_ANSWER))

        return reply

    def _answer(self, rule: AnswerRule, request: Rank | Generate | Score) -> Response | None:
        """Return the answer of one line; None if it has none for this request."""
        prompts = _prompts(request)
        if rule.prompt is not None and rule.prompt not in prompts:
            return None
        if isinstance(request, Score):
            tokens = len(request.text.split())
            return (
                None
                if rule.nats is None
                else Scoring(request_id=request.id, logprob=-rule.nats * tokens, tokens=tokens)
            )
        text, choice, but = rule.text, rule.choice, None
        if rule.right is not None:
            prompt = next((prompt for prompt in prompts if prompt in self.references), None)
            if prompt is None:
                return None
            if fingerprint.uniform_hash(["scripted", prompt]) < rule.right:
                text, choice = self.references[prompt], None
            elif text is None and choice is None:
                text, but = "", self.references[prompt]
        if isinstance(request, Generate):
            return None if text is None else _generation(request, text)
        return _ranking(request, text, choice, but)


def _generation(request: Generate, text: str) -> Generation:
    """Cut the text at the request's stop strings and at its limit of tokens, which are words here."""
    ends = [word.end() for word in re.finditer(r"\S+", text)]
    is_cut = len(ends) > request.max_tokens
    limited = text[: [0, *ends][request.max_tokens]] if is_cut else text
    answer, stopped = request.answer_in(limited)
    tokens = len(answer.split())
    reason: Literal["stop", "eos", "length"] = "stop" if stopped else "length" if is_cut else "eos"
    return Generation(request_id=request.id, text=answer, finish_reason=reason, tokens=tokens)


def _prompts(request: Rank | Generate | Score) -> Sequence[str]:
    if isinstance(request, Rank):
        return [context for context, _ in request.pairs]
    return [request.text if isinstance(request, Score) else request.prompt]


def _ranking(request: Rank, text: str | None, choice: int | None, but: str | None) -> Ranking | None:
    """Rank the continuation that equals the text (spaces aside) first, else the choice of this number, else one that is
    not `but`; None if there is none among several. A single continuation need not be the preferred one.
    """
    if text is None and choice is None:
        return None
    continuations = [continuation.strip() for _, continuation in request.pairs]
    top = continuations.index(text.strip()) if text is not None and text.strip() in continuations else choice
    if len(continuations) > 1:
        if top is None and but is not None:
            top = next((i for i, continuation in enumerate(continuations) if continuation != but), None)
        if top is None or not 0 <= top < len(continuations):
            return None
    return Ranking(
        request_id=request.id,
        logprobs=tuple(0.0 if i == top else -1.0 - len(text) for i, text in enumerate(continuations)),  # by any norm
        tokens=tuple(max(1, len(text.split())) for text in continuations),
        greedy=tuple(i == top for i in range(len(continuations))),
    )


# ---- files -----------------------------------------------------------------------------------------------------------


def script_of(options: Mapping[str, str]) -> Script:
    """Read the script that an engine's options name. Raises UsageError naming file and line for a malformed line."""
    rules = tuple(_rules(Path(options[ANSWERS]))) if ANSWERS in options else WITHOUT_FILE
    references = dict(_references(Path(options[SAMPLES]))) if SAMPLES in options else {}
    if SAMPLES in options and not references:
        raise UsageError(f"--engine-option {SAMPLES}", f"no samples in {options[SAMPLES]}", RUN_SAMPLES)
    if not references and any(rule.right is not None for rule in rules):
        fix = f"name an earlier run's samples, which have the right answers, with --engine-option {SAMPLES}=RUN/samples"
        raise UsageError(options[ANSWERS], "says how often models are right, but not what would be right", fix)
    return Script(rules=rules, references=references)


def _rules(path: Path) -> Iterator[AnswerRule]:
    for place, values in _lines(path):
        for key, value in values.items():
            if key not in KINDS:
                raise UsageError(place, f"unknown key {key!r}", did_you_mean(key, KINDS))
            types, words = KINDS[key]
            if not isinstance(value, types) or isinstance(value, bool):
                raise UsageError(place, f"{key!r} is {value!r}", f"{words} would be right")
        if not {"text", "choice", "right", "nats"} & values.keys():
            raise UsageError(place, "says nothing to answer", "text, choice, right or nats would be right")
        if not 0 <= values.get("right", 0) <= 1:
            raise UsageError(place, f"'right' is {values['right']!r}", "a share from 0 to 1 would be right")
        yield AnswerRule(**values)


def _references(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the prompts and the first of their right answers, from all samples at a path."""
    if not path.exists():
        raise UsageError(f"--engine-option {SAMPLES}", f"{path} does not exist", RUN_SAMPLES)
    for file in sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]:
        for place, sample in _lines(file):
            if not (isinstance(sample.get("prompt"), str) and isinstance(sample.get("reference"), str)):
                raise UsageError(place, "is no sample: it lacks prompt or reference", RUN_SAMPLES)
            yield sample["prompt"], sample["reference"].split(" | ")[0]  # the first of several that are right


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(path, f"cannot be read ({error})", "a file of JSON lines would be right") from None
    for number, line in enumerate(lines, 1):
        try:
            values = parse_json(line) if line.strip() else None
        except ValueError as error:
            raise UsageError(f"{path}:{number}", f"is no JSON ({error})", 'such as {"text": "yes"}') from None
        if values is not None and not isinstance(values, dict):
            raise UsageError(f"{path}:{number}", "is no object", 'such as {"text": "yes"}')
        if values is not None:
            yield f"{path}:{number}", values
