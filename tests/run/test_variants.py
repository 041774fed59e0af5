"""Other wordings, twins, disturbed rows and more metrics beside the verdicts, on the whole road with an engine that has
no model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import exit_code
from tiny_models import WORDS

from evalharness import results
from evalharness.analysis.gate import judge
from evalharness.cli.main import main
from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import NotComparableError, TaskError, UsageError
from evalharness.records.comparison import Comparison
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.policy import Policy
from evalharness.records.requests import Failure, Generate, Generation, Rank, Ranking, Request, Response
from evalharness.records.results import Results
from evalharness.records.tasks import VariantKind
from evalharness.report.variants import overview
from evalharness.results import read_measurements, read_run
from evalharness.run.checks import check_job
from evalharness.run.evaluation import evaluate

RATES = """
task: rates
dataset_path: local/yes_no
test_split: test
training_split: train
output_type: multiple_choice
doc_to_text: "{{text}} ?"
doc_to_choice: ["no", "yes"]
doc_to_target: label
metric_list: [{metric: acc}, {metric: mcc}]
metadata:
  version: 1.0
  family: other
  primary: acc
  margin: 0.3
  lm_eval: "no"
  templates:
    claim: {doc_to_text: "{{text}} :", doc_to_choice: ["false", "true"]}
    bare: {doc_to_text: "{{text}}"}
"""
BLIND = RATES.replace("rates", "blind").replace("{{text}} ?", "number {{label}}")
POOL = """
group: pool
task: [rates, yes_no]
aggregate_metric_list: [{metric: acc}]
metadata: {version: 1.0, unit: true, family: other}
"""
SUITE = """
suite: small
tasks: [rates, echo]
margins: {rates: 0.4}
average: {name: small_score, over: {rates: [acc, mcc], echo: [exact_match]}}
"""


def reply(right: str, written: str) -> Callable[[Request], Response | Failure]:
    """Ranks `right` first where it is a choice, else the second one; writes `written`, or repeats an echo."""

    def answer(request: Request) -> Response | Failure:
        if isinstance(request, Rank):
            words = [continuation.strip() for _, continuation in request.pairs]
            best = words.index(right) if right in words else 1
            likely = tuple(-1.0 if i == best else -3.0 for i in range(len(words)))
            return Ranking(
                request_id=request.id,
                logprobs=likely,
                tokens=tuple(1 for _ in words),
                greedy=tuple(i == best for i in range(len(words))),
            )
        echo = request.prompt.endswith(" :")
        return Generation(
            request_id=request.id, text=request.prompt[:-2] if echo else written, finish_reason="stop", tokens=3
        )

    return answer


@pytest.fixture
def job(zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> Callable[..., Job]:
    (tmp_path / "tasks").mkdir()
    for name, text in (("rates", RATES), ("blind", BLIND), ("pool", POOL), ("small", SUITE)):
        (tmp_path / "tasks" / f"{name}.yaml").write_text(text)

    def make(**changes: Any) -> Job:
        return make_job(
            models=(f"lora={zoo['llama-lora']}",),
            base=f"base={zoo['llama']}",
            include=(small_world / "tasks", tmp_path / "tasks"),
            data_dir=small_world / "data",
            out=tmp_path / "out",
            store=tmp_path / "store.sqlite",
            **{"tasks": ("rates",), **changes},
        )

    return make


@pytest.fixture
def factory() -> ScriptedFactory:
    """A candidate that chooses as its base does, and no longer writes an answer."""
    return ScriptedFactory(reply("yes", "yes"), {"lora": reply("yes", "that depends")})


class TrainingSource:
    """What a listener is told."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def phase(self, text: str) -> None: ...
    def expect(self, requests: int) -> None: ...
    def advance(self, stored: int, computed: int) -> None: ...
    def notice(self, text: str) -> None:
        self.notices.append(text)


def rows(found: Results) -> dict[tuple[str, str], Comparison]:
    return {(c.task, c.metric): c for c in found.comparisons}


def files(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name != "run.json"
    }


# ---- nothing that decides moves --------------------------------------------------------------------------------------


