"""The callback in a real Trainer: what it logs, that the training is what it would be without it, when it stops, what
it refuses.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from measured_runs import both, plan, task
from peft import LoraConfig, PeftConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
    default_data_collator,
)

import evalharness
from evalharness.analysis.comparison import compare
from evalharness.checkpoints.libraries import quiet
from evalharness.errors import UsageError
from evalharness.experiments.callback import ForgettingCallback, logs_of
from evalharness.records.job_options import make_job
from evalharness.records.results import ModelRow, Results
from evalharness.run import drift_sources
from evalharness.run.evaluation import evaluate

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
STEPS = 3
PEFT: dict[str, Callable[[], PeftConfig]] = {
    "lora": lambda: LoraConfig(r=2, task_type="CAUSAL_LM", target_modules="all-linear", lora_dropout=0.3),
    "prompt": lambda: PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"),
    "prefix": lambda: PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"),
}


def model_of(base: Path, adapter: str = "", dropout: float = 0.2) -> Any:
    """The base in memory, with dropout, so that a random number more or fewer would show."""
    torch.manual_seed(3)
    with quiet():
        kind, name = (
            (AutoModelForSeq2SeqLM, "dropout_rate")
            if base.name == "t5"
            else (AutoModelForCausalLM, "attention_dropout")
        )
        model = kind.from_pretrained(base, **{name: dropout})
        return get_peft_model(model, PEFT[adapter]()) if adapter else model


def trained(
    model: Any, base: Path, out: Path, callbacks: list[ForgettingCallback], rate: float = 1e-2, **options: Any
) -> Trainer:
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = [tokenizer(f"the cat sat on a mat {i}")["input_ids"] for i in range(8)]
    width = max(map(len, rows))
    data = [{"input_ids": row + [0] * (width - len(row)), "labels": row + [-100] * (width - len(row))} for row in rows]
    arguments = TrainingArguments(
        str(out), max_steps=STEPS, per_device_train_batch_size=2, learning_rate=rate, use_cpu=True, report_to="none",
        save_strategy="no", logging_steps=1, disable_tqdm=True, dataloader_pin_memory=False, seed=5, **options,
    )  # fmt: skip
    trainer = Trainer(model, arguments, default_data_collator, data, processing_class=tokenizer, callbacks=callbacks)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pad_token_id.*")
        trainer.train()
    return trainer


@pytest.fixture
def watching(small_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ForgettingCallback]:
    """A callback on the small world's two tasks, with four neutral texts."""
    monkeypatch.setattr(drift_sources, "MOST_TEXTS", 4)

    def make(every: int = 2, **options: Any) -> ForgettingCallback:
        world = {
            "data_dir": small_world / "data",
            "include": (small_world / "tasks",),
            "limit": 8,
            "store": tmp_path / "store.sqlite",
        }
        return ForgettingCallback(["yes_no", "echo"], every=every, **{**world, **options})

    return make


def logged(trainer: Trainer) -> list[dict[str, float]]:
    return [entry for entry in trainer.state.log_history if "forgetting/forgotten" in entry]


