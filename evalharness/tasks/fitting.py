"""A prompt and a token budget to the prompt that fits: whole shots go first, the oldest first, then the end of the
document column.

The question, its choices and the answer are never cut. Room is kept for the longest continuation of a ranking, or for
all new tokens of a generation; where an encoder reads the prompt and a decoder writes the answer, each has the budget
for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from evalharness.data.files import DataRow
from evalharness.records.tasks import OutputType, Task
from evalharness.tasks.prompts import Question, Renderer
from evalharness.tasks.turns import Chat, Turn, plain, question

SLACK = 16  # tokens by which a whole may have more than its parts together


@dataclass(frozen=True, slots=True)
class Draft:
    """A prompt before it is asked: what the system says, the shots, and the question rendered from `row`."""

    system: str
    shots: tuple[tuple[Turn, ...], ...]
    asked: Question
    row: DataRow
    truncated: bool = False

    def contexts(self, task: Task, chat: Chat | None = None) -> tuple[str, ...]:
        """The full prompts, plain or as a chat template puts them: one, or with several inputs one per choice. Raises
        Unrenderable.
        """
        system = (Turn("system", self.system),) if self.system else ()
        header = (*system, *(turn for shot in self.shots for turn in shot))
        delimiter = "" if self.asked.several else task.target_delimiter
        put = plain if chat is None else chat.prompt
        return tuple(
            put((*header, *question(context, self.asked.prefix, delimiter))) for context in self.asked.contexts
        )


@dataclass(slots=True)
class Fitter:
    """Fits drafts of one task into `budget` tokens as `count` counts them. Counts of shots are remembered: every prompt
    has the same ones.
    """

    task: Task
    renderer: Renderer
    budget: int | None
    count: Callable[[str], int] | None
    continuations: Callable[[Question], Sequence[str]]
    chat: Chat | None = None
    apart: bool = False  # an encoder reads the prompt, a decoder the answer
    counted: dict[str, int] = field(default_factory=dict)

    def fit(self, draft: Draft) -> Draft | None:
        """The draft, shortened where it must be (`truncated` says so); None where even the bare question is too
        long.
        """
        if self.budget is None or self.count is None or self._surely_fits(draft) or self._fits(draft):
            return draft
        for dropped in range(1, len(draft.shots) + 1):
            shorter = replace(draft, shots=draft.shots[dropped:], truncated=True)
            if self._fits(shorter):
                return shorter
        return self._with_shorter_document(replace(draft, shots=(), truncated=True))

    def _with_shorter_document(self, draft: Draft) -> Draft | None:
        """The longest beginning of the document column with which the prompt fits, cut at white space where there is
        some near.
        """
        document = draft.row.get(self.task.document or "")
        if not isinstance(document, str) or not document:
            return None
        low, high = (
            0,
            len(document),
        )  # a beginning of `low` characters fits (or is the last hope), one of `high` does not
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
        return replace(draft, row=row, asked=self.renderer.question(row))

    def _fits(self, draft: Draft) -> bool:
        assert self.count is not None and self.budget is not None
        return self._together(max(map(self.count, draft.contexts(self.task, self.chat))), draft) <= self.budget

    def _together(self, prompt: int, draft: Draft) -> int:
        """What a prompt of so many tokens takes of the budget, its answer with it."""
        return max(prompt, self._reserved(draft)) if self.apart else prompt + self._reserved(draft)

    def _surely_fits(self, draft: Draft) -> bool:
        """Do the parts fit, counted one by one? Then the whole does, and long headers are not counted again for every
        example.

        What a template adds is not known by parts; but no text has more tokens than bytes.
        """
        assert self.count is not None and self.budget is not None
        if self.chat is not None:
            longest = max(
                len(context.encode("utf-8", "surrogatepass")) for context in draft.contexts(self.task, self.chat)
            )
            return self._together(longest + SLACK, draft) <= self.budget
        parts = self._remembered(draft.system) + sum(self._remembered(plain(shot)) for shot in draft.shots)
        question = max(self.count(context) for context in draft.asked.contexts) + self._remembered(draft.asked.prefix)
        return self._together(parts + question + SLACK + 2 * len(draft.shots), draft) <= self.budget

    def _reserved(self, draft: Draft) -> int:
        if self.task.output_type == OutputType.GENERATE_UNTIL:
            return self.task.max_tokens
        return max(map(self._remembered, self.continuations(draft.asked)))

    def _remembered(self, text: str) -> int:
        if text not in self.counted:
            assert self.count is not None
            self.counted[text] = self.count(text)
        return self.counted[text]
