"""Classify the reply to one HTTP request: an answer, or trouble and whether a retry may help."""

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
LONGEST = 200  # characters of a server's own words in an error
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
    """The reason why a request has no answer. `status`: HTTP's status, None without a reply."""

    reason: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """The reason why one attempt gave no answer, and what follows from it.

    `status`: HTTP's, None without a reply. `again`: a retry may help. `overloaded`: a retry should come at a slower
    pace. `lost`: the server may have gone. `absent`: no connection could be made. `wait`: the seconds that the server
    asks for, None if it asks for none.
    """

    reason: str
    status: int | None = None
    again: bool = False
    overloaded: bool = False
    lost: bool = False
    absent: bool = False
    wait: float | None = None


def api_key() -> str:
    """Return the key in the environment; "" without one."""
    return os.environ.get(_key_name(), "").strip()


def checked_key() -> str:
    """Return the key if a header can carry it. Raises UsageError."""
    key = api_key()
    if not all(" " <= character <= "~" for character in key):
        what = "holds a line break, or another character that no header of HTTP carries"
        raise UsageError(_key_name(), what, "a key of printable ASCII characters would be right")
    return key


def _key_name() -> str:
    return next((name for name in KEYS if os.environ.get(name, "").strip()), KEYS[0])


def judged(status: int, headers: Mapping[str, str], content: bytes) -> dict[str, Any] | Trouble:
    """Return the answer in a reply, a JSON object; if the reply has none, the reason."""
    kind = headers.get("content-type", "")
    if 300 <= status < 400:
        return Trouble(reason=f"redirects to {safe_words(headers.get('location', 'nowhere'))}", status=status)
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
        return Trouble(reason=f"an error ({safe_words(_message(error))})", status=status)
    return answer


def seconds_to_wait(text: str) -> float | None:
    """Return the seconds from now in a Retry-After header; None if it cannot be read."""
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


def safe_words(text: str) -> str:
    """Prepare a server's words for an error: one short line, without control characters and without the key."""
    line = re.sub(r"[^\x20-\x7e\xa0-\uffff]+", " ", _without_key(text)).strip()
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _without_key(text: str) -> str:
    """Remove the key from a text, also as JSON, a program's source, an address or a web page writes it."""
    forms = {key} if (key := api_key()) else set()
    for _ in range(2):  # a quoted text may be quoted again
        forms |= {escape(form) for form in forms for escape in ESCAPES}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return text


def _words_of(content: bytes, kind: str) -> str:
    """Return the message in the body of an error."""
    text = content.decode("utf-8", errors="replace")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return "a web page" if "html" in kind else safe_words(text)
    return safe_words(_message(answer))


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
