"""Write into docs/plan.md what each shipped suite can decide at its sizes, and what `plan` says of the demo's gate.

python docs/make_suites_table.py        (some minutes; tests/test_docs_tables.py holds that it names what is shipped)

Rows need not be there: the embedded ones are read, for all others the published number of rows is taken, cut to the
suite's limits. BIG-bench's are those of its data set card, which could not all be confirmed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalharness.data.sources import DataSource
from evalharness.experiments.forecast import Forecast
from evalharness.experiments.forecast_text import lines
from evalharness.experiments.jobs import ForecastJob
from evalharness.experiments.power_forecast import NO_MODEL, forecast_tasks
from evalharness.paths import shipped
from evalharness.records.job_options import make_job
from evalharness.records.requests import Example, PreparedTask
from evalharness.records.tasks import Suite, Task
from evalharness.run.plan import RunPlan
from evalharness.run.progress import SilentListener
from evalharness.stats.gate_forecast import GateOdds
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare

PAGE = Path(__file__).resolve().parent / "plan.md"
SUITES, GATE = "suites", "gate of the demo"  # what is written, between marks
DEMO = "demo"
FLIPS = (0.05, 0.1, 0.2)
USUAL = FLIPS[1]
PUBLISHED = {  # rows of the evaluated split
    "cola": 1043, "sst2": 872, "mrpc": 408, "stsb": 1500, "qqp": 40430, "mnli": 9815, "mnli_mismatch": 9832,
    "qnli": 5463, "rte": 277, "wnli": 71,
    "boolq": 3270, "cb": 56, "copa": 100, "multirc": 4848, "record": 10000, "sglue_rte": 277, "wic": 638, "wsc": 104,
    "dialogsum": 500, "samsum": 819, "xsum": 11334, "cnn_dailymail": 11490, "wmt14-en-fr": 3003, "wmt16-de-en": 2999,
    "arc_easy": 2376, "arc_challenge": 1172, "hellaswag": 10042, "piqa": 1838, "winogrande": 1267, "gsm8k": 1319,
    "lambada_openai": 5153,
    "behaviour_instructions": 226, "behaviour_over_refusal": 64, "behaviour_under_refusal": 64,
    "behaviour_language": 150, "behaviour_needles": 80,
}  # fmt: skip
BIGBENCH = {
    "auto_debugging": 34, "bbq_lite_json": 16076, "code_line_description": 60, "conceptual_combinations": 103,
    "conlang_translation": 164, "emoji_movie": 100, "formal_fallacies_syllogisms_negation": 14200,
    "hindu_knowledge": 175, "known_unknowns": 46, "language_identification": 10000, "linguistics_puzzles": 2000,
    "logic_grid_puzzle": 1000, "logical_deduction": 1500, "misconceptions_russian": 49, "novel_concepts": 32,
    "operators": 210, "parsinlu_reading_comprehension": 518, "play_dialog_same_or_different": 3264,
    "repeat_copy_logic": 32, "strange_stories": 174, "strategyqa": 2289, "symbol_interpretation": 990,
    "vitaminc_fact_verification": 54668, "winowhy": 2862,
}  # fmt: skip
BBH, BBH_OTHERS = 250, {"causal_judgement": 187, "penguins_in_a_table": 146, "snarks": 178}
MMLU, SUBJECTS = 14042, 57  # subjects differ in size, but are pooled
HEADER = (
    "suite", "gate units", "forecast", "answers a unit", "the suite excludes a mean loss of", "passes",
    "one unit loses 1 / 2 / 3 margins: passes", "that unit is found",
)  # fmt: skip


def rows_of(task: str) -> int:
    """The published number of rows of a task. Raises KeyError."""
    if task in PUBLISHED:
        return PUBLISHED[task]
    if task.startswith("mmlu_"):
        return MMLU // SUBJECTS + (MMLU % SUBJECTS if task == "mmlu_professional_law" else 0)
    if task.startswith("bbh_"):
        return BBH_OTHERS.get(task.removeprefix("bbh_").removesuffix("_cot"), BBH)
    return BIGBENCH[re.sub("^bigbench_|_(multiple_choice|generate_until)$", "", task)]


@dataclass(frozen=True)
class SuiteForecasts:
    """The forecasts of a suite, one for each share of changes of FLIPS."""

    name: str
    forecasts: tuple[Forecast, ...]

    def cells(self) -> Sequence[str]:
        usual = self.forecasts[FLIPS.index(USUAL)]
        sizes = [row.units for row in usual.rows if row.name in usual.gate_over]
        head = (f"`{self.name}`", str(usual.tests), str(len(sizes)))
        if usual.gate is None:
            return (*head, "–", "not known without an earlier run", "–", "–", "–")
        answers = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
        gates = [each.gate for each in self.forecasts if each.gate]
        losing = usual.gate.losing
        return (
            *head,
            answers,
            " / ".join(map(_excluded, gates)),
            " / ".join(_percent(gate.passes) for gate in gates),
            " / ".join(_percent(each.passes) for each in losing),
            " / ".join(_percent(each.found) for each in losing),
        )


def _excluded(gate: GateOdds) -> str:
    return "none" if gate.certifiable is None else f"{gate.certifiable:.2g}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def prepared(task: Task, limit: int | None) -> PreparedTask:
    """The task with as many examples as it would be asked, of which nothing is known but that they are different."""
    rows = rows_of(task.origin)
    examples = tuple(Example(id=f"{i}-", unit=f"{i}", prompt="") for i in range(min(rows, limit or rows)))
    return PreparedTask(
        task=task,
        examples=examples,
        requests=(),
        failures=(),
        available=rows,
        data_digest="",
        prompts_digest="",
        chance=task.chance,
    )


def plan_of(suite: Suite, library: Library) -> RunPlan:
    """The plan of the suite, whether its rows are there or not."""
    return RunPlan(
        tasks=tuple(map(library.task, suite.tasks)),
        suite=suite,
        groups=suite.groups,
        base=NO_MODEL,
        candidates=(),
        source=DataSource(shipped=shipped(suite.data) if suite.data else None),
        split=suite.split,
        limit=suite.limit,
        num_fewshot=suite.num_fewshot,
        limits=suite.limits,
        fewshots=suite.fewshots,
    )


def forecasts(name: str, shares: Sequence[float] = FLIPS) -> SuiteForecasts:
    """Forecast a suite at each of the shares of changes."""
    library = Library()
    suite = library.suite(name)
    plan = plan_of(suite, library)
    if suite.data:
        settings = [PromptSettings(num_fewshot=0, limit=plan.limit_of(task), split=plan.split) for task in plan.tasks]
        tasks = [prepare(task, plan.source, each) for task, each in zip(plan.tasks, settings, strict=True)]
    else:
        tasks = [prepared(task, plan.limit_of(task)) for task in plan.tasks]
    jobs = [ForecastJob(job=make_job((), name), flips=flips) for flips in shares]
    return SuiteForecasts(name, tuple(forecast_tasks(job, plan, tasks, SilentListener()) for job in jobs))


def table(suites: Sequence[SuiteForecasts]) -> str:
    """The table as Markdown."""
    rows = [HEADER, ["---"] * len(HEADER), *(suite.cells() for suite in suites)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def gate(demo: SuiteForecasts) -> str:
    """What `evalharness plan --suite demo` says of the gate, as a block of Markdown."""
    text = "\n".join(lines(demo.forecasts[FLIPS.index(USUAL)]))
    return f"```text\n{text[text.index('gate over') :]}\n```\n"


def parts(page: str, mark: str) -> tuple[str, str, str]:
    """The page before, between and after the marks. Raises ValueError where they are not there."""
    before, rest = page.split(f"<!-- {mark}: docs/make_suites_table.py -->\n")
    between, after = rest.split(f"<!-- end of {mark} -->\n")
    return f"{before}<!-- {mark}: docs/make_suites_table.py -->\n", between, f"<!-- end of {mark} -->\n{after}"


if __name__ == "__main__":
    every = [forecasts(suite) for suite in Library().suites()]
    page = PAGE.read_text("utf-8")
    for mark, text in ((SUITES, table(every)), (GATE, gate(next(each for each in every if each.name == DEMO)))):
        before, _, after = parts(page, mark)
        page = before + text + after
    PAGE.write_text(page, "utf-8")
