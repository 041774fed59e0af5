"""A run that stops early, with an engine whose answers are known: who is asked how far, and that what is said of it
holds.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from watched_streams import single

from evalharness import fingerprint, results
from evalharness.analysis.analyse import analyse
from evalharness.analysis.gate import judge
from evalharness.analysis.pairing import unit_order
from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import NotComparableError, UsageError
from evalharness.experiments.forecast_units import read_earlier
from evalharness.metrics.build import from_facts
from evalharness.records.comparison import Comparison
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.policy import Policy
from evalharness.records.requests import Failure, Generation, Rank, Ranking, Request, Response
from evalharness.records.results import Results
from evalharness.run.evaluation import evaluate
from evalharness.stats.early_stopping import EARLY, ROUNDS, round_of
from evalharness.stats.sequential import evidence

LETTERS = "ABCD"
CHOICE = """
task: {name}
dataset_path: local/{name}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{text}}}} ?"
doc_to_choice: ["A", "B", "C", "D"]
doc_to_target: label
metric_list: [{{metric: {metric}{options}}}]
metadata: {{version: 1.0, family: {family}, chance: 0.25, primary: {metric}, lm_eval: no}}
"""
WRITE = """
task: {name}
dataset_path: local/{name}
test_split: test
output_type: generate_until
doc_to_text: "{{{{text}}}} :"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 6}}
metric_list: [{{metric: exact_match}}]
metadata: {{version: 1.0, family: other, chance: 0.0, primary: exact_match, lm_eval: no}}
"""
GROUP = """
group: {name}
task: [{tasks}]
aggregate_metric_list: [{{metric: acc}}]
metadata: {{unit: true, margin: 0.02, family: other}}
"""
ROWS = {"knows": 1200, "drops": 800, "writes": 600, "part_1": 400, "part_2": 300, "classes": 400}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four gate units: two tasks of choices, one that is written, a group of two; and a task whose metric (MCC) is no
    mean.
    """
    root = tmp_path_factory.mktemp("world")
    (root / "tasks").mkdir()
    for name, rows in ROWS.items():
        template, family = (WRITE if name == "writes" else CHOICE), ("glue" if name in ("knows", "drops") else "other")
        metric = "mcc" if name == "classes" else "acc"
        options = ", classes: 4" if metric == "mcc" else ""
        (root / "tasks" / f"{name}.yaml").write_text(
            template.format(name=name, family=family, metric=metric, options=options)
        )
        folder = root / "data" / "local" / name / "default"
        folder.mkdir(parents=True)
        lines = [
            {"text": f"{name} {i} {LETTERS[i * 7 % 4]}", "label": i * 7 % 4, "answer": LETTERS[i * 7 % 4]}
            for i in range(rows)
        ]
        (folder / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (root / "tasks" / "pool.yaml").write_text(GROUP.format(name="pool", tasks="part_1, part_2"))
    return root


def answers(losing: Mapping[str, float] | None = None, gaining: float = 0.0) -> Callable[[Request], Response | Failure]:
    """Right about 85 rows in 100, the same for every model but for a share of each task's that are lost (and
    gained).
    """

    def reply(request: Request) -> Response | Failure:
        prompt = request.pairs[0][0] if isinstance(request, Rank) else request.prompt  # type: ignore[union-attr]
        task, number, right = prompt.split()[:3]
        known = fingerprint.uniform_hash(["knows", task, number]) < 0.85
        luck = fingerprint.uniform_hash(["flips", task, number])
        known = (known and luck >= (losing or {}).get(task, 0.0)) or (not known and luck < gaining)
        said = right if known else LETTERS[(LETTERS.index(right) + 1) % 4]
        if isinstance(request, Rank):
            likely = tuple(0.0 if pair[1].strip() == said else -5.0 for pair in request.pairs)
            return Ranking(
                request_id=request.id, logprobs=likely, tokens=(1,) * 4, greedy=tuple(x == 0.0 for x in likely)
            )
        return Generation(request_id=request.id, text=said, finish_reason="stop", tokens=1)

    return reply


@pytest.fixture
def job(zoo: dict[str, Path], world: Path, tmp_path: Path) -> Callable[..., Job]:
    def make(*models: str, **changes: Any) -> Job:
        return make_job(
            models=tuple(f"{name}={zoo[name]}" for name in models or ("llama-lora",)),
            base=f"base={zoo['llama']}",
            data_dir=world / "data",
            **{
                "tasks": ("knows", "drops", "writes", "pool"),
                "until_decided": True,
                "target": "none",
                "include": (world / "tasks",),
                "out": tmp_path / "out",
                "store": tmp_path / "store.sqlite",
                **changes,
            },
        )

    return make


def primary(found: Results, candidate: str = "llama-lora") -> dict[str, Comparison]:
    return {c.task: c for c in found.comparisons if c.candidate == candidate and c.primary and c.level != "family"}


def asked(factory: ScriptedFactory) -> Counter[tuple[str, str]]:
    prompts = [(name, (r.pairs[0][0] if isinstance(r, Rank) else r.prompt).split()[0]) for name, r in factory.requests]  # type: ignore[union-attr]
    return Counter(prompts)


def test_what_is_forgotten_is_asked_no_more_and_the_rest_until_it_is_certain(job: Callable[..., Job]) -> None:
    factory = ScriptedFactory(answers(), {"llama-lora": answers({"drops": 0.3})})
    outcome = evaluate(job(), factory=factory)
    rows, counts = primary(outcome), asked(factory)
    drops = rows["drops"]
    assert (
        drops.verdict == "forgotten"
        and drops.stopping is not None
        and drops.stopping.stopped
        and "stopped_early" in drops.flags
    )
    assert drops.n == drops.stopping.asked == counts["llama-lora", "drops"] == counts["base", "drops"] < 250
    assert (drops.stopping.planned, drops.p_difference, drops.base.low, drops.candidate_score.high) == (
        800,
        None,
        None,
        None,
    )
    assert (
        drops.difference.high is not None and drops.difference.high < -0.02 and drops.p_forgotten_adjusted is not None
    )
    # 1200 answers that never change are retained long before the end; 600 and 700 take more of theirs
    knows = rows["knows"]
    assert (
        knows.verdict == "retained"
        and knows.stopping is not None
        and knows.n < 400
        and counts["llama-lora", "knows"] == knows.n
    )
    assert knows.difference.low is not None and knows.difference.low > -0.02
    assert rows["pool"].verdict == rows["writes"].verdict == "retained"
    suite = rows["suite"]
    assert suite.verdict == "inconclusive" and "suite_not_tested" in suite.flags and suite.difference.low is None
    decision = judge(outcome, Policy())
    assert (
        decision.exit_code == 3
        and decision.reasons[1] == "undecided: llama-lora over suite: not tested, because a gate unit was stopped first"
    )
    assert sum(counts.values()) < 0.5 * 2 * (1200 + 800 + 600 + 700)


def test_it_is_as_the_rule_written_out(job: Callable[..., Job], world: Path) -> None:
    """One gate unit alone: e-process after each twentieth of the units in the order of their lots, at half of alpha."""
    outcome = evaluate(
        job(tasks=("drops",)), factory=ScriptedFactory(answers(), {"llama-lora": answers({"drops": 0.12})})
    )
    row = primary(outcome)["drops"]
    run = results.read_measurements(job().output.folder)
    facts, of = run.facts, {m.model: m for m in run.measurements}
    everyone = [json.loads(line) for line in (world / "data/local/drops/default/test.jsonl").read_text().splitlines()]
    base, lora = of["base"], of["llama-lora"]
    lots = unit_order(1234, "drops", base.units)
    assert round_of(lots).max() == row.stopping.rounds < ROUNDS and len(everyone) == facts[0].planned == 800  # type: ignore[union-attr]
    places = {unit: i for i, unit in enumerate(lora.units)}
    order = sorted(range(len(base.units)), key=lambda i: lots[i])
    net = np.array([lora.rows[places[base.units[i]], 0] - base.rows[i, 0] for i in order])
    logs = evidence(single(net), 0.02, "forgotten")
    ends = np.searchsorted(np.sort(lots), np.arange(1, row.stopping.rounds + 1) / ROUNDS)  # type: ignore[union-attr]
    reached = [bool(logs[end - 1] >= np.log(1 / (EARLY * 0.05))) for end in ends]
    assert reached == [False] * (len(ends) - 1) + [True]
    assert row.p_forgotten_adjusted == pytest.approx(np.exp(-logs[ends - 1].max()) / EARLY)


def test_what_is_retained_is_asked_on_while_the_suite_is_open_and_no_longer(job: Callable[..., Job]) -> None:
    """Nothing was lost: every unit is needed until a look at the suite decides; then those that are certain are let
    go.
    """
    factory = ScriptedFactory(answers(), {"llama-lora": answers({"writes": 0.02}, gaining=0.1)})
    outcome = evaluate(job(), factory=factory)
    rows = primary(outcome)
    suite = rows["suite"]
    assert suite.verdict == "retained" and suite.stopping is not None and suite.stopping.rounds in (10, 20)
    for name in ("knows", "pool", "drops"):
        stopping = rows[name].stopping
        assert stopping is not None and stopping.rounds >= suite.stopping.rounds and rows[name].verdict == "retained"
    assert rows["knows"].stopping.rounds == max(suite.stopping.rounds, rows["knows"].stopping.rounds) < ROUNDS  # type: ignore[union-attr]
    assert judge(outcome, Policy()).exit_code == 0


def test_what_stays_undecided_is_asked_to_the_end_and_tested_as_ever_at_half_of_alpha(job: Callable[..., Job]) -> None:
    replies = {"llama-lora": answers({"drops": 0.03}, gaining=0.1)}
    outcome = evaluate(job(tasks=("drops",)), factory=ScriptedFactory(answers(), replies))
    whole = evaluate(job(tasks=("drops",), until_decided=False), factory=ScriptedFactory(answers(), replies))
    row, plain = primary(outcome)["drops"], primary(whole)["drops"]
    assert (
        row.stopping is not None
        and not row.stopping.stopped
        and row.n == plain.n == 800
        and row.difference.value == plain.difference.value
    )
    assert plain.stopping is None and plain.p_retained is not None and row.stopping.p_retained is not None
    assert row.p_retained == pytest.approx(min(1.0, plain.p_retained / (1 - EARLY), row.stopping.p_retained / EARLY))
    assert (
        row.stopping.certificate is not None and row.stopping.certificate.verdict == "retained"
    )  # of this set, all of which was seen
    assert plain.difference.value > -0.02 and row.difference.low is not None and plain.difference.low is not None
    assert row.difference.low < plain.difference.low  # two errors share alpha


def test_scores_that_are_no_means_are_asked_to_the_end(job: Callable[..., Job]) -> None:
    factory = ScriptedFactory(answers(), {"llama-lora": answers({"drops": 0.3, "classes": 0.5})})
    outcome = evaluate(job(tasks=("drops", "classes")), factory=factory)
    row = primary(outcome)["classes"]
    assert row.metric == "mcc" and row.n == 400 and row.verdict == "forgotten"
    assert row.stopping is not None and row.stopping.certificate is None and row.stopping.p_forgotten is None


def test_candidates_stop_each_by_themselves_and_the_base_is_asked_what_any_is(job: Callable[..., Job]) -> None:
    replies = {"llama-lora": answers({"drops": 0.4}), "llama-prompt": answers()}
    factory = ScriptedFactory(answers(), replies)
    outcome = evaluate(job("llama-lora", "llama-prompt", tasks=("drops",)), factory=factory)
    lora, prompt = primary(outcome, "llama-lora")["drops"], primary(outcome, "llama-prompt")["drops"]
    counts = asked(factory)
    assert (
        lora.n == counts["llama-lora", "drops"] < counts["llama-prompt", "drops"] == prompt.n == counts["base", "drops"]
    )
    alone = evaluate(job("llama-lora", tasks=("drops",)), factory=ScriptedFactory(answers(), replies))
    assert primary(alone)["drops"] == lora  # who else is there does not matter


def test_killed_and_resumed_it_is_the_same_to_the_byte_and_nothing_is_asked_twice(job: Callable[..., Job]) -> None:
    replies = {"llama-lora": answers({"drops": 0.1, "knows": 0.05})}
    first = job()
    evaluate(first, factory=ScriptedFactory(answers(), replies))
    whole = {name: (first.output.folder / name).read_bytes() for name in ("results.json", "measurements.parquet")}

    class Killed(BaseException):
        pass

    left = [700]

    def mortal(reply: Callable[[Request], Response | Failure]) -> Callable[[Request], Response | Failure]:
        def answer(request: Request) -> Response | Failure:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return reply(request)

        return answer

    again = job_with(
        first, store=first.output.store.with_name("other.sqlite"), out=first.output.folder.with_name("again")
    )
    with pytest.raises(Killed):
        evaluate(
            again, factory=ScriptedFactory(mortal(answers()), {name: mortal(reply) for name, reply in replies.items()})
        )
    evaluate(again, factory=ScriptedFactory(answers(), replies))
    assert {name: (again.output.folder / name).read_bytes() for name in whole} == whole
    idle = ScriptedFactory(answers(), replies)
    evaluate(again, factory=idle)
    assert idle.requests == []


def test_compare_says_the_same_from_the_measurements(job: Callable[..., Job]) -> None:
    outcome = evaluate(
        job(), factory=ScriptedFactory(answers(), {"llama-lora": answers({"drops": 0.1, "part_1": 0.1})})
    )
    run = results.read_measurements(job().output.folder)
    assert results.results_text(analyse(run)) == (job().output.folder / results.RESULTS).read_text()
    assert results.read_results(job().output.folder) == outcome
    assert all(from_facts(metric) for fact in run.facts for metric in fact.metrics)


def test_the_base_of_an_earlier_whole_run_serves_and_one_that_was_stopped_does_not(
    job: Callable[..., Job], tmp_path: Path
) -> None:
    replies = {"llama-lora": answers({"drops": 0.4})}
    evaluate(
        job(tasks=("drops",), until_decided=False, out=tmp_path / "whole"), factory=ScriptedFactory(answers(), replies)
    )
    factory = ScriptedFactory(answers(), replies)
    store = tmp_path / "fresh.sqlite"
    outcome = evaluate(job(tasks=("drops",), baseline=tmp_path / "whole", store=store), factory=factory)
    assert primary(outcome)["drops"].verdict == "forgotten" and set(asked(factory)) == {("llama-lora", "drops")}
    early = job(tasks=("drops",), out=tmp_path / "early")
    evaluate(early, factory=ScriptedFactory(answers(), replies))
    with pytest.raises(NotComparableError, match="stopped early"):
        evaluate(
            job(tasks=("drops",), baseline=early.output.folder, until_decided=False),
            factory=ScriptedFactory(answers(), replies),
        )


def test_a_failed_answer_is_a_trouble_and_no_end_of_the_run(job: Callable[..., Job]) -> None:
    def broken(request: Request) -> Response | Failure:
        return (
            Failure(request_id=request.id, reason="non-finite logits")
            if fingerprint.uniform_hash(request.id) < 0.02
            else answers()(request)
        )

    outcome = evaluate(job(tasks=("drops", "pool")), factory=ScriptedFactory(answers(), {"llama-lora": broken}))
    assert outcome.errors and {t.model for t in outcome.errors} == {"llama-lora"}
    assert judge(outcome, Policy()).exit_code == 5


def test_other_ways_of_asking_are_refused_before_anything_is_asked(job: Callable[..., Job]) -> None:
    factory = ScriptedFactory(answers())
    with pytest.raises(UsageError, match="--until-decided"):
        evaluate(job(describe=("robustness",)), factory=factory)
    assert factory.requests == []


def test_what_was_lost_early_is_explained_on_the_rows_that_were_asked(job: Callable[..., Job]) -> None:
    """Choosing is lost, and so is writing (the scripted model knows as little): the twin is asked about the rows of the
    first rounds only.
    """
    factory = ScriptedFactory(answers(), {"llama-lora": answers({"drops": 0.4})})
    outcome = evaluate(job(tasks=("drops",), explain=True), factory=factory)
    row = primary(outcome)["drops"]
    (diagnosis,) = outcome.diagnoses
    assert row.stopping is not None and row.stopping.stopped and (diagnosis.task, diagnosis.n) == ("drops", row.n)
    assert diagnosis.conclusion == "knowledge"
    assert row == primary(evaluate(job(tasks=("drops",)), factory=factory))["drops"]


def test_what_explains_a_candidate_does_not_depend_on_who_else_is_in_the_run(job: Callable[..., Job]) -> None:
    """The one beside loses so much that it is stopped in the first round."""
    replies = {"llama-lora": answers({"drops": 0.09}), "llama-prompt": answers({"drops": 0.6})}
    alone = evaluate(job("llama-lora", tasks=("drops",), explain=True), factory=ScriptedFactory(answers(), replies))
    both = evaluate(
        job("llama-lora", "llama-prompt", tasks=("drops",), explain=True), factory=ScriptedFactory(answers(), replies)
    )
    (diagnosis,) = alone.diagnoses
    assert [found for found in both.diagnoses if found.candidate == "llama-lora"] == [diagnosis]
    lengths = {found.candidate: found.n for found in both.diagnoses}
    assert lengths["llama-prompt"] < lengths["llama-lora"] == primary(alone)["drops"].n
    assert all(
        "before it was stopped" in found.says
        for found in both.diagnoses
        if primary(both, found.candidate)["drops"].stopping.stopped
    )  # type: ignore[union-attr]


def test_a_stored_base_that_wrote_its_answers_serves_an_early_stop_and_its_explanation(
    job: Callable[..., Job], tmp_path: Path
) -> None:
    replies = {"llama-lora": answers({"drops": 0.4})}
    whole = job(tasks=("drops",), until_decided=False, describe=("generation",), out=tmp_path / "whole")
    evaluate(whole, factory=ScriptedFactory(answers(), replies))
    factory = ScriptedFactory(answers(), replies)
    outcome = evaluate(
        job(tasks=("drops",), baseline=whole.output.folder, explain=True, store=tmp_path / "fresh.sqlite"),
        factory=factory,
    )
    (diagnosis,) = outcome.diagnoses
    assert diagnosis.n == primary(outcome)["drops"].n < 800 and {name for name, _ in factory.requests} == {"llama-lora"}


def test_gate_groups_that_share_a_task_are_refused(job: Callable[..., Job], world: Path, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "pool_2.yaml").write_text(GROUP.format(name="pool_2", tasks="part_1, knows"))
    asked_for = job(tasks=("pool", "pool_2"), include=(world / "tasks", folder))
    with pytest.raises(UsageError, match="part_1 is in several groups"):
        evaluate(asked_for, factory=ScriptedFactory(answers()))


def test_plan_does_not_read_how_answers_change_off_a_run_that_was_stopped(job: Callable[..., Job]) -> None:
    evaluate(job(tasks=("drops",)), factory=ScriptedFactory(answers(), {"llama-lora": answers({"drops": 0.4})}))
    with pytest.raises(UsageError, match="stopped early"):
        read_earlier(str(job().output.folder))
