"""Base and candidate read the same tokens, whatever their tokenizers put around a text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_chats
from transformers import LlamaTokenizer

from evalharness.checkpoints.tokenizer import load_tokenizer
from evalharness.engines.hf.chat import template_of
from evalharness.engines.hf.factory import FACTORY, TokenizerCounter
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.records.job import Job
from evalharness.records.job_options import make_job
from evalharness.records.measurements import Measurement
from evalharness.records.models import Architecture, EngineSettings
from evalharness.results import read_measurements
from evalharness.run.evaluation import evaluate
from evalharness.run.plan import make_run_plan


@pytest.fixture
def job(small_world: Path, tmp_path: Path) -> Callable[..., Job]:
    def make(base: Path, candidate: Path, **changes: object) -> Job:
        return make_job(
            models=(f"tuned={candidate}",),
            base=f"base={base}",
            include=(small_world / "tasks",),
            data_dir=small_world / "data",
            out=tmp_path / "out",
            store=tmp_path / "store.sqlite",
            device="cpu",
            allow_noop=True,
            **{"tasks": ("yes_no", "echo"), "limit": 8, **changes},
        )

    return make


def notices(asked: Job) -> str:
    return "\n".join(json.loads((asked.output.folder / "run.json").read_text())["notices"])


def rows(asked: Job) -> dict[str, list[Measurement]]:
    by_model: dict[str, list[Measurement]] = {}
    for each in read_measurements(asked.output.folder).measurements:
        by_model.setdefault(each.model, []).append(each)
    return by_model


@pytest.mark.parametrize(
    ("base", "tuned"), [("<s> $A", "<s> $A </s>"), ("<s> $A </s>", "<s> $A </s>"), ("<s> $A", None)]
)
def test_the_same_weights_score_the_same_whatever_the_tokenizer_adds(
    base: str, tuned: str | None, job: Callable[..., Job], special_tokens: Callable[..., Path]
) -> None:
    """Choices of one token would all be the same after an end token, and a text would not be gone on with."""
    run_job = job(special_tokens("llama", base, "under"), special_tokens("llama", tuned))
    results = evaluate(run_job)
    assert {row.verdict for row in results.comparisons if row.verdict} == {"inconclusive"}
    by_model = rows(run_job)
    for one, other in zip(by_model["base"], by_model["tuned"], strict=True):
        assert one.rows.tolist() == other.rows.tolist()
    assert results.signature["engine"]["special_tokens"] == {"before": [1], "after": [], "prefix": 1}
    assert ("of a text; prompts of base and candidates are `<s> TEXT`" in notices(run_job)) == (
        "</s>" in base or tuned != base
    )


def test_an_end_token_stands_nowhere_in_what_a_decoder_reads(special_tokens: Callable[..., Path]) -> None:
    texts = TokenizerAdapter(load_tokenizer(special_tokens("llama", "<s> <s> $A </s>")))
    pair, end = texts.pair("the cat", " sat"), texts.tokenizer.eos_token_id
    read = [*pair.context, *pair.continuation, *texts.prompt("the cat"), *texts.prompt("")]
    assert end not in [*read, *(token for piece in texts.pieces("the cat", 99) for token in piece.continuation)]
    assert pair.context.count(1) == 1 and texts.prompt("") == (1,)


def test_an_encoder_reads_the_end_token_that_its_base_reads(special_tokens: Callable[..., Path]) -> None:
    plain = load_tokenizer(special_tokens("t5", "$A </s>"))
    assert TokenizerAdapter(plain, Architecture.SEQ2SEQ).prompt("the cat")[-1] == plain.eos_token_id


def test_a_chat_template_that_writes_the_begin_tokens_is_given_none_by_the_tokenizer(
    special_tokens: Callable[..., Path],
) -> None:
    """One that is no BOS, too, such as `[gMASK]<sop>`."""
    texts = TokenizerAdapter(load_tokenizer(special_tokens("qwen3", "<|im_start|> $A")))
    assert texts.encode("<|im_start|>the cat") == texts.encode("the cat")


def test_the_tokenizer_of_llama_that_adds_an_end_token(tmp_path: Path) -> None:
    """As transformers saves it and reads it again."""
    vocabulary = {text: i for i, text in enumerate(["<unk>", "<s>", "</s>", *"▁abc"])}
    LlamaTokenizer(vocab=vocabulary, merges=[], add_eos_token=True).save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.encode("abc")[-1] == tokenizer.eos_token_id
    assert tokenizer.eos_token_id not in TokenizerAdapter(tokenizer).encode("abc")


def test_tokens_are_counted_as_they_are_read(job: Callable[..., Job], special_tokens: Callable[..., Path]) -> None:
    plan = make_run_plan(job(special_tokens("llama", "<s> $A", "under"), special_tokens("llama", "$A </s>")))
    base, tuned = (FACTORY.token_counter(checkpoint) for checkpoint in plan.checkpoints)
    assert isinstance(tuned, TokenizerCounter)
    assert base("the cat sat") == tuned("the cat sat") == len(tuned.token_ids("the cat sat")) + 1


def test_prompts_that_the_candidate_splits_otherwise_are_counted(
    job: Callable[..., Job], copy: Callable[..., Path]
) -> None:
    base, tuned = copy("llama", "under"), copy("llama", "tuned")
    value = json.loads((tuned / "tokenizer.json").read_text())
    value["model"]["merges"] = value["model"]["merges"][:20]
    (tuned / "tokenizer.json").write_text(json.dumps(value))
    run_job = job(base, tuned, tasks=("yes_no",))
    evaluate(run_job)
    said = [line for line in notices(run_job).splitlines() if "prompts otherwise" in line]
    assert said and " of 8 prompts otherwise than its base's" in said[0]


def test_another_end_token_does_not_move_what_an_empty_context_is(
    job: Callable[..., Job], copy: Callable[..., Path], edit_json: Callable[..., None]
) -> None:
    """Without BOS it is EOS: a chat-tuned candidate has another one than its base."""
    base, tuned = copy("qwen3", "under"), copy("qwen3", "tuned")
    edit_json(tuned / "tokenizer_config.json", eos_token="<|endoftext|>")
    plan = make_run_plan(job(base, tuned))
    one, other = (FACTORY.describe(checkpoint, EngineSettings()).details for checkpoint in plan.checkpoints)
    assert one == other


def test_a_template_that_begins_with_bos_does_not_begin_twice(zoo: dict[str, Path], tmp_path: Path) -> None:
    path = tiny_chats.with_template(zoo["llama"], tmp_path / "model", tiny_chats.BRACKETS)
    tokenizer = load_tokenizer(path)
    renderer = template_of(path, tokenizer)
    assert renderer is not None
    text = renderer.render([{"role": "user", "content": "the cat"}], False)
    assert tokenizer.encode(text).count(1) == 2 and TokenizerAdapter(tokenizer).encode(text).count(1) == 1
