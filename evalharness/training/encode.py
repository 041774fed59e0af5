"""Encode training examples as token ids, with the loss on their completions only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from evalharness.engines.hf.chat import ChatTemplate
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, Untokenizable
from evalharness.errors import DataError
from evalharness.records.models import Architecture
from evalharness.records.tokenizers import Unrenderable
from evalharness.training.example_file import ASSISTANT, Example, Pair, Turns, is_turns, name_by_answer, role_of
from evalharness.training.tool_turns import TOOL, calls_in, message_of, tools_in

IGNORED = -100  # the label that cross-entropy ignores
MARK = "AnAnswerOfATool"
Tokens = tuple[int, ...]
Span = tuple[Tokens, Tokens]  # the prompt, and the answer that is learned after it


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedExample:
    """The token ids of one example.

    For a causal model `ids` and `labels` have one length, and labels are IGNORED on the prompt. For an encoder-decoder
    model `ids` are the encoder's tokens, and `labels` the decoder's. `cut`: how many tokens were dropped from the
    beginning of the prompt; of a conversation, those of its first turns.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    cut: int = 0

    @property
    def learned(self) -> int:
        """Return the number of tokens in the loss."""
        return sum(label != IGNORED for label in self.labels)

    @property
    def width(self) -> int:
        """Return the number of positions that the example takes in a batch."""
        return max(len(self.ids), len(self.labels))


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes examples for one model.

    `texts`: splits texts into tokens. `limit`: the most tokens of an example (encoder-decoder: of the encoder's text).
    `answer_limit`: the most tokens of a decoder's completion. None: no limit. `chat`: the model's chat template, None
    without one. `place`: a function that returns where an example was read, for errors. `passes_over`: whether a pair
    whose completion does not fit is encoded as None, instead of an error.
    """

    texts: TokenizerAdapter
    architecture: Architecture = Architecture.CAUSAL
    limit: int | None = None
    answer_limit: int | None = None
    chat: ChatTemplate | None = None
    place: Callable[[Example], str] = name_by_answer
    passes_over: bool = False

    def encode(self, example: Example) -> tuple[EncodedExample | None, ...]:
        """Encode an example: a pair as one row; a conversation as one row, or as one for each turn of the assistant.

        A conversation needs several rows if the template renders earlier turns differently once others follow, and for
        encoder-decoder models. An example that does not fit loses its beginning: a pair tokens of its prompt
        (evaluation cuts shots and documents instead), a conversation whole turns after the system's. None is returned
        for one whose last question and answer do not fit.

        Raises DataError if the completion of a pair does not fit, is empty, or cannot be tokenised, and for a
        conversation without a chat template or that the template refuses.
        """
        try:
            if is_turns(example):
                return self._conversation(example)
            if not example[1].strip():
                raise Untokenizable("an empty completion: there is nothing to learn")
            span = self._pair(example)
        except Untokenizable as error:
            raise DataError(self.place(example), str(error), "leave it out, or mend it") from None
        length = len(span[1])
        causal = self.architecture == Architecture.CAUSAL
        limit = self.limit if causal else self.answer_limit
        if limit is not None and length + causal > limit:
            if self.passes_over:
                return (None,)
            raise DataError(
                self.place(example),
                f"its completion has {length} tokens, the window (or --max-length) leaves {limit}",
                "shorten it, or leave such examples out with --too-long drop",
            )
        prompt, cut = self._shortened(span)
        return (replace(self._row([(prompt, span[1])]), cut=cut),)

    def _pair(self, example: Pair) -> Span:
        """Split into tokens as the engine does when it scores, with the end token after the completion.

        Encoder-decoder models: the prompt has special tokens, the completion none; trailing spaces of the prompt move
        to the completion.
        """
        prompt, completion = example
        if self.architecture == Architecture.CAUSAL:
            pair = self.texts.pair(prompt, completion)
            return pair.context, self._ended(pair.continuation)
        cut = len(prompt.rstrip())
        answer = self.texts.encode(prompt[cut:] + completion, special=False)
        if not answer:
            raise Untokenizable("an empty continuation has no probability")
        return self.texts.prompt(prompt[:cut]), self._ended(answer)

    def _ended(self, ids: Tokens) -> Tokens:
        """Append the end token to a completion, unless it has one."""
        end = self.texts.tokenizer.eos_token_id
        return ids if end is None or ids[-1:] == (end,) else (*ids, end)

    def _shortened(self, span: Span) -> tuple[Tokens, int]:
        """Cut the prompt's beginning to what fits: (tokens, how many were dropped). Special tokens at the beginning
        stay.
        """
        prompt, answer = span
        limit = self.limit
        if limit is not None and self.architecture == Architecture.CAUSAL:
            limit -= len(answer)
        if limit is None or len(prompt) <= limit:
            return prompt, 0
        before = self.texts.around.before
        first = before if len(before) < limit and prompt[: len(before)] == before else ()
        return (*first, *prompt[len(prompt) - limit + len(first) :]), len(prompt) - limit

    def _row(self, spans: Sequence[Span]) -> EncodedExample:
        """Join spans, each of which continues the one before, into one row; an encoder-decoder model has one span."""
        if self.architecture == Architecture.SEQ2SEQ:
            return EncodedExample(ids=spans[0][0], labels=spans[0][1])
        ids, labels = list[int](), list[int]()
        for prompt, answer in spans:
            new = prompt[len(ids) :]
            ids += [*new, *answer]
            labels += [*[IGNORED] * len(new), *answer]
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
                rows = joined_rows(answers)
            return tuple(self._fitting(chat, example, {place: answers[place] for place in row}) for row in rows)
        except Unrenderable as error:
            begun = "it begins with the assistant, and " if _first_question(example) > _first_answer(example) else ""
            raise DataError(
                self.place(example), f"{begun}the chat template refuses its turns ({error})", "leave it out, or mend it"
            ) from None

    def _answers(self, chat: ChatTemplate, example: Turns) -> dict[int, Span]:
        """Encode every turn of the assistant that is learned, by its place. Turns before the first question are only
        read, because no template generates them.
        """
        question = _first_question(example)
        places = [place for place, turn in enumerate(example) if turn[0] == ASSISTANT and place > question]
        if not places:
            raise Untokenizable("no turn of the assistant answers one of the user")
        return {place: self._turn(chat, example, place) for place in places}

    def _turn(self, chat: ChatTemplate, example: Turns, place: int) -> Span:
        """Encode a turn of the assistant after all earlier turns, as generation sees it."""
        messages = [message_of(turn, role_of(turn[0])) for turn in example[: place + 1]]
        before, whole = chat.render(messages[:place], False), chat.ended(messages)
        if not whole.startswith(before):
            raise Unrenderable("it renders the turns before an answer differently once the answer follows")
        if any(name not in whole[len(before) :] for name in calls_in(example[place])):
            raise Unrenderable("it does not show the calls of tools")
        prompt = self.texts.encode(before)
        answer = self.texts.encode(whole)[len(prompt) :] if self.architecture == Architecture.CAUSAL else ()
        if self.architecture == Architecture.SEQ2SEQ or self.texts.encode(whole)[: len(prompt)] != prompt:
            answer = self.texts.encode(whole[len(before) :], special=False)
        if not answer:
            raise Untokenizable("an empty continuation has no probability")
        marked = any(token in self.texts.tokenizer.all_special_ids for token in answer)
        return prompt, answer if marked else self._ended(answer)

    def _fitting(self, chat: ChatTemplate, example: Turns, answers: Mapping[int, Span]) -> EncodedExample | None:
        """Put the answers into one row that fits, without the first questions and answers if it is too long. The
        system's turn stays. None if the last question and answer do not fit.
        """
        whole = row = self._row(list(answers.values()))
        head = next(place for place, turn in enumerate(example) if turn[0] != "system")
        for start in [place for place, turn in enumerate(example) if turn[0] == "user"][1:]:
            later = [place for place in answers if place > start]
            if self._fits(row) or not later:
                break
            turns = (*example[:head], *example[start:])
            spans = {place: self._turn(chat, turns, place - start + head) for place in later}
            if len(joined_rows(spans)) == 1:
                row = self._row(list(spans.values()))
        return replace(row, cut=len(whole.ids) - len(row.ids)) if self._fits(row) else None

    def _fits(self, row: EncodedExample) -> bool:
        answer = len(row.labels) if self.architecture == Architecture.SEQ2SEQ else 0
        fits = self.limit is None or len(row.ids) <= self.limit
        return fits and (self.answer_limit is None or answer <= self.answer_limit)


def _check_shown(chat: ChatTemplate, example: Turns) -> None:
    """Raise Unrenderable if the template leaves out the answers of tools."""
    messages = [message_of((turn[0], MARK) if turn[0] == TOOL else turn, role_of(turn[0])) for turn in example]
    if any(turn[0] == TOOL for turn in example) and MARK not in chat.ended(messages):
        raise Unrenderable("it does not show what tools answer")


def joined_rows(spans: Mapping[int, Span]) -> list[list[int]]:
    """Group the places of spans into rows: a span that continues the one before joins its row, any other starts one."""
    rows: list[list[int]] = []
    before: Tokens = ()
    for place, (prompt, answer) in spans.items():
        if rows and prompt[: len(before)] == before and len(prompt) > len(before):
            rows[-1].append(place)
        else:
            rows.append([place])
        before = prompt + answer
    return rows


def _first_question(example: Turns) -> int:
    return next((place for place, turn in enumerate(example) if turn[0] == "user"), len(example))


def _first_answer(example: Turns) -> int:
    return next(place for place, turn in enumerate(example) if role_of(turn[0]) == ASSISTANT)
