"""Between the command and the model there is little of ours: what a person sees who stops a run in a debugger."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, ModuleType

import pytest
from command_line import exit_code
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import PreTrainedModel

import evalharness
from evalharness.cli.run import run_command
from evalharness.paths import shipped

OURS, COMMAND = str(Path(evalharness.__file__).parent), run_command.callback.__code__
MOST = 14


def frames_to_the_command(frame: FrameType | None) -> Iterator[str]:
    """Our functions that are being called, the innermost first, without the command's own. Nothing in between where the
    command is not being called.
    """
    while frame is not None and frame.f_code is not COMMAND:
        if frame.f_code.co_filename.startswith(OURS):
            yield f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}"
        frame = frame.f_back


def _is_check(stack: tuple[str, ...]) -> bool:
    """Whether it is looked at, once, how the model can be asked."""
    return any(name.startswith(("packed_check.", "loop_check.")) for name in stack)


@pytest.mark.parametrize("task", ["yes_no", "echo"])
def test_few_frames_stand_between_the_command_and_the_model(
    task: str, tiny: ModuleType, small_world: Path, tmp_path: Path
) -> None:
    base = shipped("fixtures/models/tiny-base")
    tuned = tiny.make_adapter(base, tmp_path / "tuned", tiny.lora())
    stacks: set[tuple[str, ...]] = set()

    def look(module: object, _: object) -> None:
        if isinstance(module, PreTrainedModel):
            stacks.add(tuple(frames_to_the_command(sys._getframe(1))))

    data = ["--include-path", small_world / "tasks", "--data-dir", small_world / "data", "--task", task]
    places = ["--out", tmp_path / "out", "--store", tmp_path / "store", "--limit", 4, "--quiet"]
    hook = register_module_forward_pre_hook(look)
    try:
        assert exit_code("run", "--base", base, "--model", tuned, *data, *places) == 0
    finally:
        hook.remove()
    answering = [stack for stack in stacks if "session.measure" in stack and not _is_check(stack)]
    assert {stack[0] for stack in answering} == {"model_adapter.logits_at"}
    assert max(map(len, answering)) <= MOST, answering