@pytest.mark.parametrize(
    ("base", "adapter", "drift"),
    [
        *(("llama", adapter, False) for adapter in ("", "lora", "prompt", "prefix")),
        *(("t5", "", False), ("llama", "lora", True), ("t5", "", True)),
    ],
)
def test_weights_and_losses_are_bit_by_bit_those_of_a_training_without_it(
    base: str,
    adapter: str,
    drift: bool,
    zoo: dict[str, Path],
    tmp_path: Path,
    watching: Callable[..., ForgettingCallback],
) -> None:
    plain = trained(model_of(zoo[base], adapter), zoo[base], tmp_path, [])
    watched = trained(model_of(zoo[base], adapter), zoo[base], tmp_path, [watching(every=2, drift=drift)])
    assert [entry["step"] for entry in logged(watched)] == [2, 3]
    assert all(("forgetting/kl_neutral" in entry) is drift for entry in logged(watched))
    one, other = plain.model.state_dict(), watched.model.state_dict()
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    losses = [
        [(entry["step"], entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
        for trainer in (plain, watched)
    ]
    assert losses[0] == losses[1]
    assert all(
        module.training == plain.model.get_submodule(name).training for name, module in watched.model.named_modules()
    )


@pytest.mark.parametrize("on_disk", [True, False])
def test_drift_is_logged_at_every_look(
    on_disk: bool, zoo: dict[str, Path], tmp_path: Path, watching: Callable[..., ForgettingCallback]
) -> None:
    """On neutral text, on what the base writes to `echo`, and on inputs of the target. The table knows no such base, so
    there is no forecast, which the looks say.
    """
    callback = watching(every=1, drift=True, target="yes_no", base=zoo["llama"] if on_disk else None)
    looks = logged(trained(model_of(zoo["llama"], "lora", dropout=0), zoo["llama"], tmp_path, [callback]))
    for kind in ("neutral", "outputs", "inputs"):
        assert all(entry[f"forgetting/kl_{kind}"] > 0 for entry in looks), kind
    assert looks[-1]["forgetting/kl_neutral"] > looks[0]["forgetting/kl_neutral"]
    assert not any("forecast" in name for entry in looks for name in entry)
    assert all(look.drift_forecasts[0].reason for _, look in callback.looks)


@pytest.mark.parametrize(("adapter", "options"), [("", {"bf16": True}), ("prefix", {})])
def test_what_is_logged_is_what_a_run_finds_of_what_is_saved(
    adapter: str,
    options: dict[str, Any],
    zoo: dict[str, Path],
    small_world: Path,
    tmp_path: Path,
    watching: Callable[..., ForgettingCallback],
) -> None:
    base, callback = zoo["llama"], watching(base=zoo["llama"], out=tmp_path / "looks")
    trainer = trained(model_of(base, adapter), base, tmp_path / "trainer", [callback], **options)
    with quiet():
        trainer.model.save_pretrained(tmp_path / "saved")
        AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "saved")
    assert {"forward", "_original_forward"} <= vars(trainer.model).keys() or not options, (
        "accelerate wraps it in another way now"
    )
    job = make_job(
        models=(str(tmp_path / "saved"),), base=str(base), tasks=("yes_no", "echo"),
        data_dir=small_world / "data", include=(small_world / "tasks",), limit=8, alpha=0.05 / 2,
        out=tmp_path / "run", store=tmp_path / "another.sqlite",
    )  # fmt: skip
    last, run = logged(trainer)[-1], logs_of(evaluate(job))
    assert {key: last[key] for key in run} == run
    about = ("yes_no/difference", "echo/difference", "suite", "forgotten", "unanswered")
    assert last.keys() == {*(f"forgetting/{name}" for name in about), "epoch", "step"}
    assert [step for step, _ in callback.looks] == [2, 3]
    assert (tmp_path / "looks" / "step-3" / "results.json").is_file()


def test_an_adapter_is_measured_on_and_its_base_off(
    zoo: dict[str, Path], tmp_path: Path, watching: Callable[..., ForgettingCallback]
) -> None:
    """A soft prompt moves answers before the first step; a new LoRA moves none: the base is the model without
    either.
    """
    seen = {}
    for adapter, more in (("lora", {}), ("prompt", {}), ("prompt", {"base": zoo["llama"]})):
        callback = watching(every=STEPS, **more)
        trained(model_of(zoo["llama"], adapter), zoo["llama"], tmp_path, [callback], rate=1e-30)
        seen[adapter, bool(more)] = callback.looks[0][1].comparisons
    assert all(c.difference.value == 0 and not (c.lost or c.gained) for c in seen["lora", False])
    assert any(c.lost or c.gained for c in seen["prompt", False])
    assert [(c.base, c.difference) for c in seen["prompt", True]] == [
        (c.base, c.difference) for c in seen["prompt", False]
    ]


def test_the_base_on_disk_answers_once_for_all_trainings(
    zoo: dict[str, Path], tmp_path: Path, watching: Callable[..., ForgettingCallback], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(model_of(zoo["llama"]), zoo["llama"], tmp_path, [watching(every=STEPS, base=zoo["llama"])])
    monkeypatch.setattr(
        "evalharness.experiments.live_comparison.FACTORY.open", lambda *_: pytest.fail("asked again"), raising=False
    )
    trained(model_of(zoo["llama"]), zoo["llama"], tmp_path, [watching(every=STEPS, base=zoo["llama"])])


def test_it_stops_a_training_that_forgets(
    zoo: dict[str, Path], tmp_path: Path, watching: Callable[..., ForgettingCallback]
) -> None:
    """At the look that finds something forgotten, which here is the second whatever is found."""
    callback = watching(every=1, stop_when_forgotten=True)
    original = logs_of

    def forgotten_at_two(found: Any) -> dict[str, float]:
        return {**original(found), "forgetting/forgotten": float(len(callback.looks) >= 2)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evalharness.experiments.callback.logs_of", forgotten_at_two)
        trainer = trained(model_of(zoo["llama"]), zoo["llama"], tmp_path, [callback])
    assert trainer.state.global_step == 2 and [step for step, _ in callback.looks] == [1, 2]


def test_attached_it_logs_through_the_trainer(
    zoo: dict[str, Path], tmp_path: Path, watching: Callable[..., ForgettingCallback]
) -> None:
    heard: list[dict[str, float]] = []

    class Logging(Trainer):
        def log(self, logs: dict[str, float], *rest: Any) -> None:
            heard.append(dict(logs))
            super().log(logs, *rest)

    tokenizer = AutoTokenizer.from_pretrained(zoo["llama"])
    row = {"input_ids": tokenizer("the cat")["input_ids"], "labels": tokenizer("the cat")["input_ids"]}
    arguments = TrainingArguments(
        str(tmp_path), max_steps=1, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True
    )
    trainer = Logging(model_of(zoo["llama"]), arguments, default_data_collator, [row], processing_class=tokenizer)  # type: ignore[arg-type]
    callback = watching(every=1).attach(trainer)
    trainer.train()
    assert (
        any("forgetting/forgotten" in logs for logs in heard) and len(logged(trainer)) == 1 and len(callback.looks) == 1
    )


def test_every_look_is_given_its_share_of_alpha(
    zoo: dict[str, Path], tmp_path: Path, watching: Callable[..., ForgettingCallback]
) -> None:
    callback = watching(every=2, alpha=0.1)
    trained(model_of(zoo["llama"]), zoo["llama"], tmp_path, [callback])
    assert [step for step, _ in callback.looks] == [2, 3]
    assert {found.signature["alpha"] for _, found in callback.looks} == {0.05}


def test_wrong_before_the_first_step(
    zoo: dict[str, Path], tmp_path: Path, watching: Callable[..., ForgettingCallback]
) -> None:
    with pytest.raises(UsageError, match="every"):
        watching(every=0)
    with pytest.raises(evalharness.EvalHarnessError, match="no_such"):
        trained(model_of(zoo["llama"]), zoo["llama"], tmp_path, [ForgettingCallback("no_such", every=1)])
    callback = watching()
    given = {"model": model_of(zoo["llama"]), "processing_class": None}
    arguments, state = SimpleNamespace(deepspeed=None, fsdp=[]), SimpleNamespace(global_step=0, max_steps=4)
    with pytest.raises(UsageError, match="tokenizer"):
        callback.on_train_begin(arguments, state, SimpleNamespace(), **given)  # type: ignore[arg-type]
    given["processing_class"] = AutoTokenizer.from_pretrained(zoo["llama"])
    with pytest.raises(UsageError, match="no longer the base"):
        callback.on_train_begin(arguments, SimpleNamespace(global_step=2, max_steps=4), SimpleNamespace(), **given)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="FSDP"):
        callback.on_train_begin(SimpleNamespace(deepspeed=None, fsdp=["full_shard"]), state, SimpleNamespace(), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"base": "t5"}, "encoder-decoder model, the model in training a decoder-only model"),
        ({"base": "gpt2"}, "model_type gpt2, not llama"),
        ({"base": "llama-lora"}, "is an adapter, not a base"),
        ({"base": "nowhere/at/all"}, "nowhere/at/all"),
        ({"margins": {"yes_on": 0.1}}, "no task or group 'yes_on'.*did you mean yes_no"),
        ({"margin": -0.1}, "is not a margin"),
        ({"margin": 0}, "is not a margin; a number above 0"),
        ({"alpha": 1.5}, "alpha"),
        ({"target": "yes_on"}, "did you mean yes_no"),
        ({"data": {"yes_on": "."}}, "did you mean yes_no"),
        ({"describe": ("calibration",)}, "'describe' has no effect"),
        ({"placebo": True}, "'placebo' has no effect"),
        ({"limits": 3}, "unknown option 'limits'; did you mean limit"),
        ({"out": "/proc/looks"}, "cannot write here"),
    ],
)
def test_what_a_run_refuses_is_refused_before_the_first_step(
    options: dict[str, Any], words: str, zoo: dict[str, Path], watching: Callable[..., ForgettingCallback]
) -> None:
    if "/" not in options.get("base", "/"):
        options = {"base": zoo[options["base"]]}
    given = {"model": model_of(zoo["llama"]), "processing_class": AutoTokenizer.from_pretrained(zoo["llama"])}
    arguments, state = SimpleNamespace(deepspeed=None, fsdp=[]), SimpleNamespace(global_step=0, max_steps=4)
    with pytest.raises(evalharness.EvalHarnessError, match=words):
        watching(**options).on_train_begin(arguments, state, SimpleNamespace(), **given)  # type: ignore[arg-type]


def test_it_is_reached_by_name_and_late() -> None:
    assert evalharness.ForgettingCallback is ForgettingCallback
    assert copy.copy(evalharness.PUBLIC)["ForgettingCallback"].startswith("evalharness.experiments")


def test_what_was_not_measured_is_not_logged() -> None:
    facts = [task("a"), task("b", failed={"lora": 40})]
    rows = compare(facts, [*both("a", 40, 30), *both("b", 40, 30)[:1]], plan())
    sizes = {"parameters": 1, "trainable": 1, "trainable_share": 1.0, "bytes": 1}
    models = (
        ModelRow(name="base", kind="base", fingerprint="f", base=None, **sizes),
        ModelRow(name="lora", kind="lora", fingerprint="f", base="base", **sizes),
    )
    found = logs_of(Results(signature={}, models=models, comparisons=rows))
    assert found["forgetting/a/difference"] == 0 and "forgetting/b/difference" not in found
