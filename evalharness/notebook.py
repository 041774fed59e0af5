"""Define results and forecasts as objects for a notebook: they show themselves, and have methods for the next steps.

Both are facades over the records; heavy modules are imported when a method needs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evalharness import registry, report
from evalharness.analysis.baseline_gate import decide
from evalharness.analysis.candidate_order import STANDINGS, candidate_order
from evalharness.analysis.gate import Decision
from evalharness.analysis.judging import judged_by, judged_results
from evalharness.analysis.policy_file import read_policy
from evalharness.experiments.forecast import Forecast
from evalharness.experiments.forecast_text import document, lines
from evalharness.records.comparison import Comparison
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import ExampleError
from evalharness.records.option_types import check_options
from evalharness.records.policy import Policy
from evalharness.records.results import ModelRow, Results
from evalharness.results import RESULTS, save, write_text
from evalharness.run.checks import check_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

PLAN = "plan.json"
FigureName = Literal["tradeoff", "forest"]


@dataclass(frozen=True, slots=True, repr=False)
class RunResults:
    """The results of a run or a comparison, as `evalharness.Results`.

    `record`: the content of results.json. `folder`: of the run's files; None: there are none. `measured`: the
    measurements of a comparison without a folder. Two objects are equal if their records are.
    """

    record: Results
    folder: Path | None = field(default=None, compare=False)
    measured: MeasuredRun | None = field(default=None, compare=False)

    @classmethod
    def load(cls, run: str | Path) -> RunResults:
        """Return the results of a finished run's folder by this version's rule. Raises UsageError if it holds none."""
        check_options({"run": run}, {"run": str | Path})
        path = Path(run)
        return cls(judged_results(path)[0], path.parent if path.name == RESULTS else path)

    def __repr__(self) -> str:
        """Return a summary: which candidates may ship."""
        order = candidate_order(self.record).candidates
        return self.record.summary([f"{each.name} {STANDINGS[each.decision.exit_code]}" for each in order])

    def _repr_html_(self) -> str:
        """Return which candidates may ship, in one sentence, and a line for each candidate."""
        return str(registry.find(report.REGISTRY, "first_screen", "view")(self.record))

    @property
    def candidates(self) -> tuple[str, ...]:
        """The names of the candidates."""
        return self.record.candidates

    @property
    def models(self) -> tuple[ModelRow, ...]:
        """The base, the candidates, and the reference models."""
        return self.record.models

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """A row for each candidate, metric, and task, group, family or suite."""
        return self.record.comparisons

    @property
    def errors(self) -> tuple[ExampleError, ...]:
        """The examples that got no answer. If there are any, the run is incomplete."""
        return self.record.errors

    @property
    def signature(self) -> Mapping[str, Any]:
        """The facts that say how everything was measured and judged."""
        return self.record.signature

    def to_pandas(self) -> DataFrame:
        """Return a table with a row for each comparison; numbers in the metric's unit, empty if nothing was
        measured.
        """
        return registry.find(report.REGISTRY, "frame", "view")(self.record)

    def plot(self, figure: FigureName | None = None) -> Figure:
        """Return a matplotlib Figure that needs no display and no pyplot.

        "tradeoff" shows what was learned against what was forgotten; "forest" shows every difference with its interval;
        None: the first of them that the results allow. Raises UsageError if there is nothing to draw.
        """
        check_options({"figure": figure}, {"figure": FigureName | None})
        plot: Figure = registry.find(report.REGISTRY, "figure", "figure")(self.record, figure)
        return plot

    def gate(self, policy: str | Path | Policy | None = None, *, candidates: Sequence[str] = ()) -> Decision:
        """Decide whether the candidates may ship.

        `policy`: a policy or its file; None: the defaults, and no file is read. `candidates`: decide on these; None: on
        all. `evalharness.gate` also takes single options. Raises UsageError.
        """
        check_options({"candidates": candidates}, {"candidates": Sequence[str]})
        return self.decide(as_policy(policy), candidates)

    def decide(self, policy: Policy, candidates: Sequence[str] = ()) -> Decision:
        """Decide by a policy, as `gate` does. The measurements are read only if its margins differ from those of the
        verdicts.
        """
        judged, _ = judged_by(self.record, policy, self.folder)
        return decide(self.folder, judged, policy, candidates)

    def examples(self, task: str, *, candidates: str | Sequence[str] = (), lost: bool = False) -> DataFrame:
        """Return the outputs of base and candidates on a task or group: a row for each example and candidate.

        `lost`: True: only examples that a candidate lost, the largest losses first. Raises UsageError if the texts are
        missing.
        """
        names = (candidates,) if isinstance(candidates, str) else candidates
        return registry.find(report.REGISTRY, "examples", "view")(self.folder, self.record, task, names, lost)

    def save(self, folder: str | Path) -> Path:
        """Write results, measurements and samples into a folder, over an older run in it, and return the folder.

        `load` and `evalharness gate`, `compare` and `report` read it. Into the results' own folder nothing is written.
        Raises UsageError and StoreError.
        """
        out = _folder(folder)
        check_output(out)
        if self.folder is None or self.folder.resolve() != out.resolve():
            save(out, self.record, self.measured, self.folder)
        return out


@dataclass(frozen=True, slots=True, repr=False)
class PlanResults:
    """The forecast that `evalharness.plan` returns: what a comparison could decide. `forecast`: the content of
    plan.json.
    """

    forecast: Forecast

    def __repr__(self) -> str:
        of, odds = self.forecast, self.forecast.gate
        passes = f"; the gate passes {odds.passes:.0%} of the time if nothing is lost" if odds else ""
        return f"Plan({of.suite}: {of.tests} gate units{passes})"

    def __str__(self) -> str:
        """Return the lines that `evalharness plan` prints."""
        return "\n".join(lines(self.forecast))

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def save(self, folder: str | Path) -> Path:
        """Write plan.json into a folder, and return the folder. Raises UsageError and StoreError."""
        out = _folder(folder)
        check_output(out)
        write_text(out / PLAN, document(self.forecast))
        return out


def as_policy(policy: str | Path | Policy | None) -> Policy:
    """Return the policy itself, or the one in a file, or the default one for None. Raises UsageError."""
    check_options({"policy": policy}, {"policy": str | Path | Policy | None})
    if policy is None or isinstance(policy, Policy):
        return policy or Policy()
    return read_policy(Path(policy))


def _folder(folder: str | Path) -> Path:
    check_options({"folder": folder}, {"folder": str | Path})
    return Path(folder)
