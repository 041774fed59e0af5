"""The fake engine counts, answers by name, and can be proved."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import exit_code

from evalharness.engines.adapter_check import prove
from evalharness.engines.base import check_options
from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import ModelError, UsageError
from evalharness.records.models import Checkpoint, EngineSettings
from evalharness.records.requests import Failure, Generate, Generation, Score, Scoring
from evalharness.results import read_results


def checkpoint(name: str, kind: str = "base") -> Checkpoint:
    return Checkpoint(
        name=name,
        kind=kind,
        path=Path(name),
        base=None,
        fingerprint="f" * 64,
        parameters=10,
        trainable=0,
        bytes=40,
        window=None,
        adapter={"lora": "LORA"}.get(kind, ""),
    )


def echo(request):
    return Generation(request_id=request.id, text=request.prompt.upper(), finish_reason="eos", tokens=1)


def silent(request):
    return Failure(request_id=request.id, reason="will not")


def test_counts_and_answers_by_name():
    factory = ScriptedFactory(echo, {"shy": silent})
    request = Generate(prompt="hello", stop=(), max_tokens=3)
    loud, shy = (factory.open(checkpoint(name), EngineSettings()) for name in ("loud", "shy"))
    assert [answer.text for answer in loud.answer([request, request])] == ["HELLO", "HELLO"]
    assert next(shy.answer([request])) == Failure(request_id=request.id, reason="will not")
    assert factory.opened_names == ["loud", "shy"]
    assert [name for name, _ in factory.requests] == ["loud", "loud", "shy"]
    assert loud.info == factory.describe(checkpoint("loud"), EngineSettings())
    assert factory.token_counter(checkpoint("loud"))("two words") == 2


def test_only_adapters_move_its_logits():
    factory = ScriptedFactory(echo)
    for kind, moved in (("base", 0.0), ("full", 0.0), ("lora", 7.0)):
        model = checkpoint("x", kind)
        assert prove(factory.open(model, EngineSettings()), model, ["a", "bc"], allow_noop=False).scoring == moved
    with pytest.raises(ModelError, match="changes no logit"):
        prove(factory.open(checkpoint("x"), EngineSettings()), checkpoint("x", "lora"), ["a"], allow_noop=False)


def test_an_option_that_an_engine_does_not_have() -> None:
    settings = EngineSettings(name="loud", options={"sufix": "!"})
    check_options(EngineSettings(name="loud", options={"suffix": "!"}), ("suffix",))
    with pytest.raises(UsageError, match="--engine-option: the engine loud has no option 'sufix'; did you mean suffix"):
        check_options(settings, ("suffix",))
    with pytest.raises(UsageError, match="no option 'sufix'; leave it out: it has none"):
        check_options(settings, ())


def test_answers_texts_as_it_does_anything_else():
    factory = ScriptedFactory(
        lambda request: Scoring(request_id=request.id, logprob=-2.0 * len(request.text), tokens=len(request.text))
    )
    engine = factory.open(checkpoint("x"), EngineSettings())
    assert list(engine.answer([Score(text="ab"), Score(text="")])) == [
        Scoring(request_id=Score(text="ab").id, logprob=-4.0, tokens=2),
        Scoring(request_id=Score(text="").id, logprob=0.0, tokens=0),
    ]


PAGE = (Path(__file__).resolve().parents[2] / "docs/scripted.md").read_text()


def test_a_gate_is_tried_from_the_command_line_on_the_folders_of_the_page(
    small_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/scripted.md: its script makes models, a first run leaves samples, and by them a candidate is forgetful."""
    monkeypatch.chdir(tmp_path)
    exec(PAGE.partition("```python\n")[2].partition("```")[0], {})
    models = ["--base", "models/base", "--model", "models/tuned", "--store", "store"]
    tasks = ["--include-path", small_world / "tasks", "--data-dir", small_world / "data", "--task", "echo"]
    run = ["run", "--engine", "scripted", *models, *tasks, "--quiet", "--out"]
    assert exit_code(*run, "first", "--task", "yes_no") == 0
    Path("answers.jsonl").write_text('{"model": "base", "right": 0.9}\n{"model": "tuned", "right": 0.2}\n')
    options = ["--engine-option", "answers=answers.jsonl", "--engine-option", "samples=first/samples"]
    assert exit_code(*run, "second", *options, "--gate") == 3
    (row,) = (c for c in read_results(Path("second")).comparisons if c.task == "echo" and c.primary)
    assert row.base.value > 0.7 and row.candidate_score.value < 0.4 and row.gained == 0


def test_a_mistyped_option_ends_before_anything_is_answered(
    zoo: dict[str, Path], small_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = ["--include-path", small_world / "tasks", "--data-dir", small_world / "data", "--task", "echo"]
    models = ["--base", zoo["llama"], "--model", zoo["llama-lora"], "--store", tmp_path / "store"]
    option = ["--engine", "scripted", "--engine-option", "anwsers=x", "--out", tmp_path / "out"]
    assert exit_code("run", *models, *tasks, *option, "--quiet") == 2
    assert "the engine scripted has no option 'anwsers'; did you mean answers?" in capsys.readouterr().err
