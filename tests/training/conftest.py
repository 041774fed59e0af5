"""Random models of a few thousand weights, with a word tokenizer, to train on one core in a second: Llama, GPT-2,
T5.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from training.makers import silent
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from evalharness.checkpoints.libraries import quiet
from evalharness.training import trainer
from evalharness.training.data import TrainingSet
from evalharness.training.loop import train

WORDS = [
    "good",
    "bad",
    "film",
    "the",
    "was",
    "is",
    "it",
    "Answer",
    ":",
    "yes",
    "no",
    "cat",
    "dog",
    "\n",
    "user",
    "assistant",
    "system",
    "<end>",
]
SIZE = len(WORDS) + 3
WINDOW = 32


def tokenizer(encoder_decoder: bool = False) -> PreTrainedTokenizerFast:
    """Words apart at spaces; a decoder's texts begin with <s>, an encoder's end with </s>."""
    known = Tokenizer(
        models.WordLevel(
            {token: index for index, token in enumerate(["<unk>", "<s>", "</s>", *WORDS])}, unk_token="<unk>"
        )
    )
    known.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Split("\n", "isolated")]
    )
    single = "$A </s>" if encoder_decoder else "<s> $A"
    known.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=known, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def saved(model: PreTrainedModel, folder: Path, encoder_decoder: bool = False) -> Path:
    with quiet():
        model.save_pretrained(folder)
        tokenizer(encoder_decoder).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=SIZE,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=WINDOW,
            tie_word_embeddings=True,
            initializer_range=0.2,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    return saved(model, tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="session")
def with_biases(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=SIZE,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=WINDOW,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
    )
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    return saved(GPT2LMHeadModel(config), tmp_path_factory.mktemp("models") / "gpt2")


@pytest.fixture(scope="session")
def encoder_decoder(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=SIZE,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        dropout_rate=0.0,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=2,
        feed_forward_proj="gated-gelu",
        initializer_factor=1.0,
    )
    return saved(T5ForConditionalGeneration(config), tmp_path_factory.mktemp("models") / "t5", encoder_decoder=True)


TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} </s> {% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)


@pytest.fixture(scope="session")
def talkative(base, tmp_path_factory) -> Path:
    """The base with a chat template."""
    folder = tmp_path_factory.mktemp("models") / "chat"
    folder.mkdir()
    for path in base.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


GOOD, BAD = ("the film was good \n Answer :", " yes"), ("it was bad \n Answer :", " no")


@pytest.fixture(scope="session")
def examples() -> TrainingSet:
    return TrainingSet(examples=(GOOD, BAD) * 8, counts={"films": 16})


TASK = """
task: films
dataset_path: little/films
training_split: train
validation_split: dev
test_split: test
output_type: multiple_choice
doc_to_text: "the film was {{text}} \\n Answer :"
doc_to_choice: ["no", "yes"]
doc_to_target: label
metric_list:
  - metric: acc
metadata:
  version: 1.0
  family: demo
  chance: 0.5
  primary: acc
  lm_eval: "no"
  templates:
    short: {doc_to_text: "film {{text}} \\n Answer :"}
"""


@pytest.fixture
def place(base, tmp_path):
    """A folder with task files and rows of two tasks, and the arguments that every command needs."""
    (tmp_path / "tasks").mkdir()
    for name in ("films", "plays"):
        text = TASK.replace("films", name)
        (tmp_path / "tasks" / f"{name}.yaml").write_text(text if name == "films" else text[: text.index("  templates")])
        folder = tmp_path / "rows" / "little" / name / "default"
        folder.mkdir(parents=True)
        rows = [{"text": text, "label": label} for text, label in (("good", 1), ("bad", 0))] * 4
        for split in ("train", "dev", "test"):
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.fixture
def given(base, place):
    common = [
        "--base",
        str(base),
        "--data-dir",
        str(place / "rows"),
        "--include-path",
        str(place / "tasks"),
        "--device",
        "cpu",
    ]
    return [*common, "--out", str(place / "candidate"), "--steps", "3", "--lr", "0.01"]


class Killed(BaseException):
    """As the process would end, without a word."""


@pytest.fixture
def killed_in(monkeypatch):
    """Runs a call until the step's loss is logged, and leaves all as a kill leaves it."""

    def run(call, step):
        plain_on_log = trainer.TrainingMonitor.on_log

        def on_log(self, args, state, control, logs=None, **more):
            plain_on_log(self, args, state, control, logs=logs, **more)
            if state.global_step == step and logs and "loss" in logs:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(trainer.TrainingMonitor, "on_log", on_log)
            with pytest.raises(Killed):
                call()

    return run


@pytest.fixture
def killed_at(killed_in):
    """Trains until the step's loss is logged, and leaves all as a kill leaves it."""
    return lambda recipe, examples, step: killed_in(lambda: train(recipe, examples, silent), step)
