"""`--explain` on the whole road, with an engine that has no model: who is asked again, about what, and what is
concluded from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from command_line import exit_code

from evalharness import results
from evalharness.analysis.gate import judge
from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import UsageError
from evalharness.records.diagnosis import Diagnosis
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.measurements import TaskOutcome
from evalharness.records.policy import Policy
from evalharness.records.requests import Failure, Generate, Generation, Rank, Ranking, Request, Response
from evalharness.records.results import Results
from evalharness.run.evaluation import evaluate
from evalharness.run.explain import RunState, with_explanation

ROWS = 160
RATES = """
task: rates
dataset_path: local/numbers
test_split: test
output_type: multiple_choice
doc_to_text: "{{text}} ?"
doc_to_choice: ["no", "yes"]
doc_to_target: label
metric_list: [{metric: acc}]
metadata:
  version: 1.0
  family: other
  chance: 0.5
  primary: acc
  margin: 0.05
  lm_eval: "no"
  templates:
    claim: {doc_to_text: "{{text}} :", doc_to_choice: ["false", "true"]}
"""
POOL = """
group: pool
task: [rates, even]
aggregate_metric_list: [{metric: acc}]
metadata: {version: 1.0, unit: true, family: other}
"""
ADAPTERS = {
    "lora": "llama-lora",
    "kept": "llama-IA3",
    "other": "llama-LOHA",
}  # of the zoo; the engine only needs them to differ
WORDS = ("no", "yes")
Knows = Callable[[int], bool]
Writes = Callable[[int, str], str]


def model(
    knows: Knows = lambda row: True, writes: Writes = lambda row, right: right
) -> Callable[[Request], Response | Failure]:
    """Ranks first what is right in the rows that it knows, and writes what `writes` makes of the right word."""

    def answer(request: Request) -> Response | Failure:
        prompt = (
            request.pairs[0][0]
            if isinstance(request, Rank)
            else request.prompt
            if isinstance(request, Generate)
            else ""
        )
        row = int(re.findall(r"\d+", prompt)[-1])
        if isinstance(request, Rank):
            best = row % 2 if knows(row) else 1 - row % 2
            return Ranking(
                request_id=request.id,
                logprobs=tuple(-1.0 if i == best else -3.0 for i in range(2)),
                tokens=(1, 1),
                greedy=(best == 0, best == 1),
            )
        text = writes(row, WORDS[row % 2])
        return Generation(request_id=request.id, text=text, finish_reason="stop", tokens=len(text.split()) + 1)

    return answer


def noise(row: int, right: str) -> str:
    return "" if row % 3 else "well well well well well well"


def wrong(row: int, right: str) -> str:
    return WORDS[1 - WORDS.index(right)]


@pytest.fixture
def job(zoo: dict[str, Path], tmp_path: Path) -> Callable[..., Job]:
    folder = tmp_path / "data" / "local" / "numbers" / "default"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text(
        "".join(json.dumps({"text": f"number {i}", "label": i % 2}) + "\n" for i in range(ROWS))
    )
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "rates.yaml").write_text(RATES)
    (tmp_path / "tasks" / "even.yaml").write_text(
        RATES.replace("task: rates", "task: even").replace("{{text}} ?", "is {{text}} ?")
    )
    (tmp_path / "tasks" / "pool.yaml").write_text(POOL)

    def make(**changes: Any) -> Job:
        models = tuple(f"{name}={zoo[ADAPTERS[name]]}" for name in changes.pop("models", ("lora",)))
        given = {"tasks": ("rates",), "explain": True, "base": f"base={zoo['llama']}", **changes}
        return make_job(
            models=models,
            out=tmp_path / "out",
            store=tmp_path / "store.sqlite",
            include=(tmp_path / "tasks",),
            data_dir=tmp_path / "data",
            **given,
        )

    return make


def found_by(job: Job, candidate: Callable[[Request], Response | Failure]) -> Results:
    return evaluate(job, factory=ScriptedFactory(model(), {"lora": candidate}))


def remembers(row: int) -> bool:
    return row % 8 > 2  # five rows in eight


# ---- what is concluded -----------------------------------------------------------------------------------------------


def test_rankings_unchanged_and_noise_written_is_format(job: Callable[..., Job]) -> None:
    (only,) = found_by(
        job(explain=False, describe=("generation",)),
        model(writes=lambda row, right: noise(row, right) if row % 2 else right),
    ).diagnoses
    assert only.conclusion == "format"
    flips = only.flips
    assert (flips.answers, flips.lost_unreadable, flips.lost_wrong, flips.gained_unreadable, flips.gained_wrong) == (
        160,
        80,
        0,
        0,
        0,
    )
    assert "80 can no longer be read, 0 are readable and wrong" in only.says
    assert "the knowledge seems to be there, the format not" in only.says


def test_rankings_fallen_and_wrong_choices_written_is_knowledge(job: Callable[..., Job]) -> None:
    found = found_by(job(), model(remembers, lambda row, right: right if remembers(row) else wrong(row, right)))
    (only,) = found.diagnoses
    assert (only.task, only.candidate, only.conclusion) == ("rates", "lora", "knowledge")
    assert (only.flips.lost_unreadable, only.flips.lost_wrong) == (0, 60)
    assert "knowledge seems to be lost, not the format: choosing 1.000 → 0.625" in only.says


def test_rankings_fallen_and_noise_written_is_both(job: Callable[..., Job]) -> None:
    def writes(row: int, right: str) -> str:
        return right if remembers(row) else noise(row, right) if row % 2 else wrong(row, right)

    (only,) = found_by(job(), model(remembers, writes)).diagnoses
    assert only.conclusion == "both"
    assert (only.flips.lost_unreadable, only.flips.lost_wrong) == (20, 40)
    by_name = {measure.name: measure for measure in only.measures}
    assert by_name["unparsed"].candidate.value == pytest.approx(20 / ROWS)
    assert "empty" in only.says or by_name["empty"].difference.high >= 0


def test_rankings_fallen_and_writing_kept_is_unclear(job: Callable[..., Job]) -> None:
    (only,) = found_by(job(), model(remembers)).diagnoses
    assert only.conclusion == "unclear"
    assert "it chooses worse, and what it writes shows no loss" in only.says


def test_a_much_smaller_loss_in_writing_than_in_choosing_is_unclear(job: Callable[..., Job]) -> None:
    (only,) = found_by(job(), model(remembers, lambda row, right: noise(row, right) if row < 12 else right)).diagnoses
    assert only.flips.unreadable.high < 0
    assert (only.conclusion, "it chooses worse by more than it writes worse" in only.says) == ("unclear", True)


def test_writing_other_answers_than_it_chooses_is_unclear(job: Callable[..., Job]) -> None:
    (only,) = found_by(
        job(explain=False, describe=("generation",)),
        model(writes=lambda row, right: right if remembers(row) else wrong(row, right)),
    ).diagnoses
    assert (only.conclusion, "what it would choose, it does not write" in only.says) == ("unclear", True)


def test_the_answer_there_but_not_alone_is_format(job: Callable[..., Job]) -> None:
    (only,) = found_by(
        job(explain=False, describe=("generation",)), model(writes=lambda row, right: f"well, {right}")
    ).diagnoses
    assert (only.conclusion, "written as often, but less often alone" in only.says) == ("format", True)


@pytest.mark.parametrize("changes", [{}, {"describe": ("generation",)}])
def test_nothing_lost_is_no_diagnosis_and_asks_nothing_more(job: Callable[..., Job], changes: dict[str, Any]) -> None:
    factory = ScriptedFactory(model())
    outcome = evaluate(job(**changes), factory=factory)
    assert outcome.diagnoses == ()
    assert "diagnoses" not in json.loads((job().output.folder / "results.json").read_text())
    assert sum(isinstance(request, Generate) for _, request in factory.requests) == (2 * ROWS if changes else 0)


# ---- the numbers -----------------------------------------------------------------------------------------------------


def _mixed(row: int, right: str) -> str:
    return (right, wrong(row, right), noise(row, right), f"well, {right}")[row * 7 % 4]


def test_the_parts_are_those_counted_by_hand_from_the_samples(job: Callable[..., Job]) -> None:
    """Every pair of texts read and counted here; the parts have to add up to the written score's difference."""
    run_job = job()
    base = model(writes=lambda row, right: right if row % 5 else (noise if row % 2 else wrong)(row, right))
    outcome = evaluate(run_job, factory=ScriptedFactory(base, {"lora": model(remembers, _mixed)}))
    (only,) = outcome.diagnoses
    counts = {"lost_unreadable": 0, "lost_wrong": 0, "gained_unreadable": 0, "gained_wrong": 0}
    before, after = (results.read_samples(run_job.output.folder, "rates@written", name) for name in ("base", "lora"))
    for old, new in zip(before, after, strict=True):
        was, now = (set(re.findall("no|yes", sample.output)) for sample in (old, new))
        if (was == {old.reference}) != (now == {new.reference}):
            other = now if was == {old.reference} else was
            counts[("lost_" if other is now else "gained_") + ("wrong" if other else "unreadable")] += 1
    flips = only.flips
    assert {name: getattr(flips, name) for name in counts} == counts
    assert min(counts.values()) > 0
    written = next(measure for measure in only.measures if measure.name == "written")
    net = counts["gained_unreadable"] + counts["gained_wrong"] - counts["lost_unreadable"] - counts["lost_wrong"]
    assert written.difference.value == pytest.approx(net / ROWS, abs=1e-15)
    assert flips.unreadable.value + flips.wrong.value == pytest.approx(written.difference.value, abs=1e-15)
    assert flips.unreadable.value - flips.wrong.value == pytest.approx(flips.balance.value, abs=1e-15)
    assert flips.unreadable.value == pytest.approx(
        (counts["gained_unreadable"] - counts["lost_unreadable"]) / ROWS, abs=1e-15
    )


