"""Make the logs beside this file with inspect_ai 0.3.285 (`pip install inspect_ai==0.3.285`; no network is needed):
`python make.py FOLDER`. Two models that answer from a list: `base` is right where a digest says so, `tuned` less often.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from inspect_ai import Epochs, Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import read_eval_log, write_eval_log
from inspect_ai.model import ChatMessage, ChatMessageUser, GenerateConfig, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import choice, exact, f1, includes, match
from inspect_ai.solver import Generate, TaskState, generate, multiple_choice, prompt_template, solver, system_message

RIGHT = {"base": 8, "tuned": 5}  # of 10
CAPITALS = ("Paris", "Rome", "Madrid", "Berlin", "Vienna", "Lisbon", "Athens", "Dublin")

CHOOSE = "Say 'ANSWER: LETTER', which is one of {letters}.\n\n{question}\n\n{choices}"


def draw(*parts: object) -> int:
    return int(hashlib.sha256(repr(parts).encode()).hexdigest(), 16) % 10


def answered(model: str):
    """The model's answer: right as the digest has it; every prompt counts how often it was asked."""
    asked: dict[str, int] = {}

    def answer(messages: list[ChatMessage], *_: object) -> ModelOutput:
        text = messages[-1].text
        asked[text] = asked.get(text, 0) + 1
        place = int(text.rpartition("Number ")[2].split(".")[0])
        right = draw(model, text, asked[text]) < RIGHT[model]
        if "ANSWER:" in text:
            said = f"ANSWER: {'ABC'[place % 3 if right else (place + 1) % 3]}"
        else:
            said = CAPITALS[place] if right else CAPITALS[place - 1]
        output = ModelOutput.from_content(model, f"It is {said}" if "sentence" in text else said)
        output.usage = ModelUsage(input_tokens=1, output_tokens=1)  # else tokens are counted, which needs a download
        return output

    return answer


def choose() -> Task:
    samples = [
        Sample(input=f"Which is the capital? Number {i}.", choices=[CAPITALS[(i + k) % 8] for k in range(3)],
               target="ABC"[i % 3], id=f"capital-{i}")
        for i in range(8)
    ]  # fmt: skip
    return Task(
        dataset=MemoryDataset(samples), solver=[multiple_choice(template=CHOOSE)], scorer=choice(), name="choose"
    )


def samples(ask: str) -> MemoryDataset:
    return MemoryDataset([Sample(input=f"{ask} Number {i}.", target=name) for i, name in enumerate(CAPITALS)])


def sentence() -> Task:
    asked = samples("Name it in a sentence.")
    for sample in asked:
        sample.input = [ChatMessageUser(content=sample.input)]
    return Task(
        dataset=asked,
        solver=[system_message("You know capitals."), prompt_template("Answer briefly. {prompt}"), generate()],
        scorer=[includes(), match(), f1(), exact()],
        name="sentence",
        version=2,
    )


def often() -> Task:
    return Task(
        dataset=samples("Name it."), scorer=match(), name="often", epochs=Epochs(3, ["mean", "mode", "at_least_2"])
    )


@solver
def breaks(on: str):
    async def solve(state: TaskState, _: Generate) -> TaskState:
        if on in state.input_text:
            raise RuntimeError("the tool is gone")
        return state

    return solve


def broken() -> Task:
    return Task(
        dataset=samples("Name it again."), solver=[breaks("Number 4."), generate()], scorer=match(), name="broken",
        fail_on_error=False,
    )  # fmt: skip


def make(out: Path) -> None:
    """Evaluate into FOLDER/MODEL, and leave out of the logs the events, of which nothing is read."""
    for name in RIGHT:
        for task, form in ((choose, "eval"), (sentence, "json"), (often, "eval"), (broken, "eval")):
            model = get_model(f"mockllm/{name}", custom_outputs=answered(name), config=GenerateConfig(max_tokens=64))
            with tempfile.TemporaryDirectory() as made:
                (log,) = eval(task(), model=model, log_dir=made, log_format=form, display="none", log_realtime=False)
                log = read_eval_log(log.location)
            for sample in log.samples:
                sample.events, sample.events_data = [], None
                if sample.error is not None:
                    sample.error.traceback = sample.error.traceback_ansi = ""  # pages, with paths
            (out / name).mkdir(parents=True, exist_ok=True)
            write_eval_log(log, str(out / name / f"{log.eval.task}.{form}"))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
