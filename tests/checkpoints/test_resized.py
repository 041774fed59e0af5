"""Adapters saved after `resize_token_embeddings` answer as by peft itself on the resized base; on the base as it was
they are refused with a command that makes the resized one.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from tiny_models import by_peft, logits

from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.errors import ModelError

ROWS = 362
FORMS = {
    "whole": {"modules_to_save": ["embed_tokens", "lm_head"]},
    "whole, tied": {"modules_to_save": ["embed_tokens", "lm_head"], "ensure_weight_tying": True},
    "whole, tied by gpt2": {
        "target_modules": ["c_attn"],
        "modules_to_save": ["wte", "lm_head"],
        "ensure_weight_tying": True,
    },
    "head": {"modules_to_save": ["lm_head"]},
    "tokens": {"trainable_token_indices": [ROWS - 2, ROWS - 1]},
    "tokens by name": {"trainable_token_indices": {"embed_tokens": [ROWS - 2, ROWS - 1]}},
    "untrained": {},
    "lora": {"target_modules": ["q_proj", "embed_tokens"]},
    "lora on the head": {"target_modules": ["q_proj", "lm_head"]},
}
CASES = [("llama", form) for form in FORMS if not ("lora" in form or "gpt2" in form)]
CASES += [("qwen3", form) for form in FORMS if "gpt2" not in form] + [("gpt2", "whole, tied by gpt2")]


@pytest.fixture(scope="module")
def adapters(zoo, tiny, tmp_path_factory):
    """Adapters by (base, form), trained on the base with two more tokens."""
    folder, made = tmp_path_factory.mktemp("resized"), {}

    def adapter(base, form):
        if (base, form) not in made:
            config = tiny.lora(**{"target_modules": ["q_proj"], **FORMS[form]})
            made[base, form] = tiny.make_adapter(zoo[base], folder / f"{base} {form}", config, rows=ROWS)
        return made[base, form]

    return adapter


@pytest.fixture(scope="module")
def resized(zoo, adapters):
    """The base that the advice of the error makes, when it is copied and run."""
    made = {}

    def follow(base, form):
        if base not in made:
            with pytest.raises(ModelError, match=f"embeddings of {ROWS} rows .*, its base .* has 360") as error:
                verify(recognise(str(adapters(base, form)), base=str(zoo[base])))
            advice = re.fullmatch(r"resize it, too, and give --base (.*): python -c (.*)", error.value.fix)
            where, command = advice.groups()
            exec(shlex.split(command)[0], {})  # in this process, which has the libraries already
            made[base] = shlex.split(where)[0]
        return made[base]

    return follow


@pytest.mark.parametrize(("base", "form"), CASES)
def test_on_the_resized_base_it_is_what_peft_reloads(base, form, adapters, resized, zoo):
    path = adapters(base, form)
    (notice,) = verify(checkpoint := recognise(str(path), base=(under := resized(base, form))))
    assert "also replaces tensors of its base" in notice
    loaded = load(checkpoint, "float32", "cpu")
    assert torch.equal(logits(loaded.model), by_peft(Path(under), path))


def test_rows_that_are_in_no_file(adapters, resized, zoo):
    """peft saves the rows of embeddings with a LoRA, but not those of the head beside them."""
    path = adapters("llama", "lora")
    with pytest.raises(ModelError, match=r"the rows of lm_head are not in its file, .*: save that model's base"):
        verify(recognise(str(path), base=str(zoo["llama"])))
    under = Path(resized("llama", "whole"))
    loaded = load(recognise(str(path), base=str(under)), "float32", "cpu")
    assert torch.equal(logits(loaded.model), by_peft(under, path))


@pytest.mark.parametrize(("base", "form"), [("llama", "whole"), ("qwen3", "tokens")])
def test_a_second_copy_that_differs_is_refused(base, form, adapters, resized, tmp_path, edit_tensors):
    path = Path(shutil.copytree(adapters(base, form), tmp_path / "changed"))
    checkpoint = recognise(str(path), base=resized(base, form))
    name = {"whole": "lm_head.modules_to_save.weight", "tokens": "lm_head.token_adapter.trainable_tokens_delta"}[form]
    edit_tensors(path / "adapter_model.safetensors", lambda tensors: tensors[f"base_model.model.{name}"].add_(1))
    for step in (verify, lambda one: load(one, "float32", "cpu")):
        with pytest.raises(ModelError, match=f"unexpected base_model.model.{name}|does not fit its base"):
            step(checkpoint)


@pytest.mark.parametrize("indices", [[5, ROWS - 1], {"embed_tokens": [ROWS - 1]}])
def test_tokens_that_have_no_row(indices, copy, edit_json):
    """As saved where peft could not find the base, and so left the embeddings out."""
    folder = copy("llama-lora")
    edit_json(folder / "adapter_config.json", trainable_token_indices=indices)
    with pytest.raises(ModelError, match=r"trains the row of token 361 .* has 360 rows; give with --base the resized"):
        verify(recognise(str(folder)))
