"""What prove refuses, on engines whose logits are written down here; real engines are proved in tests/engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evalharness.errors import ModelError
from evalharness.prove import Proof, prove
from evalharness.records import Checkpoint, EngineInfo

PROMPTS = ["one two three four", "five"]


class Written:
    """Logits by a rule: rule(prompt, adapter, path, rows in the batch) -> one row."""

    def __init__(self, rule, dtype="float32"):
        self.rule, self.info = rule, EngineInfo("written", {"dtype": dtype})

    def answer(self, requests):
        return iter(())

    def next_token_logits(self, prompts, *, adapter, path):
        return np.array([self.rule(prompt, adapter, path, len(prompts)) for prompt in prompts], dtype=np.float64)

    def close(self):
        pass


def model(kind="lora"):
    return Checkpoint("tuned", kind, Path("tuned"), None, "f" * 64, 10, 5, 40, None, adapter={"lora": "LORA", "prompt": "PROMPT_TUNING"}.get(kind, ""))


def test_the_largest_change_of_each_path():
    engine = Written(lambda prompt, adapter, path, rows: [len(prompt), 2.0 + adapter * (0.5 if path == "score" else 3.0)])
    assert prove(engine, model(), PROMPTS, allow_noop=False) == Proof(scoring=0.5, decoding=3.0, padding=0.0)


@pytest.mark.parametrize(("dead", "words"), [("score", "in scoring"), ("decode", "in decoding")])
def test_an_adapter_that_answers_in_one_path_only(dead, words):
    """The known bug of soft prompts that scoring uses and generation drops."""
    engine = Written(lambda prompt, adapter, path, rows: [1.0, adapter * (path != dead)])
    with pytest.raises(ModelError, match=f"changes no logit {words}:.*--allow-noop"):
        prove(engine, model("prompt"), PROMPTS, allow_noop=False)
    assert prove(engine, model("prompt"), PROMPTS, allow_noop=True).padding == 0.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_non_finite_logits(kind, value):
    with pytest.raises(ModelError, match="non-finite logits in decoding"):
        prove(Written(lambda prompt, adapter, path, rows: [1.0, value if path == "decode" else adapter]), model(kind), PROMPTS, allow_noop=False)


def test_tokens_ruled_out_are_no_fault():
    engine = Written(lambda prompt, adapter, path, rows: [float(adapter), -np.inf])
    assert prove(engine, model(), PROMPTS, allow_noop=False).scoring == 1.0


def test_full_weights_have_nothing_to_switch():
    assert prove(Written(lambda *_: [1.0, 2.0]), model("full"), PROMPTS, allow_noop=False) == Proof(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("moved", "dtype", "fine"), [(5e-4, "float32", True), (2e-3, "float32", False), (2e-3, "bfloat16", True), (1.0, "bfloat16", False)]
)
def test_padding_must_move_nothing(moved, dtype, fine):
    engine = Written(lambda prompt, adapter, path, rows: [adapter + (rows > 1) * moved * (path == "decode"), 8.0], dtype)
    if fine:
        assert prove(engine, model(), PROMPTS, allow_noop=False).padding == pytest.approx(moved)
    else:
        with pytest.raises(ModelError, match=r"decoding moves by .* padded"):
            prove(engine, model(), PROMPTS, allow_noop=False)


def test_there_must_be_prompts():
    with pytest.raises(ValueError, match="at least one prompt"):
        prove(Written(lambda *_: [1.0]), model(), [], allow_noop=False)