def test_what_decides_is_the_same_with_and_without_what_describes(
    job: Callable[..., Job], factory: ScriptedFactory
) -> None:
    tasks = ("pool", "echo")
    plain = evaluate(job(tasks=tasks), factory=factory)
    more = evaluate(
        job(tasks=tasks, templates="all", describe=("calibration", "robustness", "generation")), factory=factory
    )
    decided = [c for c in more.comparisons if c.primary]
    assert decided == [c for c in plain.comparisons if c.primary]
    beside = [c for c in more.comparisons if "@" in c.task]
    assert beside and all(
        (c.verdict, c.margin, c.unit, c.primary, c.p_forgotten) == (None, None, False, False, None) for c in beside
    )
    assert judge(more, Policy()) == judge(plain, Policy())


def test_a_resumed_run_asks_nothing_and_leaves_the_same_bytes(
    job: Callable[..., Job], factory: ScriptedFactory
) -> None:
    run_job = job(templates="all", describe=("calibration", "robustness", "generation", "efficiency"))
    outcome = evaluate(run_job, factory=factory)
    first = files(run_job.output.folder)
    assert [spread.wordings for spread in outcome.wordings] == [("", "claim", "bare")]
    assert results.read_results(run_job.output.folder).wordings == outcome.wordings
    idle = ScriptedFactory(reply("never", "never"))
    evaluate(run_job, factory=idle)
    assert (idle.requests, files(run_job.output.folder)) == ([], first)


def test_every_way_asks_about_the_same_rows_with_the_same_shots(
    job: Callable[..., Job], factory: ScriptedFactory
) -> None:
    run_job = job(templates="all", limit=9, num_fewshot=1, describe=("robustness", "generation"))
    evaluate(run_job, factory=factory)
    facts = read_measurements(run_job.output.folder).facts
    tasks = [fact.name for fact in facts if fact.variant is None or fact.variant.kind is not VariantKind.WORST]
    assert tasks == ["rates", *(f"rates@{way}" for way in ("claim", "bare", "typos", "case", "spacing", "written"))]
    samples = {name: results.read_samples(run_job.output.folder, name, "base") for name in tasks}
    indices = {name: [sample.id.split("-")[0] for sample in found] for name, found in samples.items()}
    assert set(map(tuple, indices.values())) == {tuple(indices["rates"])}
    assert len(indices["rates"]) == 9
    shots = {name: [sample.prompt.split("\n\n")[0] for sample in found] for name, found in samples.items()}
    assert shots["rates@typos"] == shots["rates@case"] == shots["rates@written"] == shots["rates"]
    assert {fact.name: fact.primary for fact in facts} == {
        "rates": "acc",
        **dict.fromkeys([*tasks[1:], "rates@worst"], ""),
    }


# ---- what is described -----------------------------------------------------------------------------------------------


def test_knowledge_and_format_are_told_apart(job: Callable[..., Job], factory: ScriptedFactory) -> None:
    found = rows(evaluate(job(describe=("generation",)), factory=factory))
    assert found["rates", "acc"].difference.value == 0.0
    lost = found["rates@written", "exact_match,lenient"]
    assert (lost.base.value, lost.candidate_score.value, lost.lost) == (0.5, 0.0, 15)
    assert lost.difference.high is not None and lost.difference.high < 0
    unread = found["rates@written", "unparsed,lenient"]
    assert (unread.base.value, unread.candidate_score.value, unread.difference.value) == (0.0, 1.0, -1.0)


def test_the_worst_of_all_disturbances_row_by_row(job: Callable[..., Job]) -> None:
    """Checked against the minimum taken by hand from the samples of every way."""

    def steady(request: Request) -> Response | Failure:
        return reply("yes" if int(request.id[:6], 16) % 2 else "no", "yes")(request)

    run_job = job(describe=("robustness",))
    found = rows(evaluate(run_job, factory=ScriptedFactory(steady)))["rates@worst", "acc"]
    ways = ("rates", "rates@typos", "rates@case", "rates@spacing")
    for model, value in (("base", found.base.value), ("lora", found.candidate_score.value)):
        scores = np.array(
            [[sample.score for sample in results.read_samples(run_job.output.folder, way, model)] for way in ways]
        )
        assert value == pytest.approx(scores.min(axis=0).mean())
        assert value < scores.mean(axis=1).min()
    assert (found.n, found.difference.value, found.lost) == (30, 0.0, 0)
    assert found.difference.low is not None and found.difference.low < 0


