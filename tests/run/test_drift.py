"""Drift beside a run's verdicts, with tiny models: on neutral text and on the base's own outputs, in results.json, on
the page and in a terminal.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from evalharness import results
from evalharness.analysis.drift import NEUTRAL, OTHER_TOKENS, OWN, TOP_K
from evalharness.analysis.gate import judge
from evalharness.checkpoints.recognise import recognise
from evalharness.cli.run import run_command
from evalharness.data.paragraphs import paragraphs
from evalharness.errors import DataError, UsageError
from evalharness.paths import shipped
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.models import EngineSettings
from evalharness.records.policy import Policy
from evalharness.report import drift as shown
from evalharness.report.drift import lines as drift_lines
from evalharness.report.page import render
from evalharness.run import drift, drift_sources
from evalharness.run.evaluation import evaluate

TEXTS = "the cat sat on a mat and a dog ran\n\nred blue green houses\n\npeople talk about weather\nnews today in town\n"
CPU = EngineSettings(device="cpu")


@pytest.fixture
def job(zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> Callable[..., Job]:
    text = tmp_path / "neutral.txt"
    text.write_text(TEXTS)

    def make(*models: str, base: str = "llama", out: str = "out", **changes: object) -> Job:
        return make_job(
            models=tuple(name if "=" in name else f"{name}={zoo[name]}" for name in models),
            base=f"base={zoo[base]}",
            include=(small_world / "tasks",),
            data_dir=small_world / "data",
            out=tmp_path / out,
            store=tmp_path / "store.sqlite",
            device="cpu",
            **{"tasks": ("yes_no", "echo"), "limit": 12, "drift_text": text, **changes},
        )

    return make


def scaled(adapter: Path, to: Path, by: float, edit_tensors: Callable[..., None]) -> Path:
    """The adapter with what it adds multiplied."""
    to.mkdir()
    for file in adapter.iterdir():
        (to / file.name).write_bytes(file.read_bytes())

    def change(tensors):
        tensors.update({name: value * by for name, value in tensors.items() if "lora_B" in name})

    edit_tensors(to / "adapter_model.safetensors", change)
    return to


def test_more_of_an_adapter_is_more_drift_and_a_placebo_none(job, zoo, tmp_path, edit_tensors):
    few = [f"by-{by}={scaled(zoo['llama-lora'], tmp_path / f'by-{by}', by, edit_tensors)}" for by in (0.01, 0.1)]
    outcome = evaluate(
        job(few[0], "llama-lora", few[1], "llama-prompt", f"same={zoo['llama']}", placebo=True, allow_noop=True)
    )
    on = {(drift.model, drift.text): drift for drift in outcome.drift}
    assert {text for _, text in on} == {NEUTRAL, OWN} and {drift.failed for drift in outcome.drift} == {0}
    for text in (NEUTRAL, OWN):
        values = [on[name, text].kl.value for name in ("placebo", "by-0.01", "by-0.1", "llama-lora")]
        assert values == sorted(values) and values[0] == 0 and 0 < values[1] < values[2] < values[3]
        for name in ("placebo", "same"):
            same = on[name, text]
            assert (same.kl.value, same.agreement.value, same.cross_entropy_change.value) == (0, 1, 0)
        assert on["llama-prompt", text].kl.value > 0
        ranks = {
            name: on[name, text].rank for name in ("llama-lora", "llama-prompt", "by-0.1", "by-0.01", "same", "placebo")
        }
        assert sorted(filter(None, ranks.values())) == [1, 2, 3, 4, 5]
        assert ranks["placebo"] is None and ranks["llama-lora"] < ranks["by-0.1"] < ranks["by-0.01"] < ranks["same"]
    assert [drift.model for drift in outcome.drift if drift.text == NEUTRAL][-1] == "placebo"
    assert (
        on["llama-lora", NEUTRAL].n == 3
        and 0 < on["llama-lora", NEUTRAL].rest < 1
        and not on["llama-lora", NEUTRAL].exact
    )
    plain = evaluate(
        job(
            few[0],
            "llama-lora",
            few[1],
            "llama-prompt",
            f"same={zoo['llama']}",
            placebo=True,
            allow_noop=True,
            drift_text=None,
            out="plain",
        )
    )
    assert plain.drift == () and plain == replace(outcome, drift=(), drift_forecasts=())
    assert judge(plain, Policy()) == judge(outcome, Policy())

    page, lines = html.unescape(render(outcome)), list(drift_lines(outcome))
    first = next(drift for drift in outcome.drift if drift.rank == 1)
    assert f"{first.model} drifted most on neutral text: at least " in page and '<section id="drift"' in page
    assert '<section id="drift"' not in render(plain) and not list(drift_lines(plain))
    assert lines[1].startswith("drift neutral text: 3 texts, ") and re.match(
        rf" +1 +{first.model} +≥ {first.kl.value:.4f} ", lines[3]
    )
    assert len(lines) == 2 * (3 + 6) and "reference  placebo" in lines[8]


def test_an_encoder_decoder(job):
    outcome = evaluate(job("t5-lora", base="t5", placebo=True))
    kl = {(drift.model, drift.text): drift.kl.value for drift in outcome.drift}
    assert kl["t5-lora", NEUTRAL] > 0 and kl["t5-lora", OWN] > 0 and kl["placebo", NEUTRAL] == 0 == kl["placebo", OWN]


def test_what_was_killed_goes_on_to_the_same_bytes(job, tmp_path, monkeypatch):
    """Killed before the candidate's profiles: the base's are not computed again, and results.json is what an
    undisturbed run leaves.
    """
    whole = job("llama-lora")
    evaluate(job_with(whole, store=tmp_path / "other.sqlite", out=tmp_path / "undisturbed"))
    ask = drift._answers

    def killed(session, requests):
        if session.checkpoint.name != "base":
            raise KeyboardInterrupt
        return ask(session, requests)

    monkeypatch.setattr(drift, "_answers", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate(whole)
    monkeypatch.setattr(drift, "_answers", ask)
    evaluate(whole)
    resumed = (tmp_path / "out" / "results.json").read_bytes()
    assert resumed == (tmp_path / "undisturbed" / "results.json").read_bytes()
    told = results.read_run(tmp_path / "out")["models"]
    computed = [told[name]["computed"] for name in ("base", "llama-lora")]
    assert computed[0] == 0 < computed[1]
    evaluate(whole)
    assert (tmp_path / "out" / "results.json").read_bytes() == resumed
    assert {row["computed"] for row in results.read_run(tmp_path / "out")["models"].values()} == {0}


def test_written_and_read(job, tmp_path):
    outcome = evaluate(job("llama-lora", tasks=("yes_no",)))
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [(row["model"], row["text"], row["top_k"], row["rank"]) for row in document["drift"]] == [
        ("llama-lora", NEUTRAL, TOP_K, 1)
    ]
    assert set(document["drift"][0]["kl"]) == {"value", "low", "high"}
    assert results.read_results(tmp_path / "out") == outcome
    (table,) = shown.tables(replace(outcome, drift=(replace(outcome.drift[0], failed=2),)))
    assert table.sentences[-1] == "llama-lora: 2 texts got no answer and are left out"
    assert "KL is a lower bound" in table.sentences[1] and table.level == "90 %"


def test_no_shared_tokenizer(job, copy, zoo):
    """One that splits words otherwise, into tokens of the same ids; the other candidate is compared all the same."""
    other = copy("llama", "other")
    described = json.loads((other / "tokenizer.json").read_text())
    described["model"]["merges"] = described["model"]["merges"][:20]
    (other / "tokenizer.json").write_text(json.dumps(described))
    outcome = evaluate(job("llama-lora", f"other={other}"))
    of = {drift.model: drift for drift in outcome.drift if drift.text == NEUTRAL}
    assert (
        of["other"].kl is None
        and of["other"].reason == OTHER_TOKENS
        and of["other"].rank is None
        and of["llama-lora"].rank == 1
    )
    assert any(OTHER_TOKENS in line for line in drift_lines(outcome)) and OTHER_TOKENS in html.unescape(render(outcome))
    assert not outcome.errors


def test_wrong_on_purpose(job, tmp_path):
    with pytest.raises(DataError, match=r"nothing\.txt: does not exist"):
        evaluate(job("llama-lora", drift_text=tmp_path / "nothing.txt"))
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(DataError, match="holds no text"):
        evaluate(job("llama-lora", drift_text=tmp_path / "empty.txt"))
    (tmp_path / "latin.txt").write_bytes(b"good\n\nna\xefve\n")
    with pytest.raises(DataError, match=r"latin\.txt.*3"):
        evaluate(job("llama-lora", drift_text=tmp_path / "latin.txt"))
    evaluate(job("llama-lora", drift_text=None, tasks=("yes_no",), out="first"))
    with pytest.raises(UsageError, match="--drift: the base does not answer"):
        evaluate(job_with(job("llama-lora", tasks=("yes_no",)), base=None, baseline=tmp_path / "first"))


def test_long_files_are_taken_evenly_and_long_paragraphs_cut(job, tmp_path, zoo):
    long, run_plan = tmp_path / "long.txt", SimpleNamespace(base=recognise(str(zoo["llama"]), role="base"))
    long.write_text("\n\n".join(f"cat {i}" for i in range(1000)) + "\n\n" + "dog " * 1000)
    kept = drift_sources.neutral_texts(job("llama-lora", drift_text=long), run_plan)
    assert len(kept) == drift_sources.MOST_TEXTS and kept[0] == "cat 0" and kept[-1].startswith("cat 99")
    assert (
        drift_sources._shortened("dog " * 1000) == ("dog " * 500).rstrip()
        and len(drift_sources._shortened("d" * 3000)) == drift_sources.MOST_CHARACTERS
    )
    ours = drift_sources.neutral_texts(job_with(job("llama-lora"), drift_text=None, drift=True), run_plan)
    assert ours == tuple(paragraphs(shipped("fixtures/drift") / "neutral.txt")) and len(ours) == 60


def test_from_the_command_line(zoo, small_world, tmp_path, monkeypatch):
    (tmp_path / "neutral.txt").write_text(TEXTS)
    given = [
        "--model",
        f"lora={zoo['llama-lora']}",
        "--base",
        str(zoo["llama"]),
        "--task",
        "yes_no",
        "--include-path",
        str(small_world / "tasks"),
    ]
    given += [
        "--data-dir",
        str(small_world / "data"),
        "--limit",
        "12",
        "--store",
        str(tmp_path / "store"),
        "--device",
        "cpu",
    ]
    given += ["--drift-text", str(tmp_path / "neutral.txt"), "--out", str(tmp_path / "out")]
    run = CliRunner().invoke(run_command, given, standalone_mode=False)
    assert run.exception is None, run.output
    assert (
        "drift neutral text: 3 texts" in run.output
        and '<section id="drift"' in (tmp_path / "out" / "report.html").read_text()
    )
