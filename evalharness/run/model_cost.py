"""Add up what one model's answers cost: time, tokens, memory, and its size on disk."""

from __future__ import annotations

from dataclasses import dataclass

from evalharness.records.models import Checkpoint


@dataclass(slots=True, kw_only=True)
class ModelCost:
    """The costs of one model's answers. A number that could not be measured or counted is None.

    `stored`, `computed`: numbers of requests. `seconds`: of the model's turns, with loading and scoring. `answering`:
    seconds in which answers were computed. `prompt_tokens`, `answer_tokens`: of the computed answers. `process`,
    `device`: the most memory in bytes that this process and the accelerator used in its turns. `checkpoint`: the model,
    for its size on disk.
    """

    stored: int = 0
    computed: int = 0
    seconds: float = 0.0
    answering: float = 0.0
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    process: int | None = None
    device: int | None = None
    checkpoint: Checkpoint | None = None

    def add_answers(self, seconds: float, tokens: dict[str, int]) -> None:
        """Add the seconds and tokens of computed answers."""
        self.answering += seconds
        if "prompt_tokens" in tokens:
            self.prompt_tokens = (self.prompt_tokens or 0) + tokens["prompt_tokens"]
        self.answer_tokens = (self.answer_tokens or 0) + tokens["answer_tokens"]

    def add_peaks(self, process: int, device: int | None) -> None:
        """Keep the highest peaks of all turns."""
        self.process = max(self.process or 0, process)
        self.device = self.device if device is None else max(self.device or 0, device)

    def facts(self, with_peaks: bool) -> dict[str, float | None]:
        """Return the costs as run.json holds them. `with_peaks`: a model was in memory."""
        row: dict[str, float | None] = {
            "stored": self.stored,
            "computed": self.computed,
            "seconds": round(self.seconds, 3),
            "prompt_tokens_per_second": self._rate(self.prompt_tokens),
            "answer_tokens_per_second": self._rate(self.answer_tokens),
        }
        if with_peaks:
            row |= {"peak_process_bytes": self.process, "peak_device_bytes": self.device}
        if self.checkpoint is not None:
            row |= {"on_disk_bytes": self.checkpoint.bytes, "trainable_parameters": self.checkpoint.trainable}
        return row

    def _rate(self, tokens: int | None) -> float | None:
        return None if tokens is None or self.answering <= 0 else round(tokens / self.answering, 1)