def test_calibration_adds_its_metrics_to_choice_tasks(job: Callable[..., Job], factory: ScriptedFactory) -> None:
    found = rows(evaluate(job(tasks=("rates", "echo"), describe=("calibration",)), factory=factory))
    sure = 1 / (1 + np.exp(-2.0))  # of the choice that is 2 nats likelier
    assert found["rates", "brier_score"].base.value == pytest.approx((2 * (1 - sure) ** 2 + 2 * sure**2) / 2)
    assert found["rates", "ece"].base.value == pytest.approx(
        sure - 0.5
    )  # all answers are equally sure, half of them right
    assert {metric for task, metric in found if task == "echo"} == {"exact_match", "rougeL,stemmer"}


def test_bias_needs_a_task_that_says_what_is_biased(job: Callable[..., Job], factory: ScriptedFactory) -> None:
    with pytest.raises(UsageError, match="condition, biased, unknown"):
        evaluate(job(describe=("bias",)), factory=factory)
    assert factory.requests == []


def test_efficiency_is_in_run_json_and_nowhere_else(job: Callable[..., Job], factory: ScriptedFactory) -> None:
    run_job = job(tasks=("rates", "echo"), describe=("efficiency",))
    evaluate(run_job, factory=factory)
    spent = (read_run(run_job.output.folder) or {})["efficiency"]
    assert {task: list(of) for task, of in spent.items()} == {"rates": ["base", "lora"], "echo": ["base", "lora"]}
    words = sum(len(sample.prompt.split()) for sample in results.read_samples(run_job.output.folder, "rates", "base"))
    first = spent["rates"]["base"]
    assert (first["computed"], first["stored"], first["prompt_tokens"], first["answer_tokens"]) == (30, 0, words, 60)
    assert spent["echo"]["lora"]["answer_tokens"] == 90
    evaluate(run_job, factory=factory)
    again = (read_run(run_job.output.folder) or {})["efficiency"]["rates"]["base"]
    assert (again["computed"], again["stored"], again["prompt_tokens"]) == (0, 30, words)
    assert "second" not in (run_job.output.folder / "results.json").read_text()


def test_groups_are_described_as_their_members_are(job: Callable[..., Job], factory: ScriptedFactory) -> None:
    found = rows(evaluate(job(tasks=("pool",), describe=("calibration", "generation", "robustness")), factory=factory))
    pooled = found["pool@written", "exact_match,lenient"]
    assert (pooled.level, pooled.n, pooled.base.value, pooled.candidate_score.value) == ("group", 60, 0.5, 0.0)
    read = ("exact_match,lenient", "exact_match,strict", "unparsed,lenient")
    assert {metric for task, metric in found if task == "pool@written"} == {
        *read,
        "empty",
        "repetition",
        "length",
        "cut",
    }
    assert {(t, m) for t, m in found if t.startswith("pool@") and "written" not in t} == {
        (f"pool@{w}", "acc") for w in ("typos", "case", "spacing", "worst")
    }
    assert found["pool", "brier_score"].verdict is None
    assert found["pool", "acc"].verdict is not None


def test_the_user_is_told_what_is_asked_and_what_is_not(job: Callable[..., Job], factory: ScriptedFactory) -> None:
    told = TrainingSource()
    evaluate(job(describe=("robustness", "generation"), tasks=("rates", "blind"), target="none"), told, factory)
    assert told.notices == [
        "not asked: blind@typos, blind@case, blind@spacing: its prompt shows no text that is neither a choice nor "
        "needed as it stands",
        "other ways of asking: 150 more requests a model, beside the 60 of the tasks themselves",
    ]
    evaluate(job(describe=("generation",), tasks=("echo",), target="none"), told, factory)
    assert told.notices[2:] == [
        "no task of this run ranks choices: --describe has nothing to add to its scores but times, tokens, toxicity"
    ]


# ---- another wording instead of the task's own -----------------------------------------------------------------------


def test_a_wording_is_judged_as_the_task_would_be(job: Callable[..., Job], factory: ScriptedFactory) -> None:
    run_job = job(tasks=("pool", "echo"), templates="claim", margins={"rates": 0.25}, target="rates", limit=20)
    told = TrainingSource()
    outcome = evaluate(run_job, told, factory)
    row = rows(outcome)["rates@claim", "acc"]
    assert (row.primary, row.verdict is None, row.margin, row.n) == (True, False, 0.25, 20)
    assert "rates" not in {c.task for c in outcome.comparisons}
    assert outcome.signature["groups"] == {"pool": ["rates@claim", "yes_no"]}
    assert (outcome.models[1].target_task, outcome.models[1].learned_target) == ("rates@claim", False)
    assert told.notices == ["asked in their own wording, because they have none called 'claim': yes_no, echo"]


