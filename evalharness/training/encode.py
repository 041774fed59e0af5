"""Encode solved examples as token ids, with the loss on their completions only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalharness.engines.hf.chat import ChatTemplate
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, Untokenizable
from evalharness.errors import DataError
from evalharness.records.models import Architecture
from evalharness.records.tokenizers import Unrenderable
from evalharness.training.example_file import Example, Pair, Turns, is_turns

IGNORED = -100  # the label that cross-entropy passes over
Tokens = tuple[int, ...]
Span = tuple[Tokens, Tokens]  # what is given, what is to be learned after it
Part = tuple[Tokens, bool]  # tokens, and whether they are to be learned


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedExample:
    """Token ids of an example. Causal: `ids` and `labels` of one length, labels IGNORED on what is given.
    Encoder-decoder: the encoder's ids, the decoder's labels.

    `cut`: tokens dropped from the left of what is given.
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
    `written`: of a completion.
    """

    texts: TokenizerAdapter
    architecture: Architecture = Architecture.CAUSAL
    given: int | None = None
    written: int | None = None
    chat: ChatTemplate | None = None

    def encode(self, example: Example) -> tuple[EncodedExample, ...]:
        """Encode the example as the model sees it: one for a pair; for a conversation one, or one for each turn of the
        assistant where the template renders earlier turns otherwise once others follow (and for encoder-decoder
        models).

        What is given and does not fit loses tokens from the left (evaluation cuts shots and documents instead). Raises
        DataError where a completion alone does not fit, is empty, or cannot be tokenised, and for conversations without
        or against the template.
        """
        try:
            spans = self._turns(example) if is_turns(example) else [self._pair(example)]
        except Untokenizable as error:
            raise DataError(_where(example), str(error), "leave it out, or mend it") from None
        if self.architecture == Architecture.SEQ2SEQ:
            return tuple(self._sides(example, span) for span in spans)
        return tuple(self._line(example, line) for line in joined(spans))

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

    def _ended(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        end = self.texts.tokenizer.eos_token_id
        return ids if end is None else (*ids, end)

    def _turns(self, example: Turns) -> list[Span]:
        """Encode every turn of the assistant after all that was said before, as generation sees it."""
        if self.chat is None:
            raise DataError(
                _where(example),
                "a conversation, and the tokenizer has no chat template",
                "give prompts and completions, or a model with a template",
            )
        messages = [{"role": role, "content": content} for role, content in example]
        answers = [place for place, (role, content) in enumerate(example) if role == "assistant" and content]
        try:
            return [self._turn(self.chat, messages, place) for place in answers]
        except Unrenderable as error:
            raise DataError(
                _where(example), f"the chat template refuses its turns ({error})", "leave it out, or mend it"
            ) from None

    def _turn(self, chat: ChatTemplate, messages: list[dict[str, str]], place: int) -> Span:
        before, whole = chat.render(messages[:place], False), chat.ended(messages[: place + 1])
        if not whole.startswith(before):
            raise Unrenderable("what it puts before an answer is not what it puts there once the answer is given")
        given = self.texts.encode(before)
        written = self.texts.encode(whole)[len(given) :] if self.architecture == Architecture.CAUSAL else ()
        if self.architecture == Architecture.SEQ2SEQ or self.texts.encode(whole)[: len(given)] != given:
            written = self.texts.encode(whole[len(before) :], special=False)
        if not written:
            raise Untokenizable("an empty continuation has no probability")
        marked = any(token in self.texts.tokenizer.all_special_ids for token in written)
        return given, written if marked else self._ended(written)

    def _line(self, example: Example, line: Sequence[Part]) -> EncodedExample:
        """Put parts, given or learned in turn, into one row."""
        ids = tuple(token for part, _ in line for token in part)
        labels = tuple(token if learned else IGNORED for part, learned in line for token in part)
        must = len(ids) - len(line[0][0])
        if self.given is not None and must >= self.given:
            raise _too_long(example, must, self.given)
        cut = 0 if self.given is None else max(0, len(ids) - self.given)
        return EncodedExample(ids=ids[cut:], labels=labels[cut:], cut=cut)

    def _sides(self, example: Example, span: Span) -> EncodedExample:
        given, written = span
        if self.written is not None and len(written) > self.written:
            raise _too_long(example, len(written), self.written)
        cut = 0 if self.given is None else max(0, len(given) - self.given)
        return EncodedExample(ids=given[cut:], labels=written, cut=cut)


def joined(spans: Sequence[Span]) -> list[list[Part]]:
    """Join spans, each of which goes on where the one before ended, to one line of parts; any other gets a line of its
    own.
    """
    lines: list[list[Part]] = []
    before: Tokens = ()
    for given, written in spans:
        if lines and given[: len(before)] == before and len(given) > len(before):
            lines[-1] += [(given[len(before) :], False), (written, True)]
        else:
            lines.append([(given, False), (written, True)])
        before = given + written
    return lines


def _where(example: Example) -> str:
    answers = [content for role, content in example if role == "assistant"] if is_turns(example) else [example[1]]
    return f"training example {answers[0][:40]!r}"


def _too_long(example: Example, tokens: int, limit: int) -> DataError:
    what = "the turns after its first question have" if is_turns(example) else "its completion has"
    return DataError(
        _where(example),
        f"{what} {tokens} tokens, the window (or --max-length) leaves {limit}",
        "leave it out, or shorten it",
    )
