"""Read an adapter's type, task, virtual tokens and sizes from its files, without peft."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.checkpoints import files
from evalharness.checkpoints.kinds import TYPES, refusal
from evalharness.errors import ModelError, did_you_mean
from evalharness.records.models import Architecture, Kind

ARCHITECTURES: dict[str, Architecture] = {"CAUSAL_LM": Architecture.CAUSAL, "SEQ_2_SEQ_LM": Architecture.SEQ2SEQ}
WORDS = {Architecture.CAUSAL: "a decoder-only model", Architecture.SEQ2SEQ: "an encoder-decoder model"}
TASK_COUNTS = {"MULTITASK_PROMPT_TUNING": "num_tasks", "POLY": "n_tasks"}  # type -> key of the number of its tasks
FROZEN = {  # tensors that are stored and never trained: random, copied from the base, or indices
    "ADAMSS": ("adamss_newB",),
    "DELORA": ("delora_w_norm",),
    "FROD": ("frod_s_indices", "frod_s_size", "frod_V"),
    "GLORA": ("zeros",),
    "PVERA": ("pvera_A", "pvera_B"),
    "RANDLORA": ("randlora_A", "randlora_B"),
    "SHIRA": ("shira_indices",),
    "SUPERTUNING": ("supertuning_indices",),
    "TINYLORA": ("tinylora_A", "tinylora_B", "tinylora_P"),
    "VERA": ("vera_A", "vera_B"),
}
VIRTUAL_LIMIT = 1 << 20
TOKENS = "trainable_tokens_delta"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFacts:
    """What an adapter's files say of it.

    `values` is the number of numbers in its file, `trained` how many of them training could change. `learned_for` is
    the architecture of its task type; None if its files do not state it.
    """

    kind: Kind
    peft_type: str
    task: int | None
    virtual_tokens: int
    values: int
    trained: int
    learned_for: Architecture | None


def adapter_facts(directory: Path, task: int | None) -> AdapterFacts:
    """Read adapter_config.json and the header of the weights.

    `task` is the one to use of an adapter that learned several. The file of weights may be missing (then sizes are 0).
    Raises ModelError for anything that is no supported adapter of a language model.
    """
    where = directory / files.ADAPTER_CONFIG
    config = files.read_json(where)
    peft_type, task_type = config.get("peft_type"), config.get("task_type")
    if not isinstance(peft_type, str) or peft_type not in TYPES:
        raise ModelError(
            where,
            f"adapter of type {peft_type!r}, not supported",
            f"{did_you_mean(str(peft_type), TYPES)} (`checkpoint kinds` lists all)",
        )
    if task_type is not None and task_type not in tuple(ARCHITECTURES):
        raise ModelError(
            where,
            f"an adapter for task type {task_type!r}, not supported",
            f"{' or '.join(ARCHITECTURES)} is that of a model that writes text",
        )
    stored = files.tensors(directory / files.ADAPTER) if (directory / files.ADAPTER).is_file() else {}
    return AdapterFacts(
        kind=TYPES[peft_type].kind,
        peft_type=peft_type,
        task=_checked_task(directory, config, task),
        virtual_tokens=0 if TYPES[peft_type].acts == "layers" else _virtual_tokens(where, config),
        values=sum(facts.size for facts in stored.values()),
        trained=_trained_values(config, stored),
        learned_for=None if task_type is None else ARCHITECTURES[task_type],
    )


def _trained_values(config: dict[str, Any], stored: dict[str, files.TensorFacts]) -> int:
    """Count the stored numbers that training could change."""
    frozen, targets = FROZEN.get(config["peft_type"], ()), config.get("target_modules")
    sizes = {name: facts.size for name, facts in stored.items() if not any(part in frozen for part in name.split("."))}
    if config["peft_type"] == "TRAINABLE_TOKENS":  # of tied embeddings, peft stores one and the same for each place
        ends = tuple(f".{target}.{TOKENS}" for target in ([targets] if isinstance(targets, str) else targets or ()))
        sizes = {name: size for name, size in sizes.items() if name.endswith(ends)} or sizes
    share = _trained_share(config) if config["peft_type"] == "CARTRIDGE" else 1.0
    return round(sum(sizes.values()) * share)


def _trained_share(config: dict[str, Any]) -> float:
    """Return the share of a cartridge's virtual tokens that are not frozen; 1 if its configuration does not
    state it.
    """
    frozen, tokens = config.get("num_frozen_tokens"), config.get("num_virtual_tokens")
    if isinstance(frozen, int) and isinstance(tokens, int) and 0 <= frozen <= tokens and tokens > 0:
        return (tokens - frozen) / tokens
    return 1.0


def _checked_task(directory: Path, config: dict[str, Any], task: int | None) -> int | None:
    """Return the task whose prompt is used; None for an adapter that learned only one."""
    key = TASK_COUNTS.get(config["peft_type"])
    count = config.get(key, 1) if key else 1
    if not isinstance(count, int) or count < 1:
        raise ModelError(directory / files.ADAPTER_CONFIG, f"{key} is {count!r}", "a whole number above zero")
    if task is not None and task >= count:
        one = f"#{task} asks for one task of several, and it learned one"
        what = f"there is no task {task}: it learned {count}" if key else one
        raise ModelError(directory, what, f"#0 to #{count - 1}" if count > 1 else f"leave out #{task}")
    if count > 1 and task is None:
        raise ModelError(
            directory,
            f"learned {count} tasks, each with a prompt of its own",
            f"name one: {directory}#0 to {directory}#{count - 1}",
        )
    return task if count > 1 else None


def _virtual_tokens(where: Path, config: dict[str, Any]) -> int:
    number, started_from = config.get("num_virtual_tokens"), config.get("cpt_token_ids")
    if config["peft_type"] == "CPT" and isinstance(started_from, list) and started_from:
        return len(started_from)  # as in peft, whatever num_virtual_tokens is
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= VIRTUAL_LIMIT:
        raise ModelError(where, f"num_virtual_tokens is {number!r}", f"a whole number from 1 to {VIRTUAL_LIMIT}")
    return number


def check_base(directory: Path, facts: AdapterFacts, base: Path, architecture: Architecture) -> None:
    """Raise ModelError if an adapter cannot have been trained on this base, or its type is not supported on its
    architecture.
    """
    recorded = files.training_record(directory)[0].get("architecture")
    learned_for = facts.learned_for or next(
        (architecture_name for architecture_name in WORDS if architecture_name == recorded), None
    )
    if learned_for not in (None, architecture):
        raise ModelError(
            directory,
            f"an adapter of {WORDS[learned_for]}, and its base {base} is {WORDS[architecture]}",
            "give the base that it was trained on with --base",
        )
    if why := refusal(facts.peft_type, architecture):
        raise ModelError(
            directory,
            why,
            "`checkpoint kinds` lists what is supported; full weights with the adapter merged into them always are",
        )
