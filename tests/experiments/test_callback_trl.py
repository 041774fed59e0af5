"""The callback in TRL's SFTTrainer logs what a run says of the saved model, and leaves the training as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model_state_dict
from transformers import AutoTokenizer

from evalharness import ForgettingCallback
from evalharness.checkpoints.libraries import quiet
from evalharness.experiments.callback import logs_of
from evalharness.records.job_options import make_job
from evalharness.run.evaluation import evaluate

trl = pytest.importorskip("trl", reason="needs the package trl")
pytestmark = [  # TRL's own
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
]
ROWS = [{"prompt": f"the cat sat on mat {i}", "completion": " yes" if i % 2 else " no"} for i in range(8)]


def trained(base: Path, out: Path, callbacks: list[ForgettingCallback]) -> Any:
    arguments = trl.SFTConfig(
        str(out), max_steps=4, per_device_train_batch_size=2, learning_rate=5e-2, use_cpu=True, report_to="none",
        save_strategy="no", logging_steps=1, disable_tqdm=True, dataloader_pin_memory=False, seed=5, bf16=False,
        activation_checkpointing=False, max_length=32,
    )  # fmt: skip
    torch.manual_seed(3)
    tokenizer = AutoTokenizer.from_pretrained(base)
    with quiet():
        trainer = trl.SFTTrainer(
            str(base), arguments, train_dataset=Dataset.from_list(ROWS), processing_class=tokenizer,
            peft_config=LoraConfig(r=2, task_type="CAUSAL_LM", target_modules="all-linear"), callbacks=callbacks,
        )  # fmt: skip
    trainer.train()
    return trainer


def test_a_lora_in_sft_trainer_is_followed_and_trained_as_without_the_callback(
    zoo: dict[str, Path], small_world: Path, tmp_path: Path
) -> None:
    world: dict[str, Any] = {"data_dir": small_world / "data", "include": (small_world / "tasks",), "limit": 8}
    store = tmp_path / "store.sqlite"
    watch = ForgettingCallback(["yes_no", "echo"], every=2, base=zoo["llama"], store=store, **world)
    plain, watched = trained(zoo["llama"], tmp_path / "a", []), trained(zoo["llama"], tmp_path / "b", [watch])
    one, other = (get_peft_model_state_dict(each.model) for each in (plain, watched))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    looks = [entry for entry in watched.state.log_history if "forgetting/forgotten" in entry]
    assert [entry["step"] for entry in looks] == [2, 4] and "forgetting/suite" in looks[-1]
    watched.save_model(tmp_path / "lora")
    assert json.loads((tmp_path / "lora" / "adapter_config.json").read_text())["r"] == 2
    job = make_job(
        (str(tmp_path / "lora"),), tasks=("yes_no", "echo"), base=zoo["llama"], out=tmp_path / "run", store=store,
        alpha=0.025, **world,
    )  # fmt: skip
    saved = logs_of(evaluate(job))
    assert {key: looks[-1][key] for key in saved} == pytest.approx(saved)
