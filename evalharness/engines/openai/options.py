"""Read the options of the engine `openai`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evalharness.engines import OPTIONS
from evalharness.engines.base import check_options
from evalharness.errors import UsageError
from evalharness.openai_api.limits import RequestBudget, RequestLimits
from evalharness.records.models import NEAR_TIES, EngineSettings

OPTION = "--engine-option"
COMPLETIONS, CHAT = "completions", "chat"
_begun: list[tuple[Mapping[str, str], RequestBudget]] = []  # the options of the latest run


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How a server is asked. `tokenizer`: a directory with its models' tokenizer; `chat`: every prompt of a written
    task is one user message; `window`: tokens of prompt and answer, where the server does not say; `dtype`: what the
    server computes in, "" where that is not stated.
    """

    tokenizer: Path | None = None
    chat: bool = False
    window: int | None = None
    dtype: str = ""
    limits: RequestLimits = field(default_factory=RequestLimits)


def limits_of_run(settings: EngineSettings) -> RequestLimits | None:
    """The limits of a run's requests, from the recognition of its models on; None for another engine. What is sent by
    them counts for the engine that the same options open next. Raises UsageError as `options_of`.
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
    """The options as they are given. Raises UsageError for one that is unknown or of another form."""
    check_options(settings, OPTIONS["openai"])
    given, usual = settings.options, RequestLimits()
    endpoint, dtype = given.get("endpoint", COMPLETIONS), given.get("dtype", "")
    if endpoint not in (COMPLETIONS, CHAT):
        raise UsageError(OPTION, f"endpoint={endpoint}", f"{COMPLETIONS} or {CHAT} would be right")
    if dtype and dtype not in NEAR_TIES:
        raise UsageError(OPTION, f"dtype={dtype}", f"{', '.join(NEAR_TIES)} would be right")
    tokenizer = Path(given["tokenizer"]).expanduser() if "tokenizer" in given else None
    if tokenizer is not None and not tokenizer.is_dir():
        what = f"tokenizer={tokenizer} is no directory"
        raise UsageError(OPTION, what, "a directory with the tokenizer of the served model would be right")
    wait = _seconds(given, "wait") or usual.first_wait
    limits = RequestLimits(
        concurrency=_whole(given, "concurrency") or usual.concurrency,
        timeout=_seconds(given, "timeout") or usual.timeout,
        attempts=_whole(given, "attempts") or usual.attempts,
        most_requests=_whole(given, "most_requests"),
        first_wait=wait,
        longest_wait=wait * usual.longest_wait / usual.first_wait,
        budget=_budget_of(settings),
    )
    window = _whole(given, "window")
    return ServerOptions(tokenizer=tokenizer, chat=endpoint == CHAT, window=window, dtype=dtype, limits=limits)


def _whole(given: Mapping[str, str], name: str) -> int | None:
    if name not in given:
        return None
    text = given[name]
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise UsageError(OPTION, f"{name}={text}", "a whole number above 0 would be right")
    return int(text)


def _seconds(given: Mapping[str, str], name: str) -> float | None:
    if name not in given:
        return None
    try:
        seconds = float(given[name])
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise UsageError(OPTION, f"{name}={given[name]}", "a number of seconds above 0 would be right")
    return seconds
