"""The decision in a sentence, and why, in plain words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pytest

from evalharness.analysis.candidate_order import Standing, candidate_order
from evalharness.records.answers import UnfitShares
from evalharness.records.comparison import Comparison, Estimate
from evalharness.records.measurements import ExampleError
from evalharness.records.policy import OnInconclusive, Policy, Severity, Waiver
from evalharness.records.results import Results
from evalharness.report.sentences import headline, statements, why


def _only(run: Results, *names: str) -> Results:
    """The run with these candidates alone."""
    models = tuple(model for model in run.models if model.base is None or model.name in names)
    return replace(run, models=models, comparisons=tuple(c for c in run.comparisons if c.candidate in names))


def _changed(run: Results, at: tuple[str, str], **changes: object) -> Results:
    """The run with other values in the deciding row of a (task or level, candidate)."""
    hit = {c for c in run.comparisons if c.primary and c.candidate == at[1] and at[0] in (c.task, c.level)}
    return replace(run, comparisons=tuple(replace(c, **changes) if c in hit else c for c in run.comparisons))  # type: ignore[arg-type]


def _headline(results: Results) -> tuple[str, ...]:
    return headline(candidate_order(results).candidates)


def _why(results: Results, name: str) -> str:
    return why(results, next(each for each in candidate_order(results).candidates if each.name == name))


def test_the_headline_names_who_may_ship_first(run: Results, only_base: Results) -> None:
    assert _headline(run) == (
        "lora-r8 may ship",
        "lora-slow may, too, but did not learn topics",
        "prompt-16 is undecided",
        "full-low and full-high may not",
    )
    assert _headline(only_base) == ("Nothing to compare",)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("lora-r8",), "lora-r8 may ship"),
        (("lora-slow",), "lora-slow did not learn topics, though it may ship"),
        (("lora-slow", "full-low"), "lora-slow did not learn topics, though it may ship; full-low may not"),
        (("prompt-16",), "prompt-16 is undecided"),
        (("full-high",), "full-high may not ship"),
        (("full-high", "full-low"), "None of the 2 candidates may ship"),
        (("prompt-16", "full-low"), "No candidate may ship; prompt-16 is undecided; full-low may not"),
        (("lora-r8", "full-low"), "lora-r8 may ship; full-low may not"),
    ],
)
def test_headlines_of_other_runs(run: Results, names: tuple[str, ...], says: str) -> None:
    assert "; ".join(_headline(_only(run, *names))) == says


def _copies(run: Results, names: Mapping[str, str]) -> Results:
    """Candidates of the run under new names: new name to old."""
    models = {model.name: model for model in run.models}
    rows = [replace(c, candidate=new) for new, old in names.items() for c in run.comparisons if c.candidate == old]
    made = [replace(models[old], name=new) for new, old in names.items()]
    return replace(run, models=(run.models[0], *made), comparisons=tuple(rows))


def test_of_many_alike_some_are_named_and_the_others_counted(run: Results) -> None:
    lost, kept = {f"f{i}": "full-high" for i in range(5)}, {f"k{i}": "lora-r8" for i in range(5)}
    assert _headline(_copies(run, {"k": "lora-r8", **lost})) == ("k may ship", "the other 5 may not")
    assert _headline(_copies(run, {"f": "full-high", **kept})) == ("k0, k1 and 3 more may ship", "f may not")
    assert _headline(_copies(run, kept)) == ("All 5 candidates may ship",)
    nothing = {"n1": "lora-slow", "n2": "lora-slow"}
    assert _headline(_copies(run, nothing)) == ("Neither candidate learned topics, though both may ship",)
    undecided = {"u1": "prompt-16", "u2": "prompt-16"}
    assert _headline(_copies(run, undecided)) == ("Both candidates are undecided",)


def test_the_order_is_that_of_the_decision_then_of_what_was_learned_and_lost(run: Results) -> None:
    assert [(each.name, int(each.decision.exit_code)) for each in candidate_order(run).candidates] == [
        ("lora-r8", 0), ("lora-slow", 0), ("prompt-16", 4), ("full-low", 3), ("full-high", 3)
    ]  # fmt: skip


def test_why_each_may_or_may_not(run: Results) -> None:
    bounded = _changed(run, ("wmt16-en-de", "lora-r8"), span=100.0)
    says = _why(bounded, "lora-r8")
    assert says.startswith(
        "learned topics (+62.0 points) and kept on average what the base could do, and no task is shown to have lost "
        "more than its margin; its worst task is "
    )
    assert re.fullmatch(r"dialogsum: −0\.6 points \[−\d\.\d, [+−]?\d\.\d\]", says.split("its worst task is ")[1])
    assert _why(run, "lora-r8").endswith("; on wmt16-en-de no loss is excluded")
    assert "but did not learn topics (+0.8 points)" in _why(run, "lora-slow")
    low = "lost more than the margin of 2.0 points on dialogsum: −5.2 points [−6."
    assert _why(run, "full-low").startswith(low)
    assert _why(run, "full-high") == "lost most of what the base could do, and kept 20 % of it"
    half = _changed(run, ("suite", "full-high"), retention=Estimate(value=0.6))
    says = _why(half, "full-high")
    assert says.startswith("lost more than the margin of 2.0 points on dialogsum: −58.0 points [")
    assert says.endswith("]; also on 7 other tasks")


def test_who_lost_most_is_told_together_and_only_the_first_pass_at_length(run: Results) -> None:
    many = _copies(run, {"a": "lora-r8", "b": "lora-r8", "x": "full-high", "y": "full-high"})
    told = statements(many, candidate_order(many).candidates)
    assert [each.names for each in told] == [("a",), ("b",), ("x", "y")]
    assert "no task is shown" in told[0].says and "no task is shown" not in told[1].says
    assert told[2].says == "lost most of what the base could do: x kept 20 % of it and y 20 %"


def test_why_it_is_undecided(run: Results) -> None:
    assert _why(run, "prompt-16").startswith("is neither shown to have kept on average what the base could do, nor")
    suspect = _changed(run, ("sst2", "prompt-16"), verdict="inconclusive", flags=("suspect",))
    assert _why(suspect, "prompt-16").startswith("may have lost more than the margin on sst2; ")
    policy = Policy(ceilings={"sst2": 0.001})
    strict = replace(run, signature={**run.signature, "policy": policy.facts(run.signature)})
    assert "may lose more than the ceiling on sst2" in _why(strict, "prompt-16")


def test_a_policy_that_lets_pass_what_is_undecided_is_named(run: Results) -> None:
    policy = Policy(on_inconclusive=OnInconclusive.PASS)
    lenient = replace(run, signature={**run.signature, "policy": policy.facts(run.signature)})
    assert _why(lenient, "prompt-16").startswith(
        "is neither shown to have lost the tasks nor to have kept them, and the policy lets that pass; "
    )


def _judged_by(run: Results, policy: Policy) -> Results:
    return replace(run, signature={**run.signature, "policy": policy.facts(run.signature)})


def test_what_a_policy_excuses_is_said_to_be_lost(run: Results) -> None:
    waiver = Waiver(unit="dialogsum", reason="summaries are not used", expires=date(9999, 1, 1))
    retained = _changed(run, ("suite", "full-low"), verdict="retained")
    waived = _judged_by(retained, Policy(waivers=(waiver,)))
    assert "full-low" in _headline(waived)[0]
    assert (
        "kept on average what the base could do, but lost more than the margin on dialogsum, which the policy"
        in _why(waived, "full-low")
    )
    warned = _judged_by(_only(run, "full-high"), Policy(severity=Severity.WARN))
    assert "lost more than the margin over all tasks together, which the policy lets pass" in _why(warned, "full-high")


def test_unfit_answers_and_what_was_not_asked(run: Results) -> None:
    shares = UnfitShares(truncated=0.0, unparsed=0.3, empty=0.0, failed=0.0)
    fit = replace(shares, unparsed=0.0)
    rows = tuple(replace(c, unfit=shares if c.task == "sst2" else fit) for c in run.comparisons)
    limited = _judged_by(replace(run, comparisons=rows), Policy(limits={"unparsed": 0.1}))
    assert _why(limited, "lora-r8") == "gives more unfit answers than the policy allows on sst2"
    required = _judged_by(run, Policy(require=("wsc",)))
    assert _why(required, "lora-r8") == "is incomplete: the policy requires wsc, which was not asked"


def test_a_loss_over_the_suite_alone(run: Results) -> None:
    rows = tuple(replace(c, verdict="inconclusive") if c.is_gate_unit else c for c in run.comparisons)
    assert _why(replace(run, comparisons=rows), "full-high") == (
        "lost more than the margin over all tasks together: on average 17.0 margins"
    )


def test_a_target_that_was_not_measured(run: Results) -> None:
    models = tuple(replace(m, target_task="poems", learned_target=None, target_gain=None) for m in run.models)
    assert "whether it learned poems was not measured" in _why(replace(run, models=models), "lora-r8")


def test_troubles_make_only_those_incomplete_whom_they_touch(run: Results) -> None:
    own = replace(run, errors=(ExampleError(task="sst2", model="lora-r8", example="1", reason="broken"),))
    assert [(each.name, int(each.decision.exit_code)) for each in candidate_order(own).candidates] == [
        ("lora-slow", 0), ("prompt-16", 4), ("full-low", 3), ("full-high", 3), ("lora-r8", 5)
    ]  # fmt: skip
    assert _why(own, "lora-r8") == "has 1 example without an answer"
    of_base = replace(run, errors=(ExampleError(task="sst2", model="tiny-base", example="1", reason="broken"),))
    assert _headline(of_base) == ("All 5 candidates are incomplete",)
    assert {each.standing for each in candidate_order(of_base).candidates} == {Standing.INCOMPLETE}
    assert "so far it lost more than the margin on " in _why(of_base, "full-high")


def test_what_was_not_measured_is_no_zero(half_measured: Results) -> None:
    assert _why(half_measured, "full-low").startswith("is incomplete: nothing was measured of full-low over demo")
    ship: list[Comparison] = [c for c in half_measured.comparisons if c.candidate == "full-high"]
    assert ship and _headline(half_measured)[-1] == "full-low is incomplete"
