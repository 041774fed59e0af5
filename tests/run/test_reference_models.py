"""What is measured beside the candidates: the engine's noise by a placebo, and what quantisation alone changes."""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import evalharness
from evalharness import results
from evalharness.analysis.gate import judge, judge_alone
from evalharness.analysis.judging import judged_results
from evalharness.engines.scripted import ScriptedEngine, ScriptedFactory
from evalharness.errors import ModelError, UsageError
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.models import Checkpoint, EngineSettings
from evalharness.records.policy import OnInconclusive, Policy
from evalharness.records.requests import Failure, Generate, Generation, Rank, Ranking, Request, Response
from evalharness.report.page import render
from evalharness.report.references import noise_text, quantisation
from evalharness.report.terminal import verdict_lines
from evalharness.run.evaluation import evaluate
from evalharness.run.plan import make_run_plan
from evalharness.run.reference_models import check_architectures

MakeJob = Callable[..., Job]


def parrot(request: Request) -> Response:
    if isinstance(request, Rank):
        return Ranking(request_id=request.id, logprobs=(-1.0, 0.0), tokens=(1, 1), greedy=(False, True))
    return Generation(
        request_id=request.id,
        text=request.prompt[:-2] if isinstance(request, Generate) else "",
        finish_reason="stop",
        tokens=1,
    )


def but(every: int) -> Callable[[Request], Response]:
    """Like `parrot`, but wrong about each prompt of `echo` whose length is a multiple of `every`."""

    def reply(request: Request) -> Response:
        wrong = isinstance(request, Generate) and len(request.prompt) % every == 0
        return Generation(request_id=request.id, text="?", finish_reason="stop", tokens=1) if wrong else parrot(request)

    return reply