def test_every_measure_has_base_candidate_and_difference(job: Callable[..., Job]) -> None:
    (only,) = found_by(job(), model(lambda row: row % 2 == 1, noise)).diagnoses  # it picks “yes” whatever is asked
    names = [
        "choosing",
        "written",
        "strict",
        "unparsed",
        "empty",
        "repetition",
        "length",
        "cut",
        "selection_bias",
        "ece",
        "brier_score",
    ]
    assert [measure.name for measure in only.measures] == names
    by_name = {measure.name: measure for measure in only.measures}
    thirds = sum(1 for row in range(ROWS) if row % 3 == 0) / ROWS
    assert by_name["empty"].candidate.value == pytest.approx(1 - thirds)
    assert by_name["repetition"].candidate.value == pytest.approx(
        thirds * 2 / 3
    )  # of three grams of four words one is new
    assert by_name["length"].candidate.value == pytest.approx(1 + 6 * thirds)
    assert (by_name["selection_bias"].base.value, by_name["selection_bias"].candidate.value) == (0.0, 0.5)
    assert only.leaning is not None
    assert asdict(only.leaning["candidate"]) == {"choice": "yes", "picked": 1.0, "right": 0.5}
    assert "it picks “yes” in 100 %, right in 50 %" in only.says
    assert all(
        m.difference.low is not None and m.difference.low <= m.difference.value <= m.difference.high
        for m in only.measures
    )


