"""What prove refuses, on engines whose logits are written down here; real engines are proved in tests/engines."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from evalharness.engines.adapter_check import Proof, prove, remark
from evalharness.engines.base import Unmergeable
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint, EngineInfo

ADAPTERS = {"lora": "LORA", "prompt": "PROMPT_TUNING", "placebo": "PLACEBO"}
PROMPTS = ["one two three four", "five"]


class Written:
    """Logits by a rule: rule(prompt, adapter, path, rows in the batch) -> one row; merged ones by another, where there
    is one: at a position after every character. `plain_because` as an engine says it.
    """

    def __init__(self, rule, dtype="float32", merge=None):
        self.rule, self.merge, self.info = rule, merge, EngineInfo(name="written", details={"dtype": dtype})
        self.plain_because = ""
        self.asked = []

    def answer(self, requests):
        return iter(())

    def next_token_logits(self, prompts, *, adapter, path):
        self.asked.append((path, adapter, *prompts))
        return np.array([self.rule(prompt, adapter, path, len(prompts)) for prompt in prompts], dtype=np.float64)

    def merge_logits(self, texts):
        if self.merge is None:
            raise Unmergeable("written down nowhere")
        read = [text[:end] for text in texts for end in range(1, len(text) + 1)]
        rows = [(self.rule(some, True, "score", len(texts)), self.merge(some)) for some in read]
        return tuple(np.array(logits, dtype=np.float64) for logits in zip(*rows, strict=True))

    def close(self):
        pass


def model(kind="lora"):
    return Checkpoint(
        name="tuned",
        kind=kind,
        path=Path("tuned"),
        base=None,
        fingerprint="f" * 64,
        parameters=10,
        trainable=5,
        bytes=40,
        window=None,
        adapter=ADAPTERS.get(kind, ""),
    )


def test_the_largest_change_of_each_path():
    engine = Written(
        lambda prompt, adapter, path, rows: [len(prompt), 2.0 + adapter * (0.5 if path == "score" else 3.0)]
    )
    assert prove(engine, model(), PROMPTS, allow_noop=False) == Proof(scoring=0.5, decoding=3.0, padding=0.0)


@pytest.mark.parametrize(("dead", "words"), [("score", "in scoring"), ("decode", "in decoding")])
def test_an_adapter_that_answers_in_one_path_only(dead, words):
    """The known bug of soft prompts that scoring uses and generation drops."""
    engine = Written(lambda prompt, adapter, path, rows: [1.0, adapter * (path != dead)])
    with pytest.raises(ModelError, match=f"changes no logit {words}:.*--allow-noop"):
        prove(engine, model("prompt"), PROMPTS, allow_noop=False)
    assert prove(engine, model("prompt"), PROMPTS, allow_noop=True).padding == 0.0


@pytest.mark.fault(14)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_non_finite_logits(kind, value):
    with pytest.raises(ModelError, match="non-finite logits in decoding"):
        prove(
            Written(lambda prompt, adapter, path, rows: [1.0, value if path == "decode" else adapter]),
            model(kind),
            PROMPTS,
            allow_noop=False,
        )


def test_tokens_ruled_out_are_no_fault():
    engine = Written(lambda prompt, adapter, path, rows: [float(adapter), -np.inf])
    assert prove(engine, model(), PROMPTS, allow_noop=False).scoring == 1.0


def test_full_weights_have_nothing_to_switch():
    assert prove(Written(lambda *_: [1.0, 2.0]), model("full"), PROMPTS, allow_noop=False) == Proof(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("moved", "dtype", "fine"),
    [(5e-4, "float32", True), (2e-3, "float32", False), (2e-3, "bfloat16", True), (1.0, "bfloat16", False)],
)
def test_padding_must_move_nothing(moved, dtype, fine):
    engine = Written(
        lambda prompt, adapter, path, rows: [adapter + (rows > 1) * moved * (path == "decode"), 8.0], dtype
    )
    if fine:
        assert prove(engine, model(), PROMPTS, allow_noop=False).padding == pytest.approx(moved)
    else:
        with pytest.raises(ModelError, match=r"decoding moves by .* padded"):
            prove(engine, model(), PROMPTS, allow_noop=False)


# ---- what is asked of it


LONG = [
    "an example that all prompts share. " * 20 + end for end in ("Is it so? No, or yes?", "And what else is there?")
]


def test_an_adapter_that_acts_is_asked_nothing_but_two_short_texts():
    engine = Written(lambda prompt, adapter, path, rows: [float(adapter)])
    prove(engine, model(), LONG, allow_noop=False)
    short, longer = LONG[0][-32:], LONG[1][-64:]
    assert engine.asked == [
        *((path, True, short) for path in ("score", "decode")),
        *((path, False, short) for path in ("score", "decode")),
        *((path, True, short, longer) for path in ("score", "decode")),
    ]


@pytest.mark.parametrize(
    ("prompts", "short", "longer"),
    [
        (["one two three four", "five"], "five", "one two three four"),
        (["one two"], "two", "one two"),
        (["the same length", "of two prompts."], " length", "of two prompts."),
    ],
)
def test_short_prompts_make_texts_of_different_lengths(prompts, short, longer):
    engine = Written(lambda prompt, adapter, path, rows: [1.0])
    prove(engine, model("full"), prompts, allow_noop=False)
    assert engine.asked[-1] == ("decode", True, short, longer)


@pytest.mark.parametrize("kind", ["lora", "prompt"])
def test_an_adapter_that_acts_on_some_tokens_only_is_asked_whole_prompts_before_it_is_refused(kind):
    """As one that trains new tokens does, which may stand where the texts are not cut."""
    prompts = [*LONG[:1] * 5, "<new>" + LONG[1]]

    def rule(prompt, adapter, path, rows):
        return [0.25 * adapter * ("<new>" in prompt), 2.0]

    proof = prove(Written(rule), model(kind), prompts, allow_noop=False)
    assert (proof.scoring, proof.decoding) == (0.25, 0.25)
    assert prove(Written(rule), model(kind), prompts, allow_noop=True) == proof
    with pytest.raises(ModelError, match="changes no logit in scoring or decoding"):
        prove(Written(rule), model(kind), prompts[:5], allow_noop=False)


def test_where_memory_does_not_suffice_for_a_whole_prompt_the_shorter_ones_are_asked():
    def rule(prompt, adapter, path, rows):
        if len(prompt) > 100:
            raise MemoryError
        return [float(adapter and len(prompt) == 90)]

    prompts = ["x" * length for length in (200, 90, 80, 300)]
    assert prove(Written(rule), model(), prompts, allow_noop=False).scoring == 1.0


def test_that_an_engine_answers_by_its_plain_path_is_told():
    engine = Written(lambda prompt, adapter, path, rows: [float(adapter)], merge=lambda read: [1.0])
    engine.plain_because = "its layers look back over a window"
    for kind in ("lora", "full"):
        proof = prove(engine, model(kind), PROMPTS, allow_noop=False)
        assert remark(proof, model(kind), "float32") == (
            "answered by the plain path: its layers look back over a window"
        )


# ---- merged into the weights


def test_what_a_merge_moves():
    """The largest change of a logit, and at how many positions of both texts another token comes out on top."""
    engine = Written(
        lambda prompt, adapter, path, rows: [adapter, 2.0], merge=lambda read: [1.0, 2.0 - 0.1 * len(read)]
    )
    proof = prove(engine, model(), ["x" * 16], allow_noop=False)  # texts of 8 and of 16 characters
    # from ten characters on the first token wins
    assert (proof.merged, proof.changed_tokens, proof.positions) == (pytest.approx(1.6), 7, 24)
    said = remark(proof, model(), "bfloat16")
    assert said.startswith("merged into its weights in bfloat16, 7 of 24 greedy tokens change")
    assert said.endswith("serve it unmerged, or evaluate the merged weights")


def test_a_merge_that_moves_no_decision_is_no_matter():
    engine = Written(lambda prompt, adapter, path, rows: [adapter, 2.0], merge=lambda read: [1.01, 2.0])
    proof = prove(engine, model(), ["x" * 16], allow_noop=False)
    assert (proof.merged, proof.changed_tokens, proof.positions, remark(proof, model(), "float32")) == (
        pytest.approx(0.01),
        0,
        24,
        "",
    )


def test_what_cannot_be_merged_or_has_no_adapter_says_nothing():
    adapter = prove(
        Written(lambda prompt, adapter, path, rows: [adapter, 2.0]), model("prompt"), PROMPTS, allow_noop=False
    )
    full = prove(Written(lambda *_: [1.0], merge=lambda read: [9.0]), model("full"), PROMPTS, allow_noop=False)
    proofs = {"prompt": adapter, "full": full}
    assert {(proof.merged, proof.changed_tokens) for proof in proofs.values()} == {(None, 0)}
    assert {remark(proof, model(kind), "float32") for kind, proof in proofs.items()} == {""}
    still = prove(Written(lambda *_: [1.0, 2.0]), model("prompt"), PROMPTS, allow_noop=True)
    assert remark(still, model("prompt"), "float32") == "the adapter changes no logit: it answers as its base does"


def test_a_merge_that_fails_half_way_ends_nothing():
    proof = prove(
        Written(lambda prompt, adapter, path, rows: [adapter, 2.0], merge=lambda read: 1 // 0),
        model(),
        PROMPTS,
        allow_noop=False,
    )
    assert (proof.merged, proof.changed_tokens, proof.positions) == (None, 0, 0)


def test_a_merge_that_overflows_moves_everything():
    engine = Written(lambda prompt, adapter, path, rows: [adapter, 2.0], "float16", merge=lambda read: [np.nan, 2.0])
    proof = prove(engine, model(), PROMPTS, allow_noop=False)
    assert proof.merged == np.inf and proof.changed_tokens == proof.positions > 0


# ---- an adapter that changes nothing


def test_a_placebo_is_no_noop_to_refuse():
    assert prove(Written(lambda *_: [1.0, 2.0]), model("placebo"), PROMPTS, allow_noop=False) == Proof(0.0, 0.0, 0.0)
    rounding = Written(lambda prompt, adapter, path, rows: [1.0 + 1e-6 * adapter])
    assert prove(rounding, model("placebo"), PROMPTS, allow_noop=False).scoring == pytest.approx(1e-6)


@pytest.mark.parametrize("allow_noop", [True, False])
def test_a_placebo_that_changes_something_is_a_fault(allow_noop):
    engine = Written(lambda prompt, adapter, path, rows: [1.0 + 0.01 * adapter * (path == "decode")])
    with pytest.raises(ModelError, match=r"changes nothing moves a logit in decoding by 0\.01"):
        prove(engine, model("placebo"), PROMPTS, allow_noop)


# ---- an engine that cannot show it


def test_without_a_probe_an_adapter_is_unproven_and_full_weights_have_nothing_to_prove():
    class Served:
        info = EngineInfo(name="served", details={})

        def answer(self, requests):
            return iter(())

        def close(self):
            pass

    proof = prove(Served(), model(), PROMPTS, allow_noop=False)
    assert not proof.available
    assert remark(proof, model(), "float32").startswith("its adapter is unproven")
    assert remark(proof, model("full"), "float32") == ""


def test_what_the_store_keeps_is_read_again_and_what_an_older_version_kept_is_not():
    proof = Proof(0.5, 3.0, 0.0, None, 1, 20, plain_path="it has no positions")
    assert Proof.from_stored(asdict(proof)) == proof
    older = {"scoring": 0.5, "decoding": 3.0, "padding": 0.0, "merged": 0.1, "changed_tokens": 1}
    for last in ({"moved": 1}, {"prompts": 16, "available": True}):
        assert Proof.from_stored({**older, **last}) is None
    assert Proof.from_stored({}) is None


def test_there_must_be_prompts():
    with pytest.raises(ValueError, match="at least one prompt"):
        prove(Written(lambda *_: [1.0]), model(), [], allow_noop=False)