@pytest.fixture
def job(zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> MakeJob:
    def make(*models: Path, out: str = "out", **changes: object) -> Job:
        return make_job(
            models=tuple(map(str, models or (zoo["llama-lora"],))),
            base=str(changes.pop("base", f"base={zoo['llama']}")),
            tasks=("yes_no", "echo"),
            include=(small_world / "tasks",),
            data_dir=small_world / "data",
            out=tmp_path / out,
            store=tmp_path / f"{out}.sqlite",
            **changes,
        )

    return make


def nf4(adapter: Path, edit_json: Callable[..., None]) -> Path:
    """The adapter as one that was trained on a base quantised to nf4."""
    edit_json(adapter / "training.json", precision="nf4")
    return adapter


# ---- placebo


def test_the_same_numerics_have_no_noise(job: MakeJob) -> None:
    factory = ScriptedFactory(parrot, {"llama-lora": but(2)})
    outcome = evaluate(job(placebo=True), factory=factory)
    assert [(model.name, model.kind, model.base, model.judged) for model in outcome.models] == [
        ("base", "base", None, False),
        ("llama-lora", "lora", "base", True),
        ("placebo", "placebo", "base", False),
    ]
    beside = [c for c in outcome.comparisons if c.candidate == "placebo"]
    assert {(c.verdict, c.unit, c.p_forgotten_adjusted) for c in beside} == {(None, False, None)}
    assert {(c.difference.value, c.lost or 0, c.gained or 0) for c in beside} == {(0.0, 0, 0)}
    assert {flip.candidate for flip in outcome.flips} == {"llama-lora"}
    assert noise_text(outcome).startswith("engine noise 0: ") and "60 answers on 2 tasks" in noise_text(outcome)
    assert any(line == noise_text(outcome) for line in verdict_lines(outcome))


def test_a_placebo_that_answers_as_the_base_changes_nothing_about_the_candidates(job: MakeJob, tmp_path: Path) -> None:
    with_it = evaluate(job(placebo=True), factory=ScriptedFactory(parrot, {"llama-lora": but(2)}))
    without = evaluate(job(out="plain"), factory=ScriptedFactory(parrot, {"llama-lora": but(2)}))
    own = [c for c in with_it.comparisons if c.candidate != "placebo"]
    assert tuple(replace(c, engine_noise=None) for c in own) == without.comparisons
    assert {(c.engine_noise.flips, c.engine_noise.widened_by) for c in own} == {(0, 0.0)}
    assert with_it.flips == without.flips and with_it.verdict_rule == without.verdict_rule == 2
    assert judge(with_it, Policy()).exit_code == judge(without, Policy()).exit_code
    assert noise_text(without) == "" and "engine_noise" not in (tmp_path / "plain" / "results.json").read_text()


def test_a_placebo_that_answers_otherwise_widens_what_decides(job: MakeJob, tmp_path: Path) -> None:
    outcome = evaluate(job(placebo=True), factory=ScriptedFactory(parrot, {"llama-lora": but(2), "placebo": but(7)}))
    without = evaluate(job(out="plain"), factory=ScriptedFactory(parrot, {"llama-lora": but(2)}))
    rows = {(c.task, c.metric): c for c in outcome.comparisons if c.candidate != "placebo"}
    plain = {(c.task, c.metric): c for c in without.comparisons}
    echo, before = rows["echo", "exact_match"], plain["echo", "exact_match"]
    assert echo.engine_noise is not None and echo.engine_noise.flips and "engine_noise" in echo.flags
    assert echo.difference.low == pytest.approx(before.difference.low - echo.engine_noise.widened_by)
    assert echo.p_retained == 1.0 and rows["yes_no", "acc"].engine_noise.flips == 0
    assert rows["yes_no", "acc"].p_retained == plain["yes_no", "acc"].p_retained
    assert outcome.verdict_rule == 3
    assert evalharness.compare(job().output.folder).record == replace(outcome, flips=())
    said = f"engine noise {echo.engine_noise.flips} of 30, ±"
    assert any(said in line for line in verdict_lines(outcome))
    assert f"engine noise {echo.engine_noise.flips} of 60, ±" in judge(outcome, Policy()).reasons[0]
    assert f"{echo.engine_noise.flips} of 30, ±" in html.unescape(render(outcome))


def test_results_that_did_not_look_at_their_placebo_are_judged_again(job: MakeJob, tmp_path: Path) -> None:
    found = evaluate(job(placebo=True), factory=ScriptedFactory(parrot, {"llama-lora": but(2), "placebo": but(7)}))
    path = job().output.folder / "results.json"
    document = json.loads(path.read_text())
    del document["digest"]
    document["verdict_rule"] = 2
    for row in document["comparisons"]:
        row.pop("engine_noise", None)
    path.write_text(json.dumps(document))
    results, notice = judged_results(path.parent)
    assert results == found
    assert notice == "judged again by rule 3 from what was measured: the verdicts in its results.json are of rule 2"


def test_what_numerics_alone_move_is_the_floor(job: MakeJob) -> None:
    outcome = evaluate(job(placebo=True), factory=ScriptedFactory(parrot, {"placebo": but(7)}))
    (echo,) = [
        c for c in outcome.comparisons if (c.candidate, c.task, c.level, c.primary) == ("placebo", "echo", "task", True)
    ]
    assert echo.lost and echo.difference.value == pytest.approx(-echo.lost / 30)
    said = noise_text(outcome)
    assert (
        f"largest |difference| {echo.lost / 30:.4f} (echo, exact_match), {echo.lost} flips in 60 answers on 2 tasks"
        in said
    )
    assert f"E{said[1:]}" in html.unescape(render(outcome))


def test_what_failed_of_a_placebo_stops_no_candidate(job: MakeJob) -> None:
    def deaf(request: Request) -> Response | Failure:
        return Failure(request_id=request.id, reason="deaf") if isinstance(request, Generate) else parrot(request)

    outcome = evaluate(job(placebo=True), factory=ScriptedFactory(parrot, {"placebo": deaf}))
    assert {error.model for error in outcome.errors} == {"placebo"}
    assert judge(outcome, Policy(on_inconclusive=OnInconclusive.PASS)).exit_code == 0
    assert judge_alone(outcome, "llama-lora", Policy()).exit_code == judge(outcome, Policy()).exit_code != 5


def test_a_placebo_needs_a_base_that_answers_and_a_free_name(
    job: MakeJob, zoo: dict[str, Path], tmp_path: Path
) -> None:
    evaluate(job(out="first"), factory=ScriptedFactory(parrot))
    with pytest.raises(UsageError, match="no base to put an adapter on"):
        evaluate(job_with(job(placebo=True), base=None, baseline=tmp_path / "first"), factory=ScriptedFactory(parrot))
    taken = job_with(job(placebo=True), models=(f"placebo={zoo['llama-lora']}",))
    with pytest.raises(UsageError, match="name of what this run measures beside"):
        evaluate(taken, factory=ScriptedFactory(parrot))


# ---- precision


class Quantising(ScriptedFactory):
    """Everything at nf4 is wrong about some of `echo`; `precisions` of what was opened."""

    def __init__(self) -> None:
        super().__init__(parrot)
        self.precisions: dict[str, str] = {}

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> ScriptedEngine:
        self.precisions[checkpoint.name] = checkpoint.precision
        self.replies = {**self.replies, checkpoint.name: but(2) if checkpoint.precision else parrot}
        return super().open(checkpoint, settings)


def test_the_base_is_measured_at_the_precision_of_its_candidates(
    job: MakeJob, copy: Callable[..., Path], edit_json: Callable[..., None]
) -> None:
    factory = Quantising()
    outcome = evaluate(job(nf4(copy("llama-lora"), edit_json), placebo=True), factory=factory)
    assert factory.precisions == {"base": "nf4", "llama-lora": "nf4", "unquantised": "", "placebo": "nf4"}
    assert [model.name for model in outcome.models] == ["base", "llama-lora", "unquantised", "placebo"]
    rows = {c.candidate: c for c in outcome.comparisons if c.task == "echo" and c.primary}
    assert rows["llama-lora"].difference.value == rows["placebo"].difference.value == 0.0
    assert rows["unquantised"].difference.value == pytest.approx(
        (rows["unquantised"].gained or 0) / 30
    )  # the base as it is minus at nf4
    assert rows["unquantised"].difference.value > 0
    assert (rows["unquantised"].verdict, rows["unquantised"].unit) == (None, False)
    told = quantisation(outcome)
    assert told is not None and told.says.startswith("quantisation alone: the base as it is minus the base in nf4")
    lines = list(verdict_lines(outcome))
    assert told.says in lines
    (echo,) = (line for line in lines[lines.index(told.says) :] if line.lstrip().startswith("echo"))
    assert echo.split()[1:5] == [
        "30",
        f"{rows['unquantised'].base.value:.3f}",
        "1.000",
        f"+{rows['unquantised'].difference.value:.3f}",
    ]
    assert "Quantisation alone: the base unquantised minus quantised" in render(outcome)
    assert results.read_results(job().output.folder).signature["precision"] == "nf4"


def test_precision_can_be_forced(
    job: MakeJob, zoo: dict[str, Path], copy: Callable[..., Path], edit_json: Callable[..., None]
) -> None:
    trained = nf4(copy("llama-lora"), edit_json)
    for asked, models, expected in (
        ("none", (trained,), {"base": "", "llama-lora": ""}),
        ("int8", (trained,), {"base": "int8", "llama-lora": "int8", "unquantised": ""}),
        ("nf4", (zoo["llama-prompt"],), {"base": "nf4", "llama-prompt": "nf4", "unquantised": ""}),
    ):
        run_plan = make_run_plan(job(*models, precision=asked))
        assert {checkpoint.name: checkpoint.precision for checkpoint in run_plan.checkpoints} == expected
    plain, quantised = make_run_plan(job(zoo["llama-prompt"])), make_run_plan(job(zoo["llama-prompt"], precision="nf4"))
    assert plain.references == ()
    assert {c.fingerprint for c in plain.checkpoints} == {
        quantised.references[0].fingerprint,
        plain.candidates[0].fingerprint,
    }


@pytest.mark.parametrize("precision", ["nf", "gptq", "float8"])
def test_what_is_no_precision_is_refused(job: MakeJob, precision: str) -> None:
    with pytest.raises(UsageError, match="weights cannot be quantised to"):
        make_run_plan(job(precision=precision))


def test_candidates_of_two_precisions_are_refused(
    job: MakeJob, zoo: dict[str, Path], copy: Callable[..., Path], edit_json: Callable[..., None]
) -> None:
    trained = nf4(copy("llama-lora"), edit_json)
    with pytest.raises(
        UsageError,
        match=r"candidates of different precisions \(not quantised: llama-prompt; nf4: llama-lora\).*--precision",
    ):
        make_run_plan(job(trained, zoo["llama-prompt"]))
    assert {c.precision for c in make_run_plan(job(trained, zoo["llama-prompt"], precision="nf4")).candidates} == {
        "nf4"
    }


def test_files_that_are_quantised_stay_as_they_are(
    job: MakeJob, copy: Callable[..., Path], edit_json: Callable[..., None]
) -> None:
    full = copy("llama", "full")
    edit_json(full / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(
        UsageError, match=r"base: cannot be quantised as its candidates' files are \(gptq\).*--precision none"
    ):
        make_run_plan(job(full))
    run_plan = make_run_plan(job(full, precision="none"))
    assert [(c.name, c.precision) for c in run_plan.checkpoints] == [("base", ""), ("full", "gptq")]
    with pytest.raises(UsageError, match="quantised in another way than nf4"):
        make_run_plan(job(full, precision="nf4"))
    with pytest.raises(UsageError, match=r"its files are quantised \(gptq\), its candidates' are not"):
        make_run_plan(job(Path(shutil.copytree(copy("llama", "plain"), full.parent / "other")), base=f"base={full}"))


# ---- architectures


def test_an_encoder_decoder_candidate_is_not_comparable_with_a_decoder(job: MakeJob, zoo: dict[str, Path]) -> None:
    run_plan = make_run_plan(job(zoo["llama-lora"]))
    assert isinstance(run_plan.base, Checkpoint)
    other = replace(run_plan.candidates[0], architecture="seq2seq")
    with pytest.raises(
        ModelError, match="is an encoder-decoder model, its base base a decoder-only model: not comparable"
    ) as refused:
        check_architectures(run_plan.base, (other,))
    assert refused.value.exit_code == 2
    factory = ScriptedFactory(parrot)
    with pytest.raises(ModelError, match="not comparable"):
        evaluate(job(zoo["t5"]), factory=factory)
    assert factory.requests == []
