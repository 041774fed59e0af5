"""Save a trained model as a candidate: weights or adapter, tokenizer, and training.json that says how it was made."""

from __future__ import annotations

import json
import resource
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig

from evalharness import __version__
from evalharness.checkpoints import fingerprint
from evalharness.checkpoints.devices import DTYPES
from evalharness.checkpoints.files import GENERATION_CONFIG, TRAINING
from evalharness.checkpoints.load import LoadedModel
from evalharness.records.models import Method
from evalharness.training.adapt import TrainableModel, expected_warnings, sizes
from evalharness.training.data import TrainingSet
from evalharness.training.recipe import Recipe
from evalharness.training.start import PRECISION, StartingPoint, lineage
from evalharness.training.trainer import OPTIMISER, REPORTS, best_of

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "tokenizers")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCourse:
    """How training went. `losses`: one a step, in nats a completion token; `validated`: (step, loss), or nothing;
    `planned`: steps; `tokens`: seen; `truncated`: examples that lost their beginning.
    """

    losses: tuple[float, ...]
    validated: tuple[tuple[int, float], ...]
    planned: int
    tokens: int
    truncated: int


def save_model(recipe: Recipe, start: StartingPoint, loaded: LoadedModel, model: TrainableModel, folder: Path) -> None:
    """Save the weights, as transformers or peft does. Full weights have the tokenizer, and the generation configuration
    of their origin, beside.
    """
    origin = start.weights.path
    with expected_warnings():
        if isinstance(model, PeftModel):
            model.peft_config["default"].base_model_name_or_path = str(origin)
            model.save_pretrained(str(folder))
            (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
            return
        # transformers refuses to write some that it reads; the origin's file is kept as it is
        model.generation_config = GenerationConfig()
        torch.nn.Module.to(model, DTYPES[recipe.dtype]).save_pretrained(str(folder))
        loaded.tokenizer.save_pretrained(str(folder))
    (folder / GENERATION_CONFIG).unlink(missing_ok=True)
    if (origin / GENERATION_CONFIG).is_file():
        shutil.copyfile(origin / GENERATION_CONFIG, folder / GENERATION_CONFIG)


def training_json(
    recipe: Recipe, start: StartingPoint, model: TrainableModel, examples: TrainingSet, course: TrainingCourse
) -> dict[str, Any]:
    """Describe the training as training.json does but for times and sizes, which `write_training_json` adds."""
    trained, whole = sizes(model)
    last = course.losses[-REPORTS:]
    return {
        **lineage(start, recipe),
        "base_fingerprint": start.base.fingerprint,
        "base_weights": fingerprint.of_tensors(start.base.path),
        "target_task": recipe.target or None,
        "method": recipe.method,
        "architecture": start.weights.architecture,
        "precision": PRECISION if recipe.method == Method.QLORA else start.weights.precision,
        "recipe": recipe.to_json(),
        "optimiser": {"name": "AdamW", **OPTIMISER},
        "data": _of_data(examples),
        "trainable": trained,
        "parameters": whole,
        "losses": [round(loss, 6) for loss in course.losses],
        "final_loss": round(sum(last) / len(last), 6),
        "steps": len(course.losses),
        "tokens": course.tokens,
        "truncated": course.truncated,
        **_of_validation(course),
        "versions": {"evalharness": __version__, **{name: version(name) for name in LIBRARIES}},
    }


def _of_data(examples: TrainingSet) -> dict[str, Any]:
    return {
        "digest": examples.digest,
        "examples": len(examples.examples),
        "counts": dict(examples.counts),
        "sources": [dict(source) for source in examples.sources],
        **({"validation": dict(examples.validation_source)} if examples.validation_source else {}),
    }


def _of_validation(course: TrainingCourse) -> dict[str, Any]:
    if not course.validated:
        return {}
    step, loss = course.validated[best_of(course.validated)]
    rounded = [[at, round(value, 6)] for at, value in course.validated]
    return {
        "validation": {"losses": rounded, "best_step": step, "best_loss": round(loss, 6)},
        "stopped_early": len(course.losses) < course.planned,
    }


def write_training_json(facts: dict[str, Any], folder: Path, seconds: float) -> None:
    """Write training.json into the candidate's folder."""
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    facts = {**facts, "seconds": round(seconds, 3), "bytes": size, "peak_memory": _peak()}
    (folder / TRAINING).write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n")


def _peak() -> int:
    """Return the most bytes held at one time: on the accelerator where there is one, else by the whole process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