def test_the_spread_over_wordings_is_beside_the_drop(job: Callable[..., Job]) -> None:
    def reads_claims(request: Request) -> Response | Failure:
        return (
            model(remembers)(request)
            if isinstance(request, Rank) and request.pairs[0][0].endswith("?")
            else model()(request)
        )

    (only,) = found_by(job(), reads_claims).wordings
    assert (only.task, only.candidate, only.wordings) == ("rates", "lora", ("", "claim"))
    assert asdict(only.base) == {"worst": 1.0, "mean": 1.0, "best": 1.0}
    assert asdict(only.candidate_score) == {"worst": 0.625, "mean": 0.8125, "best": 1.0}
    assert asdict(only.difference) == {"worst": -0.375, "mean": -0.1875, "best": 0.0}
    assert only.verdicts == ("forgotten", "retained") and only.depends


def test_a_group_is_one_unit_and_its_members_are_pooled(job: Callable[..., Job]) -> None:
    found = found_by(
        job(tasks=("pool",)), model(remembers, lambda row, right: right if remembers(row) else wrong(row, right))
    )
    (only,) = found.diagnoses
    assert (only.task, only.level, only.twin, only.n, only.conclusion) == (
        "pool",
        "group",
        "pool@written",
        2 * ROWS,
        "knowledge",
    )
    assert (only.flips.answers, only.flips.lost_wrong) == (2 * ROWS, 120)
    assert {"selection_bias", "length", "ece"} <= {measure.name for measure in only.measures}


# ---- who is asked, and what stays ------------------------------------------------------------------------------------


def test_only_who_lost_is_asked_again_and_verdicts_stay(job: Callable[..., Job]) -> None:
    run_job = job(models=("lora", "kept"), tasks=("rates", "even"))
    replies = {
        "lora": lambda request: model(remembers if "is number" not in str(request) else lambda row: True, wrong)(
            request
        )
    }
    factory = ScriptedFactory(model(), replies)
    outcome = evaluate(run_job, factory=factory)
    writers = {
        (name, "is number" in request.prompt) for name, request in factory.requests if isinstance(request, Generate)
    }
    assert writers == {("base", False), ("lora", False)}
    assert {(d.task, d.candidate) for d in outcome.diagnoses} == {("rates", "lora")}
    assert {c.candidate for c in outcome.comparisons if "@" in c.task} == {"lora"}
    plain = evaluate(job_with(run_job, explain=False), factory=factory)
    assert [c for c in outcome.comparisons if "@" not in c.task] == list(plain.comparisons)
    assert (judge(outcome, Policy()), plain.diagnoses) == (judge(plain, Policy()), ())


