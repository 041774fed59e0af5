"""A trained model to the files of a candidate: weights or adapter, tokenizer, and training.json that says how it was
made.
"""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from evalharness import __version__
from evalharness.checkpoints import fingerprint
from evalharness.checkpoints.files import GENERATION_CONFIG, TRAINING
from evalharness.checkpoints.load import LoadedModel
from evalharness.training.adapt import Trained, expected_warnings, sizes
from evalharness.training.data import TrainingSet
from evalharness.training.recipe import Recipe
from evalharness.training.start import PRECISION, Start, named
from evalharness.training.trainer import OPTIMISER, REPORTS, best_of

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "tokenizers")


@dataclass(frozen=True, slots=True)
class Course:
    """How training went. `losses`: one a step, in nats a completion token; `validated`: (step, loss), or nothing."""

    losses: tuple[float, ...]
    validated: tuple[tuple[int, float], ...]
    planned: int
    tokens: int
    truncated: int


def save(recipe: Recipe, start: Start, loaded: LoadedModel, model: Trained, folder: Path) -> None:
    """The weights, as transformers or peft saves them. Full weights have the tokenizer, and the generation
    configuration of their origin, beside.
    """
    with expected_warnings():
        if recipe.way.adapter:
            model.peft_config["default"].base_model_name_or_path = str(start.under.path)
            model.save_pretrained(str(folder))
            (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
            return
        model.generation_config = (
            GenerationConfig()
        )  # transformers refuses to write some that it reads; the origin's file is kept as it is
        model.to(getattr(torch, recipe.dtype)).save_pretrained(str(folder))
        loaded.tokenizer.save_pretrained(str(folder))
    (folder / GENERATION_CONFIG).unlink(missing_ok=True)
    if (start.under.path / GENERATION_CONFIG).is_file():
        shutil.copyfile(start.under.path / GENERATION_CONFIG, folder / GENERATION_CONFIG)


def describe(recipe: Recipe, start: Start, model: Trained, examples: TrainingSet, course: Course) -> dict[str, Any]:
    """training.json but for times and sizes, which `write` adds."""
    trained, whole = sizes(model)
    data = {"digest": examples.digest, "examples": len(examples.pairs), "counts": dict(examples.counts)}
    facts = {
        **named(start, recipe),
        "base_fingerprint": start.base.fingerprint,
        "base_weights": fingerprint.of_tensors(start.base.path),
        "target_task": recipe.target or None,
        "method": recipe.method,
        "architecture": start.under.architecture,
        "precision": PRECISION if recipe.method == "qlora" else start.under.precision,
        "recipe": recipe.to_json(),
        "optimiser": {"name": "AdamW", **OPTIMISER},
        "data": {
            **data,
            "sources": [dict(source) for source in examples.sources],
            **({"validation": dict(examples.held)} if examples.held else {}),
        },
        "trainable": trained,
        "parameters": whole,
        "losses": [round(loss, 6) for loss in course.losses],
        "final_loss": round(sum(course.losses[-REPORTS:]) / len(course.losses[-REPORTS:]), 6),
        "steps": len(course.losses),
        "tokens": course.tokens,
        "truncated": course.truncated,
    }
    if course.validated:
        best = course.validated[best_of(course.validated)]
        losses = [[step, round(loss, 6)] for step, loss in course.validated]
        facts["validation"] = {"losses": losses, "best_step": best[0], "best_loss": round(best[1], 6)}
        facts["stopped_early"] = len(course.losses) < course.planned
    return facts | {"versions": {"evalharness": __version__, **{name: version(name) for name in LIBRARIES}}}


def write(facts: dict[str, Any], folder: Path, seconds: float) -> None:
    """training.json into the candidate's folder."""
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    facts = {**facts, "seconds": round(seconds, 3), "bytes": size, "peak_memory": _peak()}
    (folder / TRAINING).write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n")


def _peak() -> int:
    """Most bytes held at one time: on the accelerator where there is one, else by the whole process."""
    return (
        torch.cuda.max_memory_allocated()
        if torch.cuda.is_available()
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )


def losses_told(losses: Sequence[tuple[int, float]]) -> tuple[float, ...]:
    """The losses without their steps."""
    return tuple(loss for _, loss in losses)
