"""Base and candidates write by the same rules unless asked otherwise; rules that cannot be followed are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evalharness.engines.hf.factory import FACTORY
from evalharness.errors import ModelError
from evalharness.records.comparison import Flag
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.models import EngineSettings
from evalharness.results import read_measurements
from evalharness.run.evaluation import evaluate
from evalharness.run.plan import make_run_plan

SOME = [*range(3, 200)]


@pytest.fixture
def job(copy: Callable[..., Path], small_world: Path, tmp_path: Path) -> Job:
    """The base's weights again, with rules of its own."""
    tuned = copy("llama", "tuned")
    return make_job(
        models=(f"tuned={tuned}",),
        base=f"base={copy('llama', 'under')}",
        include=(small_world / "tasks",),
        data_dir=small_world / "data",
        tasks=("yes_no", "echo"),
        limit=8,
        device="cpu",
        allow_noop=True,
        out=tmp_path / "out",
        store=tmp_path / "store.sqlite",
    )


def state(folder: str, **rules: object) -> None:
    path = Path(folder.partition("=")[2]) / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **rules}))


def texts(asked: Job, model: str) -> list[str]:
    lines = (asked.output.folder / "samples" / "echo" / f"{model}.jsonl").read_text().splitlines()
    return [json.loads(line)["output"] for line in lines]


def notices(asked: Job) -> str:
    return "\n".join(json.loads((asked.output.folder / "run.json").read_text())["notices"])


def test_a_candidate_with_rules_of_its_own_writes_by_the_bases(job: Job) -> None:
    state(job.models.candidates[0], no_repeat_ngram_size=9, suppress_tokens=SOME)
    results = evaluate(job)
    assert texts(job, "tuned") == texts(job, "base")
    assert "tuned: its generation config has no_repeat_ngram_size 9 (base: none), suppress_tokens" in notices(job)
    assert "all are decoded by the base's rules" in notices(job)
    assert not any(Flag.DECODED_DIFFERENTLY in row.flags for row in results.comparisons)

    own = job_with(job, generation_config="own")
    results = evaluate(own)  # one store: no answer by other rules is taken for one by these
    assert texts(own, "tuned") != texts(own, "base")
    flagged = {row.task for row in results.comparisons if Flag.DECODED_DIFFERENTLY in row.flags and row.level == "task"}
    assert flagged == {"echo"} and "each is decoded by its own rules" in notices(own)
    assert results.signature["engine"]["generation_config"] == "own"
    assert {fact.name: fact.decoded for fact in read_measurements(own.output.folder).facts} == {
        "yes_no": (),
        "echo": ("tuned",),
    }


def test_rules_of_the_base_are_all_models_rules_and_plain_is_nobodys(job: Job) -> None:
    state(str(job.models.base), suppress_tokens=SOME)
    results = evaluate(job)
    ruled = texts(job, "base")
    assert texts(job, "tuned") == ruled
    assert results.signature["engine"]["generation_rules"] == {"suppress_tokens": SOME}
    plain = job_with(job, generation_config="plain")
    evaluate(plain)
    assert texts(plain, "tuned") == texts(plain, "base") != ruled


WRONG = {
    "repetition_penalty": 0,
    "encoder_repetition_penalty": -1.0,
    "no_repeat_ngram_size": "two",
    "min_length": -3,
    "min_new_tokens": 1.5,
    "forced_eos_token_id": 10**9,
    "forced_bos_token_id": -1,
    "sequence_bias": {"a": 1.0},
    "bad_words_ids": [[99999]],
    "suppress_tokens": [99999],
    "begin_suppress_tokens": 7,
    "exponential_decay_length_penalty": "long",
    "eos_token_id": [2, 10**9],
    "pad_token_id": "pad",
    "stop_strings": [3],
}


@pytest.mark.fault(25)
@pytest.mark.parametrize("key", WRONG)
def test_a_rule_that_cannot_be_followed_is_named_before_any_answer(key: str, job: Job) -> None:
    state(str(job.models.base), **{key: WRONG[key]})
    base = make_run_plan(job).checkpoints[0]
    with pytest.raises(ModelError, match=rf"generation_config\.json: {key} is .*; mend") as raised:
        FACTORY.describe(base, EngineSettings())
    assert raised.value.exit_code == 2
    if "plain" in str(raised.value):
        FACTORY.describe(base, EngineSettings(generation_config="plain"))


@pytest.mark.parametrize("rule", [{"num_beams": 4}, {"do_sample": True, "temperature": 0.0}, {"top_k": 0}])
def test_what_is_no_rule_of_greedy_decoding_moves_nothing(rule: dict[str, object], job: Job) -> None:
    base, tuned = make_run_plan(job).checkpoints
    state(job.models.candidates[0], **rule)
    assert FACTORY.generation_differences(tuned) == {}
    assert FACTORY.describe(tuned, EngineSettings()) == FACTORY.describe(base, EngineSettings())


def test_what_only_generate_refuses_names_the_generation_config(job: Job) -> None:
    base = make_run_plan(job).checkpoints[0]
    engine = FACTORY.open(base, EngineSettings(device="cpu"))
    decoder = engine._decoder
    decoder.ruled, decoder.config.repetition_penalty = ["repetition_penalty"], "strong"
    with pytest.raises(ModelError, match=r"generation config: transformers cannot decode by it .*mend one of repet"):
        decoder.next_logits(["the cat"], True)
    engine.close()
