"""Send requests to a server of OpenAI's API: several at once, with retries after passing errors, within a budget."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx2

from evalharness.errors import EvalHarnessError, ModelError, NotComparableError, first_line
from evalharness.openai_api.deadline import Deadline
from evalharness.openai_api.limits import RequestLimits as RequestLimits
from evalharness.openai_api.location import root_of
from evalharness.openai_api.pace import Pace
from evalharness.openai_api.replies import KEYS, REFUSED, ApiFailure, Trouble, api_key, checked_key, judged, safe_words

LARGEST = 1 << 28  # bytes of one answer
LONGEST_RETRY_AFTER = 120.0  # most seconds of a Retry-After that are waited
GIVEN_UP = 8  # requests in a row without an answer after all attempts, from which on the server counts as dead
NO_ANSWER = "no answer"
LOOKS = 3  # attempts of a GET
KEPT = "what was answered is kept"
Body = Mapping[str, Any]


class ApiClient:
    """A client of one server, which threads may share.

    `url`: the API's address; a path ("/models") is below it, unless it begins with `root`, the address above the API's.
    `limits`: of time, attempts and number of requests. `requests`: how many were sent. `interrupted`: how often the
    server may have restarted: failed connections and repeated requests, without those that it delayed (429).
    """

    def __init__(self, url: str, *, limits: RequestLimits | None = None) -> None:
        self.url, self.root, self.limits = url, root_of(url), limits or RequestLimits()
        self.interrupted = self.requests = 0
        self._pace, self._counts = Pace(self.limits.concurrency), threading.Lock()
        self._was_reached, self._unanswered, self._closed = False, 0, threading.Event()
        self._under_way, self._deadline = 0, Deadline()
        key = checked_key()
        most = self.limits.concurrency
        self._http = httpx2.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(self.limits.timeout, connect=min(10.0, self.limits.timeout), pool=None),
            limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most),
            follow_redirects=False,  # the key must only reach the server that the user named
        )

    @property
    def was_reached(self) -> bool:
        """Return whether the server ever gave any answer."""
        return self._was_reached

    def __enter__(self) -> ApiClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections, once no request is running; threads that wait for another attempt give up."""
        self._closed.set()
        self._close_if_idle()

    def get(self, path: str) -> dict[str, Any]:
        """Return the answer to a GET, which reads facts of the server in few attempts. Raises as `post` does."""
        return self._answer(path, self._tried("GET", path, None, most=LOOKS))

    def post(self, path: str, body: Body) -> dict[str, Any]:
        """Return the answer to a POST. Raises ModelError if the server never answered, or refuses the key or the
        request, and NotComparableError if it no longer answers, or the budget of requests is spent.
        """
        return self._answer(path, self._tried("POST", path, body))

    def try_post(self, path: str, body: Body) -> dict[str, Any] | ApiFailure:
        """Return the answer to a POST as `post` does, but an ApiFailure if only this request is refused or not
        answered.
        """
        return self._tried("POST", path, body)

    def post_all(self, path: str, bodies: Sequence[Body]) -> Iterator[tuple[int, dict[str, Any] | ApiFailure]]:
        """Yield the index of each body with its answer, in the order in which the answers come. Raises as `post` does;
        a failure of one request is an ApiFailure.
        """
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        replies: queue.SimpleQueue[tuple[int, dict[str, Any] | ApiFailure | Exception]] = queue.SimpleQueue()
        abandoned = threading.Event()
        for place in range(len(bodies)):
            waiting.put(place)

        def work() -> None:
            while not abandoned.is_set():
                try:
                    place = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    replies.put((place, self._tried("POST", path, bodies[place], abandoned)))
                except Exception as error:  # raised again in the thread that reads the replies
                    replies.put((place, error))

        try:
            for number in range(min(self.limits.concurrency, len(bodies))):
                # an interrupted command must not wait for a slow server's answers
                threading.Thread(target=work, name=f"request-{number}", daemon=True).start()
            for _ in bodies:
                place, reply = replies.get()
                if isinstance(reply, Exception):
                    raise reply
                yield place, reply
        finally:
            abandoned.set()

    def _close_if_idle(self) -> None:
        """Close the connections if none is in use, because one that is would stay open."""
        with self._counts:
            is_idle = self._closed.is_set() and not self._under_way
        if is_idle:
            self._http.close()

    def _answer(self, path: str, reply: dict[str, Any] | ApiFailure) -> dict[str, Any]:
        if isinstance(reply, dict):
            return reply
        if reply.status is None and reply.reason.startswith(NO_ANSWER):
            fix = "have it answer sooner, or allow more time (--engine-option timeout=SECONDS)"
            raise ModelError(self._address(path), f"the server gave {reply.reason}", fix)
        fix = "give the address of its API, which as a rule ends in /v1"
        if reply.status in (400, 413, 422):
            fix = "give it what this server takes"
        raise ModelError(self._address(path), f"the server answered with {reply.reason}", fix)

    def _tried(
        self,
        method: str,
        path: str,
        body: Body | None,
        abandoned: threading.Event | None = None,
        most: int | None = None,
    ) -> dict[str, Any] | ApiFailure:
        """Return the answer after as many attempts as needed and allowed."""
        trouble = Trouble(reason="nothing")
        for attempt in range(min(self.limits.attempts, most or self.limits.attempts)):
            if attempt and self._rest(trouble, attempt, abandoned):
                break
            reply = self._sent(method, path, body)
            if isinstance(reply, dict):
                return reply
            trouble = reply
            if not trouble.again or (trouble.absent and not self._was_reached):
                break
        self._refuse(path, trouble)
        return ApiFailure(reason=trouble.reason, status=trouble.status)

    def _rest(self, trouble: Trouble, attempt: int, abandoned: threading.Event | None) -> bool:
        """Wait before another attempt; return whether it is no longer needed."""
        most = min(self.limits.longest_wait, self.limits.first_wait * 2 ** (attempt - 1))
        wait = random.uniform(0, most)
        if trouble.wait is not None:
            wait += min(trouble.wait, LONGEST_RETRY_AFTER)
        return self._closed.wait(wait) or (abandoned is not None and abandoned.is_set())

    def _sent(self, method: str, path: str, body: Body | None) -> dict[str, Any] | Trouble:
        """Make one attempt, and adapt the pace to the reply."""
        with self._pace.one_request() as sent:
            self._begin()
            try:
                reply = self._exchanged(method, self._address(path), body, sent)
            except httpx2.TimeoutException as error:
                lost = isinstance(error, httpx2.ConnectTimeout)
                what = "no connection" if lost else f"{NO_ANSWER} within {self.limits.timeout:g} seconds"
                reply = Trouble(reason=what, again=True, overloaded=True, lost=lost, absent=lost)
            except httpx2.DecodingError as error:
                reply = Trouble(reason=f"what cannot be unpacked ({safe_words(first_line(error))})", again=True)
            except httpx2.TransportError as error:
                words = safe_words(first_line(error))
                absent = isinstance(error, httpx2.ConnectError)
                reply = Trouble(reason=f"the connection failed ({words})", again=True, lost=True, absent=absent)
            finally:
                with self._counts:
                    self._under_way -= 1
                self._close_if_idle()
        with self._counts:
            self._was_reached |= isinstance(reply, dict) or not reply.lost
            if isinstance(reply, dict):
                self._unanswered = 0
            elif reply.again and reply.status != 429:
                self.interrupted += 1
        if isinstance(reply, dict):
            self._pace.went_well()
        elif reply.overloaded:
            self._pace.was_too_much(sent)
        return reply

    def _exchanged(self, method: str, address: str, body: Body | None, sent: float) -> dict[str, Any] | Trouble:
        """Exchange one request and reply. Raises httpx2's errors, a time-out also for a slow, endless read."""
        content = bytearray()
        self._deadline.at = sent + self.limits.timeout
        with self._http.stream(method, address, json=body, extensions={"trace": self._deadline.trace}) as response:
            for piece in response.iter_bytes():
                content += piece
                if time.monotonic() - sent > self.limits.timeout:
                    raise httpx2.ReadTimeout("the whole answer took too long")
                if len(content) > LARGEST:
                    return Trouble(reason=f"more than {LARGEST} bytes", status=response.status_code)
        return judged(response.status_code, response.headers, bytes(content))

    def _begin(self) -> None:
        """Count a request before it is sent. Raises NotComparableError if the budget is spent."""
        most = self.limits.most_requests
        if not self.limits.budget.spend(most):
            what = f"all {most} requests that most_requests allows were sent"
            raise NotComparableError(self.url, what, f"allow more and run again: {KEPT}")
        with self._counts:
            self.requests += 1
            self._under_way += 1

    def _refuse(self, path: str, trouble: Trouble) -> None:
        """Raise for trouble that concerns more than this request."""
        if trouble.status in REFUSED:
            names = " or ".join(KEYS)
            what = "refuses the key of the environment" if api_key() else "wants a key"
            raise ModelError(self.url, f"{what}: {trouble.reason}", f"set {names} to a key of this server")
        if trouble.lost and not self._was_reached:
            raise ModelError(self.url, f"no server answers here: {trouble.reason}", "start it, or mend the address")
        if trouble.lost:
            raise self._dead(trouble)
        if trouble.again:
            with self._counts:
                self._unanswered += 1
                is_dead = self._unanswered >= GIVEN_UP
            if is_dead:
                raise self._dead(trouble)

    def _dead(self, trouble: Trouble) -> EvalHarnessError:
        what = f"the server answers no more, in {self.limits.attempts} attempts a request: {trouble.reason}"
        return NotComparableError(self.url, what, f"have it answer and run again: {KEPT}")

    def _address(self, path: str) -> str:
        return path if path.startswith(self.root) else self.url + path