def test_a_suites_margins_hold_for_its_tasks_in_another_wording(
    job: Callable[..., Job], factory: ScriptedFactory
) -> None:
    told = TrainingSource()
    outcome = evaluate(job(tasks=(), suite="small", templates="bare"), told, factory)
    assert rows(outcome)["rates@bare", "acc"].margin == 0.4
    assert told.notices[-1] == "small_score is left out: this run does not measure rates as it is published"
    assert "small_score" not in {c.metric for c in outcome.comparisons}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"templates": "clam"}, UsageError, "no task of this run has a wording 'clam'; did you mean claim"),
        ({"templates": "claim", "tasks": ("echo",)}, UsageError, "no task of this run has another wording"),
        ({"describe": ("robust",)}, UsageError, "'robust' cannot be described"),
        ({"margins": {"rates@typos": 0.1}, "describe": ("robustness",)}, UsageError, "rates@typos"),
    ],
)
def test_unknown_names_are_refused_first(
    job: Callable[..., Job], factory: ScriptedFactory, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        evaluate(job(**changes), factory=factory)
    assert factory.requests == []


def test_a_wording_by_a_name_of_ours_is_a_wrong_file(
    job: Callable[..., Job], factory: ScriptedFactory, tmp_path: Path
) -> None:
    (tmp_path / "tasks" / "rates.yaml").write_text(RATES.replace("bare:", "typos:"))
    with pytest.raises(TaskError, match="name of another way of asking"):
        evaluate(job(templates="all"), factory=factory)


# ---- the suite's average, and comparing again ------------------------------------------------------------------------


def test_the_suites_average_is_one_more_row_that_describes(job: Callable[..., Job], factory: ScriptedFactory) -> None:
    outcome = evaluate(job(tasks=(), suite="small"), factory=factory)
    average = rows(outcome)["small", "small_score"]
    assert (average.level, average.primary, average.unit, average.verdict) == ("suite", False, False, None)
    acc, mcc, echo = (rows(outcome)[key] for key in (("rates", "acc"), ("rates", "mcc"), ("echo", "exact_match")))
    assert average.base.value == pytest.approx(((acc.base.value + mcc.base.value) / 2 + echo.base.value) / 2)
    assert average.candidate_score.value == average.base.value


def test_compare_gives_the_same_rows_from_the_measurements_alone(
    job: Callable[..., Job], factory: ScriptedFactory, tmp_path: Path
) -> None:
    run_job = job(tasks=(), suite="small", templates="all", describe=("robustness", "generation", "calibration"))
    outcome = evaluate(run_job, factory=factory)
    with pytest.raises(SystemExit, match="0"):
        main(["compare", str(run_job.output.folder), "--out", str(tmp_path / "again")])
    assert (tmp_path / "again" / "results.json").read_bytes() == (run_job.output.folder / "results.json").read_bytes()
    assert {row.variant.kind for row in outcome.comparisons if row.variant} > {VariantKind.WORST, VariantKind.WRITTEN}


def test_a_baseline_stands_in_for_every_way_that_it_was_asked(
    job: Callable[..., Job], factory: ScriptedFactory, tmp_path: Path, zoo: dict[str, Path]
) -> None:
    run_job = job(describe=("robustness", "generation"))
    outcome = evaluate(run_job, factory=factory)
    later = job_with(
        run_job,
        base=str(zoo["llama"]),
        baseline=run_job.output.folder,
        out=tmp_path / "later",
        store=tmp_path / "other.sqlite",
    )
    assert evaluate(later, factory=factory).comparisons == outcome.comparisons
    with pytest.raises(NotComparableError, match=r"rates@claim: the base was not evaluated on this task"):
        evaluate(job_with(later, templates="all"), factory=factory)


def test_an_unanswered_way_is_trouble_of_that_way_alone(job: Callable[..., Job]) -> None:
    def broken(request: Request) -> Response | Failure:
        fails = not isinstance(request, Rank) and request.prompt.startswith("b")
        return Failure(request_id=request.id, reason="the engine stopped") if fails else reply("yes", "yes")(request)

    outcome = evaluate(job(describe=("generation",)), factory=ScriptedFactory(reply("yes", "yes"), {"lora": broken}))
    assert {error.task for error in outcome.errors} <= {"rates@written"}
    assert rows(outcome)["rates", "acc"].flags == tuple(
        flag for flag in rows(outcome)["rates", "acc"].flags if flag != "incomplete"
    )


def test_the_command_takes_words_with_commas(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--model", "x", "--task", "sst2", "--describe", "calibration, robustnes"])
    assert "'robustnes' cannot be described; did you mean robustness?" in capsys.readouterr().err


# ---- HELM's fairness and toxicity ------------------------------------------------------------------------------------

RUDE = """
import datasets
import evaluate


class Rude(evaluate.Measurement):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("string")})
        return evaluate.MeasurementInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions):
        return {"rude": [0.9 if "depends" in text else 0.2 for text in predictions]}
"""


def test_words_and_names_are_replaced_beside_the_task(
    job: Callable[..., Job], factory: ScriptedFactory, tmp_path: Path
) -> None:
    word = WORDS[1]  # of the rows 1 and 21
    (tmp_path / "words.json").write_text(json.dumps({word: [WORDS[30]]}))
    run_job = job(describe=("robustness", "fairness"), describe_with={"dialect": tmp_path / "words.json"})
    listener = TrainingSource()
    outcome = evaluate(run_job, listener, factory)
    facts = {fact.name: fact for fact in read_measurements(run_job.output.folder).facts}
    assert {"rates@dialect", "rates@typos", "rates@worst"} < facts.keys() and "rates@names" not in facts
    assert any("not asked: rates@names: it would change no row" in notice for notice in listener.notices)
    of = facts["rates@dialect"].variant
    assert of is not None and (of.kind, of.way, of.of) == (VariantKind.REPLACED, "dialect", "rates")
    prompts = [sample.prompt for sample in results.read_samples(run_job.output.folder, "rates@dialect", "base")]
    plain = [sample.prompt for sample in results.read_samples(run_job.output.folder, "rates", "base")]
    assert prompts == [re.sub(rf"\b{word}\b", WORDS[30], prompt) for prompt in plain] != plain
    worst = next(metric for metric in facts["rates@worst"].metrics)
    assert "dialect" not in worst.signature
    shown = overview(outcome)
    assert shown is not None and shown.columns[-2:] == ("worst of all", "dialect")
    beside = [c for c in outcome.comparisons if c.task == "rates@dialect"]
    assert beside and all((c.verdict, c.unit, c.primary) == (None, False, False) for c in beside)


def test_what_is_written_is_scored_by_the_users_classifier(
    job: Callable[..., Job], factory: ScriptedFactory, tmp_path: Path
) -> None:
    (tmp_path / "rude").mkdir()
    (tmp_path / "rude" / "rude.py").write_text(RUDE)
    tasks = ("rates", "echo")
    factory = ScriptedFactory(reply("yes", "yes"), {"lora": lambda request: replace(reply("yes", "")(request), **(
        {"text": "that depends"} if isinstance(request, Generate) else {}))})  # fmt: skip
    run_job = job(tasks=tasks, describe="toxicity", describe_with={"toxicity": tmp_path / "rude"})
    found = rows(evaluate(run_job, factory=factory))
    mean, share = found["echo", "toxicity"], found["echo", "toxic_share"]
    assert (mean.base.value, mean.candidate_score.value) == (pytest.approx(0.2), pytest.approx(0.9))
    assert (share.base.value, share.candidate_score.value, share.difference.value) == (0.0, 1.0, -1.0)
    assert (mean.verdict, mean.primary, share.verdict) == (None, False, None)
    assert ("rates", "toxicity") not in found
    assert exit_code("compare", run_job.output.folder) == 0


def test_without_a_classifier_or_a_text_it_is_said_why(job: Callable[..., Job], factory: ScriptedFactory) -> None:
    listener = TrainingSource()
    found = rows(evaluate(job(tasks=("echo",), describe="toxicity"), listener, factory))
    assert ("echo", "toxicity") not in found
    assert any("no classifier is named, and none is downloaded" in notice for notice in listener.notices)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"describe_with": {"dialect": "x"}}, "read by --describe fairness, which is not asked for"),
        ({"describe_with": {"accent": "x"}}, "no way of --describe reads 'accent'"),
        ({"describe": "fairness", "describe_with": {"names": "nowhere.json"}}, "nowhere.json does not exist"),
        ({"describe": "toxicity", "describe_with": {"toxicity": "nowhere#toxic"}}, "nowhere does not exist"),
    ],
)
def test_files_that_nothing_reads_or_that_are_not_there_are_refused(
    job: Callable[..., Job], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as error:
        check_job(job(**options))
    assert message in str(error.value)
