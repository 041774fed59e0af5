"""Check, before any request, that a run asks all that its gate policy requires.

This is a file of its own because it imports statistics, which the other checks do not need.
"""

from __future__ import annotations

from evalharness.analysis.baseline_file import place_of, read_file
from evalharness.errors import UsageError
from evalharness.records.job import Job
from evalharness.tasks.library import Library


def check_policy(job: Job) -> None:
    """Check that a job asks the suite and the tasks that its policy requires. Raises UsageError, and NotComparableError
    for a damaged baseline file.
    """
    library, tasks, policy = Library(job.tasks.include), job.tasks, job.policy
    where = policy.source("suite")
    if policy.looks_at_baseline:
        read_file(place_of(policy))
    if policy.suite is not None and policy.suite != tasks.suite:
        what = f"asks for the suite {policy.suite}, and this run is to ask {tasks.suite or 'none'}"
        raise UsageError(f"{where}: suite", what, "give no --task and no other --suite, or gate without the policy")
    suite = library.suite(tasks.suite) if tasks.suite else None
    names = {*(suite.tasks if suite else ()), *(group.name for group in (suite.groups if suite else ())), *tasks.names}
    names |= {task.name for task in library.select(tasks.names)}
    if missing := [name for name in policy.require if name not in names]:
        where = f"{policy.source('require')}: require"
        raise UsageError(where, f"{missing[0]} is not among what this run is to ask", "name it with --task, too")
