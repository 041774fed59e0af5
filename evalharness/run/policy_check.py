"""Check before anything is asked that a run can be judged by its policy; it imports statistics, which other checks do
without.
"""

from __future__ import annotations

from evalharness.analysis.baseline_file import place_of, read_file
from evalharness.errors import UsageError
from evalharness.records.job import Job
from evalharness.tasks.library import Library


def check_policy(job: Job) -> None:
    """Check that what a job asks is what its policy says must be asked, before anything is. Raises UsageError, and
    NotComparableError for a damaged baseline file.
    """
    library, tasks, policy = Library(job.tasks.include), job.tasks, job.policy
    where = policy.source("suite")
    if policy.looks_at_baseline:
        read_file(place_of(policy))
    if policy.suite is not None and policy.suite != tasks.suite:
        what = f"asks for the suite {policy.suite}, and this run is to ask {tasks.suite or 'none'}"
        raise UsageError(f"{where}: suite", what, "give no --task and no other --suite, or gate without the policy")
    suite = library.suite(tasks.suite) if tasks.suite else None
    named = {*(suite.tasks if suite else ()), *(group.name for group in (suite.groups if suite else ())), *tasks.names}
    named |= {task.name for task in library.select(tasks.names)}
    if missing := [name for name in policy.require if name not in named]:
        where = f"{policy.source('require')}: require"
        raise UsageError(where, f"{missing[0]} is not among what this run is to ask", "name it with --task, too")
