"""Truncate a prompt to a token budget: first whole shots, the first one first, then the end of the document column.

The question, its choices and the answer are never cut. The budget includes the longest continuation of a ranking, or
all new tokens of a generation; if an encoder reads the prompt and a decoder writes the answer, each has the budget for
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from evalharness.data.files import DataRow
from evalharness.records.tasks import OutputType, Task
from evalharness.tasks.prompts import Question, Renderer
from evalharness.tasks.turns import Chat, Turn, plain, question

SLACK = 16  # tokens by which a whole may have more than its parts together


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The parts of a prompt before it is cut: the system message, the shots, and the question rendered from `row`."""

    system: str
    shots: tuple[tuple[Turn, ...], ...]
    question: Question
    row: DataRow
    truncated: bool = False

    def contexts(self, task: Task, chat: Chat | None = None) -> tuple[str, ...]:
        """Return the full prompts, plain or in a chat template: one, or one a choice if the inputs differ by choice.
        Raises Unrenderable.
        """
        system = (Turn("system", self.system),) if self.system else ()
        header = (*system, *(turn for shot in self.shots for turn in shot))
        delimiter = "" if self.question.several else task.target_delimiter
        join = plain if chat is None else chat.prompt
        contexts = self.question.contexts
        return tuple(join((*header, *question(context, self.question.prefix, delimiter))) for context in contexts)


@dataclass(slots=True, kw_only=True)
class Truncator:
    """Truncates the drafts of one task to `budget` tokens, counted by `count`.

    `apart`: an encoder reads the prompt, a decoder writes the answer. Counts of shots are remembered, because prompts
    share them.
    """

    task: Task
    renderer: Renderer
    budget: int | None
    count: Callable[[str], int] | None
    continuations: Callable[[Question], Sequence[str]]
    chat: Chat | None = None
    apart: bool = False
    counted: dict[str, int] = field(default_factory=dict)

    def truncate(self, draft: Draft) -> Draft | None:
        """Return the draft, shortened if necessary (then `truncated`); None if even the bare question is too long."""
        if self.budget is None or self.count is None or self._surely_fits(draft) or self._fits(draft):
            return draft
        for dropped in range(1, len(draft.shots) + 1):
            shorter = replace(draft, shots=draft.shots[dropped:], truncated=True)
            if self._fits(shorter):
                return shorter
        return self._with_shorter_document(replace(draft, shots=(), truncated=True))

    def _with_shorter_document(self, draft: Draft) -> Draft | None:
        """Return the draft with the longest beginning of the document column that fits, cut at white space if
        possible.
        """
        document = draft.row.get(self.task.document or "")
        if not isinstance(document, str) or not document:
            return None
        # a beginning of `low` characters fits (0 may not), one of `high` does not
        low, high = 0, len(document)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._fits(self._cut(draft, document[:middle])) else (low, middle)
        end = document.rfind(" ", 0, low + 1)
        shorter = self._cut(draft, document[: end if end > low // 2 else low].rstrip())
        while low and not self._fits(shorter):
            low -= 1
            shorter = self._cut(draft, document[:low].rstrip())
        return shorter if self._fits(shorter) else None

    def _cut(self, draft: Draft, document: str) -> Draft:
        row = {**draft.row, str(self.task.document): document}
        return replace(draft, row=row, question=self.renderer.question(row))

    def _fits(self, draft: Draft) -> bool:
        return self._within(max(map(self._count, draft.contexts(self.task, self.chat))), draft)

    def _within(self, prompt: int, draft: Draft) -> bool:
        """Return whether a prompt of this many tokens fits with its answer."""
        answer = self._reserved(draft)
        assert self.budget is not None
        return (max(prompt, answer) if self.apart else prompt + answer) <= self.budget

    def _surely_fits(self, draft: Draft) -> bool:
        """Return whether the separately counted parts fit. Then so does the whole, and long headers are counted only
        once.

        With a template the parts are unknown, but no text has more tokens than bytes.
        """
        if self.chat is not None:
            contexts = draft.contexts(self.task, self.chat)
            longest = max(len(context.encode("utf-8", "surrogatepass")) for context in contexts)
            return self._within(longest + SLACK, draft)
        parts = self._remembered(draft.system) + sum(self._remembered(plain(shot)) for shot in draft.shots)
        parts += max(map(self._count, draft.question.contexts)) + self._remembered(draft.question.prefix)
        return self._within(parts + SLACK + 2 * len(draft.shots), draft)

    def _reserved(self, draft: Draft) -> int:
        if self.task.output_type == OutputType.GENERATE_UNTIL:
            return self.task.max_tokens
        return max(map(self._remembered, self.continuations(draft.question)))

    def _remembered(self, text: str) -> int:
        if text not in self.counted:
            self.counted[text] = self._count(text)
        return self.counted[text]

    def _count(self, text: str) -> int:
        assert self.count is not None
        return self.count(text)
