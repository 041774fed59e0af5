"""A base's scores from an earlier run stand in for the base: same comparisons, no base asked, and refused where they
are of something else.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import evalharness
from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import NotComparableError, UsageError
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.requests import Failure, Generation, Ranking, Request, Response
from evalharness.report.terminal import verdict_lines
from evalharness.run.evaluation import evaluate

pytestmark = pytest.mark.usefixtures("files_checked_once")

MakeJob = Callable[..., Job]


def answers(text: str) -> Callable[[Request], Response]:
    def reply(request: Request) -> Response:
        if hasattr(request, "pairs"):
            return Ranking(request_id=request.id, logprobs=(0.0, -1.0), tokens=(1, 1), greedy=(True, False))
        return Generation(
            request_id=request.id, text=request.prompt[:-2] if text == "right" else text, finish_reason="stop", tokens=1
        )

    return reply


@pytest.fixture
def job(zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> MakeJob:
    def make(model: Path | str, out: str, **changes: object) -> Job:
        return make_job(
            models=(str(model),),
            tasks=("echo", "yes_no"),
            data_dir=small_world / "data",
            out=tmp_path / out,
            store=tmp_path / f"{out}.sqlite",
            **{"include": (small_world / "tasks",), **changes},
        )

    return make


@pytest.fixture
def first(job: MakeJob, zoo: dict[str, Path]) -> Path:
    """A run of the base against its LoRA; the base is right about every echo."""
    run_job = job(zoo["llama-lora"], "first", base=str(zoo["llama"]))
    evaluate(run_job, factory=ScriptedFactory(answers("right"), {"llama-lora": answers("wrong")}))
    return run_job.output.folder


def test_the_same_comparisons_without_asking_the_base(job: MakeJob, first: Path, zoo: dict[str, Path]) -> None:
    both = ScriptedFactory(answers("right"), {"llama-prompt": answers("x")})
    with_base = evaluate(job(zoo["llama-prompt"], "a", base=str(zoo["llama"])), factory=both)
    factory = ScriptedFactory(answers("never"), {"llama-prompt": answers("x")})
    without = evaluate(job(zoo["llama-prompt"], "b", baseline=first), factory=factory)
    assert {name for name, _ in factory.requests} == {"llama-prompt"}
    assert without.comparisons == with_base.comparisons
    assert without.models == with_base.models
    assert without.flips == with_base.flips


def test_full_weights_need_no_base_at_all(job: MakeJob, first: Path, zoo: dict[str, Path], tmp_path: Path) -> None:
    full = shutil.copytree(zoo["llama"], tmp_path / "full")
    results = evaluate(
        job(full, "b", baseline=first / "measurements.parquet", allow_noop=True), factory=ScriptedFactory(answers("x"))
    )
    assert [(model.name, model.base) for model in results.models] == [("llama", None), ("full", "llama")]
    assert results.flips == ()  # the file alone has no samples


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limit": 10}, "not the same prompts"),
        ({"num_fewshot": 1}, "not the same prompts"),
        ({"batch_size": 3}, r"another engine \(.*batch_size 16 there, 3 here"),
    ],
)
def test_scores_of_other_questions_are_refused(
    job: MakeJob, first: Path, zoo: dict[str, Path], changes: dict[str, object], message: str
) -> None:
    factory = ScriptedFactory(answers("x"))
    with pytest.raises(NotComparableError, match=message):
        evaluate(job_with(job(zoo["llama-prompt"], "b", baseline=first), **changes), factory=factory)
    assert factory.requests == []


def test_a_base_that_another_engine_answered_is_said_beside_every_verdict_where_that_is_allowed(
    job: MakeJob, first: Path, zoo: dict[str, Path], tmp_path: Path
) -> None:
    factory = ScriptedFactory(answers("x"))
    asked = job_with(job(zoo["llama-prompt"], "b", baseline=first), batch_size=3, allow_mixed_engines=True)
    results = evaluate(asked, factory=factory)
    assert all("mixed_engines" in row.flags for row in results.comparisons)
    assert results.signature["engine"]["batch_size"] == 3
    assert results.signature["mixed_engines"]["llama"]["batch_size"] == 16
    assert any("(other engine)" in line for line in verdict_lines(results))
    again = job_with(asked, models=(str(zoo["llama-lora"]),), baseline=asked.output.folder, out=tmp_path / "c")
    with pytest.raises(NotComparableError, match="batch_size 16 there, 3 here"):  # the base's own engine is known
        evaluate(job_with(again, allow_mixed_engines=False), factory=factory)
    with pytest.raises(NotComparableError, match="its base was answered by another engine than its candidates"):
        evalharness.compare([first, asked.output.folder])
    allowed = evalharness.compare([asked.output.folder, first], allow_mixed_engines=True).record
    engines = {name: of["batch_size"] for name, of in allowed.signature["mixed_engines"].items()}
    assert engines == {"llama": 16, "llama-lora": 16}
    flagged = {row.candidate for row in allowed.comparisons if "mixed_engines" in row.flags}
    assert flagged == set()
    same = job_with(job(zoo["llama-prompt"], "d", baseline=first), allow_mixed_engines=True)
    assert "mixed_engines" not in evaluate(same, factory=factory).signature


def test_an_adapter_of_another_base_is_refused(job: MakeJob, first: Path, zoo: dict[str, Path]) -> None:
    with pytest.raises(NotComparableError, match="not the model whose scores these are"):
        evaluate(job(zoo["gpt2-lora"], "b", baseline=first), factory=ScriptedFactory(answers("x")))


def test_a_base_that_failed_is_no_baseline(job: MakeJob, zoo: dict[str, Path]) -> None:
    def deaf(request: Request) -> Response | Failure:
        return Failure(request_id=request.id, reason="deaf") if hasattr(request, "stop") else answers("x")(request)

    broken = job(zoo["llama-lora"], "first", base=str(zoo["llama"]))
    evaluate(broken, factory=ScriptedFactory(answers("x"), {"llama": deaf}))
    with pytest.raises(NotComparableError, match="failed on 30 examples"):
        evaluate(job(zoo["llama-prompt"], "b", baseline=broken.output.folder), factory=ScriptedFactory(answers("x")))


def test_what_is_no_run_is_named(job: MakeJob, zoo: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no measurements here"):
        evaluate(job(zoo["llama-prompt"], "b", baseline=tmp_path / "nothing"), factory=ScriptedFactory(answers("x")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("  - metric: exact_match", "  - metric: exact_match\n    ignore_case: true"),
            "other metrics, or other versions",
        ),
        (
            ("metric_list:", "filter_list: [{name: none, filter: [{function: lowercase}]}]\nmetric_list:"),
            "another version of the task file",
        ),
    ],
)
def test_scores_by_another_rule_are_refused(
    job: MakeJob,
    first: Path,
    zoo: dict[str, Path],
    small_world: Path,
    tmp_path: Path,
    change: tuple[str, str],
    message: str,
) -> None:
    """The prompts are the same, what counts as right is not."""
    other = Path(shutil.copytree(small_world / "tasks", tmp_path / "other"))
    (other / "echo.yaml").write_text((other / "echo.yaml").read_text().replace(*change))
    with pytest.raises(NotComparableError, match=message):
        evaluate(job(zoo["llama-prompt"], "b", baseline=first, include=(other,)), factory=ScriptedFactory(answers("x")))


def test_the_baseline_is_never_written_over(job: MakeJob, first: Path, zoo: dict[str, Path]) -> None:
    for place in (first, first / "measurements.parquet"):
        with pytest.raises(UsageError, match="holds the baseline"):
            evaluate(job(zoo["llama-prompt"], "first", baseline=place), factory=ScriptedFactory(answers("x")))
    assert (first / "results.json").is_file()
