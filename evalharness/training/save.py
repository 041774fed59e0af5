"""Save a trained model as a candidate: weights or adapter, tokenizer, and training.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig, TrainerState

from evalharness import __version__, peak_memory
from evalharness.checkpoints.devices import DTYPES
from evalharness.checkpoints.files import ADAPTER_CONFIG, GENERATION_CONFIG, TRAINING
from evalharness.checkpoints.load import LoadedModel
from evalharness.errors import ModelError
from evalharness.records.models import Method
from evalharness.training.adapt import TrainableModel, all_finite, expected_warnings, parameter_counts
from evalharness.training.data import TrainingSet
from evalharness.training.encoded_set import EncodedSet
from evalharness.training.looks import looks_of
from evalharness.training.origin import TRAINED_IN
from evalharness.training.recipe import Recipe
from evalharness.training.start import PRECISION, StartingPoint, base_named, lineage
from evalharness.training.trainer import SEEN, best_of, losses_of, optimiser_facts

LAST = 10  # steps over which the last loss is averaged
LIBRARIES = ("torch", "transformers", "peft", "accelerate", "tokenizers")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCourse:
    """The numbers of a training's course.

    `losses`: one a step, in nats a completion token. `validated`: (step, loss) of every validation. `planned`: the
    number of steps. `examples`: how many the set has as the model sees it. `examples_seen`: over all steps, each as
    often as it was seen. `tokens`: over all steps. `rate`: tokens a second since the last start, with validation and
    saved states; None for a kept checkpoint. `truncated`: how many examples lost their beginning. `left_out`: how many
    did not fit. `looks`: measurements of forgetting during the training.
    """

    losses: tuple[float, ...]
    validated: tuple[tuple[int, float], ...]
    planned: int
    examples: int
    examples_seen: int
    tokens: int
    rate: float | None
    truncated: int
    left_out: int
    looks: tuple[Mapping[str, Any], ...] = ()


def course_of(state: TrainerState, encoded: EncodedSet, planned: int, rate: float | None = None) -> TrainingCourse:
    """Read the course so far from the Trainer's state. `rate`: tokens a second, None for a kept checkpoint."""
    history = state.log_history
    return TrainingCourse(
        losses=tuple(loss for _, loss in losses_of(history, "loss")),
        validated=tuple(losses_of(history, "eval_loss")),
        planned=planned,
        examples=encoded.examples,
        examples_seen=round(sum(number for _, number in losses_of(history, SEEN))),
        tokens=state.num_input_tokens_seen,
        rate=rate,
        truncated=encoded.truncated,
        left_out=encoded.left_out,
        looks=looks_of(history),
    )


def save_model(recipe: Recipe, start: StartingPoint, loaded: LoadedModel, model: TrainableModel, folder: Path) -> None:
    """Save the weights as transformers or peft does, full weights with the tokenizer and the generation configuration
    of their origin. Raises ModelError if values are too large for the saved type.
    """
    saved_as = saved_dtype(recipe, start)
    if not isinstance(model, PeftModel):
        torch.nn.Module.to(model, DTYPES[saved_as])
    elif recipe.save_dtype is not None:  # only the adapter: the weights under it may be quantised
        for parameter in filter(lambda each: each.requires_grad, model.parameters()):
            parameter.data = parameter.data.to(DTYPES[saved_as])
    if not all_finite(model):
        raise ModelError(recipe.out, f"some weights are too large for {saved_as}", f"--save-dtype {TRAINED_IN}")
    with expected_warnings():
        if isinstance(model, PeftModel):
            # peft reads the vocabulary of this path
            model.peft_config["default"].base_model_name_or_path = str(start.weights.path)
            model.save_pretrained(str(folder))
            (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
            _name_base(folder / ADAPTER_CONFIG, *base_named(start, recipe))
            return
        # transformers refuses to write some configurations that it reads, so the origin's file is copied
        model.generation_config = GenerationConfig()
        model.save_pretrained(str(folder))
        loaded.tokenizer.save_pretrained(str(folder))
    (folder / GENERATION_CONFIG).unlink(missing_ok=True)
    if start.origin.generation_config is not None:
        (folder / GENERATION_CONFIG).write_bytes(start.origin.generation_config)


def _name_base(path: Path, base: str, revision: str | None) -> None:
    config = {**json.loads(path.read_text()), "base_model_name_or_path": base, "revision": revision}
    path.write_text(json.dumps(config, indent=2, sort_keys=True))  # as peft writes it


def saved_dtype(recipe: Recipe, start: StartingPoint) -> str:
    """Return the type of the saved candidate: `--save-dtype`, else that of the training for an adapter, and that of
    most values in the original files for full weights.
    """
    if recipe.save_dtype is not None or recipe.definition.adapter:
        return recipe.save_dtype or TRAINED_IN
    return start.origin.dtype


def training_json(
    recipe: Recipe,
    start: StartingPoint,
    model: TrainableModel,
    examples: TrainingSet,
    course: TrainingCourse,
    place: Path,
) -> dict[str, Any]:
    """Describe the training for training.json, without times and sizes, which `write_training_json` adds. `place`: the
    candidate's final path.
    """
    trained, whole = parameter_counts(model)
    last = course.losses[-LAST:]
    return {
        **lineage(start, recipe, place),
        "base_fingerprint": start.base.fingerprint,
        "base_weights": start.origin.base_weights,
        "target_task": recipe.target or None,
        "method": recipe.method,
        "architecture": start.weights.architecture,
        "precision": PRECISION if recipe.method == Method.QLORA else start.weights.precision,
        "recipe": recipe.to_json(),
        "optimiser": optimiser_facts(recipe),
        "saved_as": saved_dtype(recipe, start),
        "data": _data_facts(examples, course),
        "trainable": trained,
        "parameters": whole,
        "losses": [round(loss, 6) for loss in course.losses],
        "last_loss": round(last[-1], 6),
        "last_losses_mean": {"steps": len(last), "loss": round(sum(last) / len(last), 6)},
        "steps": len(course.losses),
        "tokens": course.tokens,
        "tokens_per_second": None if course.rate is None else round(course.rate, 1),
        "truncated": course.truncated,
        "left_out": course.left_out,
        **_of_validation(course),
        **({"watch": {"suite": recipe.watch, "looks": [dict(look) for look in course.looks]}} if course.looks else {}),
        "versions": {"evalharness": __version__, **{name: version(name) for name in LIBRARIES}},
    }


def _data_facts(examples: TrainingSet, course: TrainingCourse) -> dict[str, Any]:
    return {
        "digest": examples.digest,
        "examples": len(examples.examples),
        "counts": dict(examples.counts),
        "sources": [dict(source) for source in examples.sources],
        **({"validation": dict(examples.validation_source)} if examples.validation_source else {}),
        "seen": course.examples_seen,
        "passes": round(course.examples_seen / course.examples, 3),
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


def write_training_json(facts: dict[str, Any], folder: Path, seconds: float, from_start: bool) -> None:
    """Write training.json into the candidate's folder. `from_start`: whether the memory peak was measured from the
    start of the training, else from that of the process.
    """
    facts = {
        **facts,
        "seconds": round(seconds, 3),
        "bytes": sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        "peak_memory_process": peak_memory.process_peak(),
        "peak_memory_device": peak_memory.device_peak(),
        "peak_memory_since": "the start of the training" if from_start else "the start of the process",
    }
    (folder / TRAINING).write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n")
