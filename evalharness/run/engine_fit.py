"""Check that the engine of a job suits its models: checkpoint files, or models behind a server."""

from __future__ import annotations

from evalharness import engines
from evalharness.checkpoints.naming import parse
from evalharness.errors import UsageError
from evalharness.records.job import Job


def check_engine_fits(job: Job) -> None:
    """Check that the engine suits the job's models. Raises UsageError for a path if the engine asks servers, and for an
    address if it reads files. Engines of other packages check this themselves.
    """
    name = job.engine.name
    for text in filter(None, (job.models.base, *job.models.candidates)):
        spec = parse(text)
        if spec.served is not None and name in engines.OF_FILES:
            what = f"is a model behind a server, and the engine {name} reads files"
            raise UsageError(spec.location, what, f"--engine {engines.OF_SERVERS[0]} asks servers")
        if spec.served is None and name in engines.OF_SERVERS:
            what = f"is no model behind a server, as the engine {name} asks them"
            raise UsageError(text, what, "write [NAME=]URL#MODEL, or have files answered by --engine hf")
