"""Read the options of the engine `openai`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evalharness.engines import OPTIONS
from evalharness.engines.base import check_options
from evalharness.engines.option_values import number_option, whole_option
from evalharness.errors import UsageError
from evalharness.openai_api.limits import RequestBudget, RequestLimits
from evalharness.records.models import NEAR_TIES, EngineSettings

OPTION = "--engine-option"
COMPLETIONS, CHAT = "completions", "chat"
_begun: list[tuple[Mapping[str, str], RequestBudget]] = []  # the options of the latest run


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The options of requests to a server.

    `tokenizer`: a directory with its models' tokenizer, None without one. `chat`: whether every prompt of a task that
    writes is sent as one user message. `window`: the most tokens of prompt and answer, for a server that does not say;
    None: not stated. `dtype`: the server's type of numbers, "" if it is not stated. `limits`: of time, attempts and
    number of requests.
    """

    tokenizer: Path | None = None
    chat: bool = False
    window: int | None = None
    dtype: str = ""
    limits: RequestLimits = field(default_factory=RequestLimits)


def limits_of_run(settings: EngineSettings) -> RequestLimits | None:
    """Return the limits of a run's requests, from the recognition of its models on; None for another engine. Requests
    under them count for the engine that the same options open next. Raises UsageError as `options_of` does.
    """
    _begun.clear()
    if settings.name != "openai":
        return None
    limits = options_of(settings).limits
    _begun.append((settings.options, limits.budget))
    return limits


def _budget_of(settings: EngineSettings) -> RequestBudget:
    return next((budget for begun, budget in _begun if begun is settings.options), None) or RequestBudget()


def options_of(settings: EngineSettings) -> ServerOptions:
    """Read the options. Raises UsageError for one that is unknown or malformed."""
    check_options(settings, OPTIONS["openai"])
    texts, usual = settings.options, RequestLimits()
    endpoint, dtype = texts.get("endpoint", COMPLETIONS), texts.get("dtype", "")
    if endpoint not in (COMPLETIONS, CHAT):
        raise UsageError(OPTION, f"endpoint={endpoint}", f"{COMPLETIONS} or {CHAT} would be right")
    if dtype and dtype not in NEAR_TIES:
        raise UsageError(OPTION, f"dtype={dtype}", f"{', '.join(NEAR_TIES)} would be right")
    tokenizer = Path(texts["tokenizer"]).expanduser() if "tokenizer" in texts else None
    if tokenizer is not None and not tokenizer.is_dir():
        what = f"tokenizer={tokenizer} is no directory"
        raise UsageError(OPTION, what, "a directory with the tokenizer of the served model would be right")
    wait = number_option(settings, "wait", usual.first_wait)
    limits = RequestLimits(
        concurrency=whole_option(settings, "concurrency") or usual.concurrency,
        timeout=number_option(settings, "timeout", usual.timeout),
        attempts=whole_option(settings, "attempts") or usual.attempts,
        most_requests=whole_option(settings, "most_requests"),
        first_wait=wait,
        longest_wait=wait * usual.longest_wait / usual.first_wait,
        budget=_budget_of(settings),
    )
    window = whole_option(settings, "window")
    return ServerOptions(tokenizer=tokenizer, chat=endpoint == CHAT, window=window, dtype=dtype, limits=limits)