def test_a_resumed_run_asks_nothing_and_leaves_the_same_bytes(job: Callable[..., Job]) -> None:
    run_job = job(models=("lora", "kept"))
    evaluate(run_job, factory=ScriptedFactory(model(), {"lora": model(remembers, _mixed)}))
    first = {
        path: path.read_bytes()
        for path in run_job.output.folder.rglob("*")
        if path.is_file() and path.name != "run.json"
    }
    idle = ScriptedFactory(model())
    evaluate(run_job, factory=idle)
    assert idle.requests == []
    assert {
        path: path.read_bytes()
        for path in run_job.output.folder.rglob("*")
        if path.is_file() and path.name != "run.json"
    } == first


def test_killed_between_the_rounds_it_goes_on_to_the_same_bytes(job: Callable[..., Job]) -> None:
    run_job = job()
    whole = ScriptedFactory(model(), {"lora": model(remembers, _mixed)})
    evaluate(run_job, factory=whole)
    first = (run_job.output.folder / "results.json").read_bytes()

    def dies(request: Request) -> Response | Failure:
        if isinstance(request, Generate):
            raise KeyboardInterrupt
        return model(remembers, _mixed)(request)

    again = job_with(run_job, store=run_job.output.store.with_name("other.sqlite"))
    with pytest.raises(KeyboardInterrupt):
        evaluate(again, factory=ScriptedFactory(model(), {"lora": dies}))
    assert not (run_job.output.folder / "results.json").exists()
    evaluate(again, factory=whole)
    assert (run_job.output.folder / "results.json").read_bytes() == first


def test_compare_gives_the_same_diagnoses_from_the_measurements_alone(job: Callable[..., Job], tmp_path: Path) -> None:
    run_job = job(models=("lora", "kept"))
    evaluate(run_job, factory=ScriptedFactory(model(), {"lora": model(remembers, _mixed)}))
    assert exit_code("compare", run_job.output.folder, "--out", tmp_path / "again") == 0
    was, now = (json.loads((out / "results.json").read_text()) for out in (run_job.output.folder, tmp_path / "again"))
    assert now["diagnoses"] == was["diagnoses"]
    assert now["comparisons"] == was["comparisons"]
    read = results.read_results(run_job.output.folder).diagnoses
    assert isinstance(read[0], Diagnosis)
    assert json.loads(json.dumps([asdict(each) for each in read])) == was["diagnoses"]


def test_runs_with_and_without_a_second_round_compare(job: Callable[..., Job], tmp_path: Path) -> None:
    factory = ScriptedFactory(model(), {"lora": model(remembers, _mixed), "other": model(remembers)})
    one, two = job(), job_with(job(models=("other",)), explain=False, out=tmp_path / "two")
    evaluate(one, factory=factory)
    evaluate(two, factory=factory)
    for first, second in ((one, two), (two, one)):
        assert exit_code("compare", first.output.folder, second.output.folder, "--out", tmp_path / "both") == 0
        assert "diagnoses" not in json.loads((tmp_path / "both" / "results.json").read_text())


def test_an_unanswered_twin_is_trouble_and_leaves_the_rest(job: Callable[..., Job]) -> None:
    def breaks(request: Request) -> Response | Failure:
        broken = isinstance(request, Generate) and " 7" in request.prompt
        return (
            Failure(request_id=request.id, reason="the engine stopped") if broken else model(remembers, wrong)(request)
        )

    found = found_by(job(), breaks)
    broken = {error.task for error in found.errors}
    assert broken == {"rates@written"}
    (only,) = found.diagnoses
    assert only.flips.answers == only.n == ROWS - len(found.errors) < ROWS
    assert next(c for c in found.comparisons if c.task == "rates" and c.primary).n == ROWS


