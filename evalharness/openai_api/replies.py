"""Judge what came back from one HTTP request: an answer, or trouble and whether the same request may do better."""

from __future__ import annotations

import html
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, quote_plus

from evalharness.errors import UsageError

KEYS = ("EVALHARNESS_API_KEY", "OPENAI_API_KEY")  # environment variables; the first that is set
SHOWN = 200  # characters of a server's own words in an error
HIDDEN = "[key]"
OVERLOADED = (408, 429, 503, 529)
REFUSED = (401, 403)
ESCAPES: tuple[Callable[[str], str], ...] = (
    lambda text: json.dumps(text)[1:-1],
    lambda text: repr(text)[1:-1],
    lambda text: quote(text, safe=""),
    quote,
    quote_plus,
    html.escape,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiFailure:
    """A request that got no answer, and why. `status`: of HTTP, None where there was none."""

    reason: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong with one reply. `again`: the same request may do better; `overloaded`: at a slower pace; `lost`:
    nobody may be there; `absent`: no connection could be made; `wait`: seconds that the server asks for.
    """

    reason: str
    status: int | None = None
    again: bool = False
    overloaded: bool = False
    lost: bool = False
    absent: bool = False
    wait: float | None = None


def api_key() -> str:
    """The key that the environment holds, "" where none."""
    return os.environ.get(_key_name(), "").strip()


def checked_key() -> str:
    """The key as a header can carry it. Raises UsageError where none can."""
    key = api_key()
    if not all(" " <= character <= "~" for character in key):
        what = "holds a line break, or another character that no header of HTTP carries"
        raise UsageError(_key_name(), what, "a key of printable ASCII characters would be right")
    return key


def _key_name() -> str:
    return next((name for name in KEYS if os.environ.get(name, "").strip()), KEYS[0])


def judged(status: int, headers: Mapping[str, str], content: bytes) -> dict[str, Any] | Trouble:
    """The answer in a reply, a JSON object; else what is wrong."""
    kind = headers.get("content-type", "")
    if 300 <= status < 400:
        return Trouble(reason=f"redirects to {shown(headers.get('location', 'nowhere'))}", status=status)
    if status >= 400:
        overloaded = status in OVERLOADED
        wait = seconds_to_wait(headers.get("retry-after", "")) if overloaded or status >= 500 else None
        reason = f"HTTP status {status}" + (f" ({words})" if (words := _words_of(content, kind)) else "")
        again = overloaded or status >= 500
        return Trouble(reason=reason, status=status, again=again, overloaded=overloaded, wait=wait)
    if "html" in kind:
        return Trouble(reason="a web page instead of JSON", status=status)
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return Trouble(
            reason=f"what is no JSON, or only its beginning ({len(content)} bytes)", status=status, again=True
        )
    if not isinstance(answer, dict):
        return Trouble(reason="JSON that is no object", status=status, again=True)
    if isinstance(error := answer.get("error"), dict | str) and "choices" not in answer:
        return Trouble(reason=f"an error ({shown(_message(error))})", status=status)
    return answer


def seconds_to_wait(text: str) -> float | None:
    """What a Retry-After header asks for, in seconds from now; None where it says nothing that can be read."""
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.fromtimestamp(time.time(), UTC)).total_seconds())


def shown(text: str) -> str:
    """A server's words as they may stand in an error: one line, not long, without control characters and the key."""
    line = re.sub(r"[^\x20-\x7e\xa0-\uffff]+", " ", _without_key(text)).strip()
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"


def _without_key(text: str) -> str:
    """A text without the key, as it is or as JSON, a program's source, an address or a web page writes it."""
    forms = {key} if (key := api_key()) else set()
    for _ in range(2):  # what quotes what was quoted
        forms |= {written(form) for form in forms for written in ESCAPES}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return text


def _words_of(content: bytes, kind: str) -> str:
    """What the body of an error says."""
    text = content.decode("utf-8", errors="replace")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return "a web page" if "html" in kind else shown(text)
    return shown(_message(answer))


def _message(answer: Any) -> str:
    while isinstance(answer, dict):
        inner = next((answer[name] for name in ("error", "message", "detail") if answer.get(name)), None)
        if inner is None:
            break
        answer = inner
    try:
        return answer if isinstance(answer, str) else json.dumps(answer) if answer else ""
    except RecursionError:
        return "JSON that is nested too deep"
