"""No code of a checkpoint, and no module that its files name, is run or imported."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from tiny_models import by_peft, logits

from evalharness.checkpoints.describe import describe
from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.errors import ModelError

MODULE = "evil_of_a_checkpoint"


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """Writes a module into a folder that leaves a trace where it is imported, from there or from anywhere; and looks
    for the trace.
    """
    trace = tmp_path / "executed"
    code = f"import pathlib\npathlib.Path({str(trace)!r}).touch()\nclass Model: ...\nConfig = Tokenizer = Model\n"
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / f"{MODULE}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path / "library")

    def write(folder):
        for name in (f"{MODULE}.py", "custom_generate/generate.py"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(code)

    yield write
    assert MODULE not in sys.modules and not trace.exists()


def tried(place, base=None):
    """Everything that is done with a checkpoint before it answers."""
    checkpoint = recognise(str(place), base=None if base is None else str(base))
    describe(checkpoint)
    verify(checkpoint)
    return load(checkpoint, "float32", "cpu")


@pytest.mark.fault(22)
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_auto_map(file, copy, evil, edit_json, zoo):
    folder = copy("llama")
    evil(folder)
    auto_map = {"AutoConfig": f"{MODULE}.Config", "AutoModelForCausalLM": f"{MODULE}.Model"}
    auto_map["AutoTokenizer"] = [f"{MODULE}.Tokenizer", f"{MODULE}.Tokenizer"]
    edit_json(folder / file, auto_map=auto_map)
    for place, base in ((folder, None), (zoo["llama-lora"], folder)):
        with pytest.raises(ModelError, match=r"run code from the checkpoint \(auto_map\).*remote code is never run"):
            tried(place, base)


@pytest.mark.fault(22)
@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"model_type": MODULE}),
        ("config.json", {"architectures": [f"{MODULE}.Model"]}),
        ("config.json", {"quantization_config": {"quant_method": MODULE}}),
        ("tokenizer_config.json", {"tokenizer_class": f"{MODULE}.Tokenizer"}),
        ("tokenizer_config.json", {"backend": MODULE}),
        ("generation_config.json", {"custom_generate": f"{MODULE}.generate"}),
    ],
)
def test_other_names_of_code(file, change, copy, evil, edit_json):
    """They are refused, or answer as if they were not there."""
    folder = copy("llama")
    evil(folder)
    edit_json(folder / file, **change)
    try:
        tried(folder)
    except ModelError as error:
        assert error.what


@pytest.mark.fault(23)
@pytest.mark.parametrize("library", [MODULE, f"transformers.{MODULE}"])
def test_modules_that_an_adapter_names(library, copy, evil, zoo, edit_json):
    folder = copy("llama-lora")
    evil(folder)
    auto = {"base_model_class": "Model", "parent_library": library, "unsloth_fixed": True}
    edit_json(folder / "adapter_config.json", auto_mapping=auto, task_type="CAUSAL_LM")
    assert torch.equal(logits(tried(folder).model), by_peft(zoo["llama"], folder))
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "task_type": None}))
    assert torch.equal(logits(tried(folder).model), logits(tried(zoo["llama-lora"]).model))