def test_a_task_whose_answers_cannot_be_written_is_named_and_not_asked(job: Callable[..., Job], tmp_path: Path) -> None:
    middle = {"doc_to_text": "label", "doc_to_choice": "{{['no ' ~ text, 'yes ' ~ text]}}", "doc_to_target": "?"}
    text = RATES.replace('doc_to_text: "{{text}} ?"', f'doc_to_text: "{middle["doc_to_text"]}"').replace(
        "doc_to_target: label", 'doc_to_target: "?"'
    )
    text = text.replace('doc_to_choice: ["no", "yes"]', f'doc_to_choice: "{middle["doc_to_choice"]}"').split(
        "  templates:"
    )[0]
    (tmp_path / "tasks" / "rates.yaml").write_text(text)

    def forgot(request: Request) -> Response | Failure:
        row = int(re.findall(r"\d+", request.pairs[0][0])[-1]) if isinstance(request, Rank) else 0
        return model(lambda _: row % 2 == 0)(request)

    factory = ScriptedFactory(model(), {"lora": forgot})
    outcome = evaluate(job(), factory=factory)
    assert next(c for c in outcome.comparisons if c.task == "rates").verdict == "forgotten"
    assert (outcome.diagnoses, [c.task for c in outcome.comparisons if "@" in c.task]) == ((), [])
    notices = (results.read_run(job().output.folder) or {})["notices"]
    assert notices[-1].startswith("not asked: rates@written: its choices stand in the middle of the text")


def test_of_a_task_that_stopped_early_the_same_rows_are_asked(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def shorter(first: RunState, context: Any) -> RunState:
        def cut(found: TaskOutcome) -> TaskOutcome:
            parts = (replace(m, units=m.units[:90], sizes=m.sizes[:90], rows=m.rows[:90]) for m in found.measurements)
            return replace(found, measurements=tuple(parts), samples=found.samples[:90])

        return with_explanation(
            first._replace(outcomes={name: [cut(found) for found in of] for name, of in first.outcomes.items()}),
            context,
        )

    monkeypatch.setattr("evalharness.run.evaluation.with_explanation", shorter)
    found = found_by(job(), model(remembers, wrong))
    (only,), (over,) = found.diagnoses, found.wordings
    assert (only.n, only.flips.answers, over.wordings) == (90, 90, ("", "claim"))
    ids = [sample.id.split("-")[0] for sample in results.read_samples(job().output.folder, "rates@written", "lora")]
    assert ids == [str(row) for row in range(90)]


def test_a_task_in_another_wording_is_explained_in_that_wording(job: Callable[..., Job]) -> None:
    (only,) = found_by(
        job(templates="claim"), model(remembers, lambda row, right: ("false", "true")[1 - row % 2])
    ).diagnoses
    assert (only.task, only.twin) == ("rates@claim", "rates@claim@written")
    assert only.leaning is not None and only.leaning["base"].choice in ("false", "true")


def test_references_are_never_asked_again(job: Callable[..., Job]) -> None:
    factory = ScriptedFactory(model(), {"lora": model(remembers, wrong)})
    outcome = evaluate(job(placebo=True), factory=factory)
    assert [d.candidate for d in outcome.diagnoses] == ["lora"]
    assert {name for name, request in factory.requests if isinstance(request, Generate)} == {"base", "lora"}
    assert len(outcome.models) == 3


def test_without_the_base_it_has_to_have_been_asked_before(
    job: Callable[..., Job], tmp_path: Path, zoo: dict[str, Path]
) -> None:
    run_job = job(explain=False)
    factory = ScriptedFactory(model(), {"lora": model(remembers, _mixed)})
    evaluate(run_job, factory=factory)
    later = job_with(
        run_job, explain=True, base=str(zoo["llama"]), baseline=run_job.output.folder, out=tmp_path / "later"
    )
    idle = ScriptedFactory(model())
    with pytest.raises(
        UsageError, match=r"--explain: the base cannot be asked.*write its answers to rates.*--describe generation"
    ):
        evaluate(later, factory=idle)
    assert idle.requests == []
    wrote = job_with(run_job, describe=("generation",), out=tmp_path / "wrote")
    evaluate(wrote, factory=factory)
    outcome = evaluate(job_with(later, baseline=wrote.output.folder), factory=factory)
    (only,) = outcome.diagnoses
    assert {measure.name for measure in only.measures} >= {"choosing", "written", "length"}
    assert outcome.wordings == ()  # the base was not asked in other words


def test_the_command_says_it_beside_the_verdict(job: Callable[..., Job], capsys: pytest.CaptureFixture[str]) -> None:
    asked = job()
    found_by(asked, model(remembers, _mixed))
    assert exit_code("compare", asked.output.folder) == 0
    output = capsys.readouterr().out
    assert f"rates: {results.read_results(asked.output.folder).diagnoses[0].says}" in output
