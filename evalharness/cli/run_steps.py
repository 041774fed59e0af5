"""Execute `evalharness run`: check the options, evaluate, print the verdicts, write the report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalharness import registry, report
from evalharness import run as stages
from evalharness.analysis.policy_file import policy_of
from evalharness.cli import progress
from evalharness.cli.gate_output import GateOutput
from evalharness.cli.option_texts import job_options, paths
from evalharness.cli.printing import print_json, print_line, print_lines, terminal_width
from evalharness.errors import NotComparableError, UsageError
from evalharness.records.job import Job
from evalharness.records.job_options import make_job
from evalharness.records.results import Results
from evalharness.results import RESULTS
from evalharness.run.checks import check_job, check_paths
from evalharness.run.output_folder import held_output

GATE = {  # imports scipy, which is slow
    "after_run": "evalharness.cli.gate:after_run",
    "check_places": "evalharness.cli.gate_places:check_job_places",
}


def run(options: Mapping[str, Any]) -> int:
    """Run the evaluation that the options describe, and return the exit code."""
    job, output = _job(options), GateOutput.from_options(options)
    check_job(job)
    if options["gate"]:
        registry.find(GATE, "check_places", "stage")(output, job)
        registry.find(stages.REGISTRY, "check_policy", "stage")(job)
    with held_output(job) as job, progress.listener(options["quiet"], options["verbose"]) as listener:
        evaluate = registry.find(stages.REGISTRY, "evaluate", "stage")
        write_report, run_lines = (registry.find(report.REGISTRY, name, "stage") for name in ("write", "terminal"))
        results: Results = evaluate(job, listener)
        listener.phase("writing the report")
        page: Path = write_report(job.output.folder)
        document = (job.output.folder / RESULTS).read_text(encoding="utf-8") if options["as_json"] else ""
    if not options["as_json"]:
        print_lines(run_lines(results, terminal_width()))
        print_line(f"\nreport: {page}")
        if job.policy.files:
            print_line(f"policy: {', '.join(job.policy.files)}")
        if not options["gate"]:
            print_line(f"gate:   evalharness gate {shlex.quote(str(job.output.folder))}")
    if options["gate"]:
        return int(registry.find(GATE, "after_run", "stage")(job.output.folder, results, job.policy, output, document))
    if options["as_json"]:
        print_json(document)
    return NotComparableError.exit_code if results.errors else 0


def _job(options: Mapping[str, Any]) -> Job:
    """Return the Job that the options describe. Raises UsageError if they contradict one another."""
    if not options["models"]:
        raise UsageError("run", "no candidate", "name one or more with --model [NAME=]PATH")
    policy = policy_of(options["policy_text"])
    if not (options["suite"] or options["tasks"] or policy.suite):
        raise UsageError("run", "nothing to evaluate", "name a --suite or one or more --task")
    ways = tuple(way.strip() for way in (options["describe"] or "").split(",") if way.strip())
    train_data = _train_data(options["train_data"])
    job_values = job_options({**options, "describe": ways, "train_data": train_data})
    return make_job(options["models"], options["suite"], policy, **job_values)


def _train_data(texts: Sequence[str]) -> dict[str, Path]:
    """Parse [NAME=]PATH texts: return paths by the candidate's name, "" standing for all candidates. Raises
    UsageError.
    """
    of_all = [text for text in texts if "=" not in text or Path(text).exists()]
    if len(of_all) > 1:
        fix = "give one folder that holds all, or NAME=PATH for one of them"
        raise UsageError("--train-data", f"several for all candidates ({', '.join(of_all)})", fix)
    rows = paths("--train-data", [text for text in texts if text not in of_all])
    if of_all:
        rows[""] = Path(of_all[0])
        check_paths({"--train-data": rows[""]})
    return rows
