"""Encode solved examples as token ids, with the loss on their completions only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from evalharness.engines.hf.chat import ChatTemplate
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, Untokenizable
from evalharness.errors import DataError
from evalharness.records.models import Architecture
from evalharness.records.tokenizers import Unrenderable
from evalharness.training.example_file import ASSISTANT, Example, Pair, Turns, is_turns, quoted, role_of
from evalharness.training.tool_turns import TOOL, calls_in, message_of, tools_in

IGNORED = -100  # the label that cross-entropy passes over
MARK = "AnAnswerOfATool"
Tokens = tuple[int, ...]
Span = tuple[Tokens, Tokens]  # what is given, what is to be learned after it


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedExample:
    """Token ids of an example. Causal: `ids` and `labels` of one length, labels IGNORED on what is given.
    Encoder-decoder: the encoder's ids, the decoder's labels.

    `cut`: tokens dropped from the beginning of what is given, of a conversation its turns.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    cut: int = 0

    @property
    def learned(self) -> int:
        """Number of tokens that the loss falls on."""
        return sum(label != IGNORED for label in self.labels)

    @property
    def width(self) -> int:
        """Number of positions that it takes in a batch."""
        return max(len(self.ids), len(self.labels))


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes examples for one model. `given`: most tokens of an example (encoder-decoder: of the encoder's text);
    `written`: of a completion; `place`: says where an example stands; `passes_over`: a pair whose completion does not
    fit is None, and no error.
    """

    texts: TokenizerAdapter
    architecture: Architecture = Architecture.CAUSAL
    given: int | None = None
    written: int | None = None
    chat: ChatTemplate | None = None
    place: Callable[[Example], str] = quoted
    passes_over: bool = False

    def encode(self, example: Example) -> tuple[EncodedExample | None, ...]:
        """Encode the example as the model sees it: one for a pair; for a conversation one, or one for each turn of the
        assistant where the template renders earlier turns otherwise once others follow (and for encoder-decoder
        models).

        What does not fit loses its beginning: a pair tokens of the prompt (evaluation cuts shots and documents
        instead), a conversation whole turns after the system's; None where its last question and answer do not fit.
        Raises DataError where a completion of a pair does not fit, is empty, or cannot be tokenised, and for
        conversations without or against the template.
        """
        try:
            if is_turns(example):
                return self._conversation(example)
            if not example[1].strip():
                raise Untokenizable("an empty completion: there is nothing to learn")
            span = self._pair(example)
        except Untokenizable as error:
            raise DataError(self.place(example), str(error), "leave it out, or mend it") from None
        written = len(span[1])
        causal = self.architecture == Architecture.CAUSAL
        limit = self.given if causal else self.written
        if limit is not None and written + causal > limit:
            if self.passes_over:
                return (None,)
            raise DataError(
                self.place(example),
                f"its completion has {written} tokens, the window (or --max-length) leaves {limit}",
                "shorten it, or leave such examples out with --too-long drop",
            )
        given, cut = self._shortened(span)
        return (replace(self._row([(given, span[1])]), cut=cut),)

    def _pair(self, example: Pair) -> Span:
        """Split as the engine splits what it scores, the end token after the completion.

        Encoder-decoder models: the prompt with special tokens, the completion without, spaces that end the prompt going
        with the completion.
        """
        prompt, completion = example
        if self.architecture == Architecture.CAUSAL:
            pair = self.texts.pair(prompt, completion)
            return pair.context, self._ended(pair.continuation)
        cut = len(prompt.rstrip())
        written = self.texts.encode(prompt[cut:] + completion, special=False)
        if not written:
            raise Untokenizable("an empty continuation has no probability")
        return self.texts.prompt(prompt[:cut]), self._ended(written)

    def _ended(self, ids: Tokens) -> Tokens:
        """Put the end token after a completion, unless it brings one."""
        end = self.texts.tokenizer.eos_token_id
        return ids if end is None or ids[-1:] == (end,) else (*ids, end)

    def _shortened(self, span: Span) -> tuple[Tokens, int]:
        """Cut what is given to what fits: (tokens, how many were dropped). The tokens that every text begins with
        stay.
        """
        given, written = span
        room = self.given
        if room is not None and self.architecture == Architecture.CAUSAL:
            room -= len(written)
        if room is None or len(given) <= room:
            return given, 0
        before = self.texts.around.before
        first = before if len(before) < room and given[: len(before)] == before else ()
        return (*first, *given[len(given) - room + len(first) :]), len(given) - room

    def _row(self, spans: Sequence[Span]) -> EncodedExample:
        """Put spans, each of which goes on where the one before ended, into one row; an encoder-decoder model's is
        one.
        """
        if self.architecture == Architecture.SEQ2SEQ:
            return EncodedExample(ids=spans[0][0], labels=spans[0][1])
        ids, labels = list[int](), list[int]()
        for given, written in spans:
            new = given[len(ids) :]
            ids += [*new, *written]
            labels += [*[IGNORED] * len(new), *written]
        return EncodedExample(ids=tuple(ids), labels=tuple(labels))

    def _conversation(self, example: Turns) -> tuple[EncodedExample | None, ...]:
        if self.chat is None:
            raise DataError(
                self.place(example),
                "a conversation, and the tokenizer has no chat template",
                "give prompts and completions, or a model with a template",
            )
        try:
            chat = self.chat.with_tools(tools) if (tools := tools_in(example)) else self.chat
            _check_shown(chat, example)
            answers = self._answers(chat, example)
            rows = [[place] for place in answers]
            if self.architecture == Architecture.CAUSAL:
                rows = joined(answers)
            return tuple(self._fitting(chat, example, {place: answers[place] for place in row}) for row in rows)
        except Unrenderable as error:
            begun = "it begins with the assistant, and " if _first_question(example) > _first_answer(example) else ""
            raise DataError(
                self.place(example), f"{begun}the chat template refuses its turns ({error})", "leave it out, or mend it"
            ) from None

    def _answers(self, chat: ChatTemplate, example: Turns) -> dict[int, Span]:
        """Encode every turn of the assistant that is to be learned, by its place. What it says before any question is
        only read: no template asks for it.
        """
        question = _first_question(example)
        places = [place for place, turn in enumerate(example) if turn[0] == ASSISTANT and place > question]
        if not places:
            raise Untokenizable("no turn of the assistant answers one of the user")
        return {place: self._turn(chat, example, place) for place in places}

    def _turn(self, chat: ChatTemplate, example: Turns, place: int) -> Span:
        """Encode a turn of the assistant after all that was said before, as generation sees it."""
        messages = [message_of(turn, role_of(turn[0])) for turn in example[: place + 1]]
        before, whole = chat.render(messages[:place], False), chat.ended(messages)
        if not whole.startswith(before):
            raise Unrenderable("what it puts before an answer is not what it puts there once the answer is given")
        if any(name not in whole[len(before) :] for name in calls_in(example[place])):
            raise Unrenderable("it does not show the calls of tools")
        given = self.texts.encode(before)
        written = self.texts.encode(whole)[len(given) :] if self.architecture == Architecture.CAUSAL else ()
        if self.architecture == Architecture.SEQ2SEQ or self.texts.encode(whole)[: len(given)] != given:
            written = self.texts.encode(whole[len(before) :], special=False)
        if not written:
            raise Untokenizable("an empty continuation has no probability")
        marked = any(token in self.texts.tokenizer.all_special_ids for token in written)
        return given, written if marked else self._ended(written)

    def _fitting(self, chat: ChatTemplate, example: Turns, answers: Mapping[int, Span]) -> EncodedExample | None:
        """Put the answers into one row that fits, without as many questions and their answers as must go from its
        beginning. The system's turn stays. None where the last question and answer do not fit.
        """
        whole = row = self._row(list(answers.values()))
        head = next(place for place, turn in enumerate(example) if turn[0] != "system")
        for start in [place for place, turn in enumerate(example) if turn[0] == "user"][1:]:
            kept = [place for place in answers if place > start]
            if self._fits(row) or not kept:
                break
            turns = (*example[:head], *example[start:])
            spans = {place: self._turn(chat, turns, place - start + head) for place in kept}
            if len(joined(spans)) == 1:
                row = self._row(list(spans.values()))
        return replace(row, cut=len(whole.ids) - len(row.ids)) if self._fits(row) else None

    def _fits(self, row: EncodedExample) -> bool:
        written = len(row.labels) if self.architecture == Architecture.SEQ2SEQ else 0
        return (self.given is None or len(row.ids) <= self.given) and (self.written is None or written <= self.written)


def _check_shown(chat: ChatTemplate, example: Turns) -> None:
    """Raise Unrenderable where the template leaves out what tools answered."""
    messages = [message_of((turn[0], MARK) if turn[0] == TOOL else turn, role_of(turn[0])) for turn in example]
    if any(turn[0] == TOOL for turn in example) and MARK not in chat.ended(messages):
        raise Unrenderable("it does not show what tools answer")


def joined(spans: Mapping[int, Span]) -> list[list[int]]:
    """Group the places of spans, each of which goes on where the one before ended, to a row; any other gets a row of
    its own.
    """
    rows: list[list[int]] = []
    before: Tokens = ()
    for place, (given, written) in spans.items():
        if rows and given[: len(before)] == before and len(given) > len(before):
            rows[-1].append(place)
        else:
            rows.append([place])
        before = given + written
    return rows


def _first_question(example: Turns) -> int:
    return next((place for place, turn in enumerate(example) if turn[0] == "user"), len(example))


def _first_answer(example: Turns) -> int:
    return next(place for place, turn in enumerate(example) if role_of(turn[0]) == ASSISTANT)
