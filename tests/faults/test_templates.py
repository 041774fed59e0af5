"""Templates of task files and tokenizers that never end, take all memory or run code: refused, in bounded time."""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from collections.abc import Callable, Iterable, Mapping

import pytest
from faults.hostile_templates import BACKTRACKING, ENDLESS, EXECUTED
from transformers import AutoTokenizer

from evalharness import budget
from evalharness.engines.hf.chat import ChatTemplate
from evalharness.records.tokenizers import Unrenderable
from evalharness.tasks.templates import TemplateProblem, render

# hypothesis listens to the garbage collection: an exception of the timer that arrives there is lost, and comes again
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*gc_callback:pytest.PytestUnraisableExceptionWarning"
)

MOST_SECONDS = 0.5  # of CPU, for one, at a limit of 0.1
MOST_MEMORY = 1 << 20  # kilobytes, for all
ROW = {"q": "What?"}


@pytest.fixture(autouse=True)
def sooner(monkeypatch):
    monkeypatch.setattr(budget, "SECONDS", 0.1)


@pytest.fixture(scope="module")
def tokenizer(zoo):
    return AutoTokenizer.from_pretrained(zoo["llama"])


def refuses(rendering: Callable[[str], object], hostile: Mapping[str, str], error: type[Exception]) -> None:
    """Is every template refused, in bounded time and memory?"""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rendered, slow = [], {}
    for name, source in hostile.items():
        start = time.thread_time()
        try:
            rendering(source)
            rendered.append(name)
        except error:
            pass
        if time.thread_time() - start > MOST_SECONDS:
            slow[name] = time.thread_time() - start
    assert (rendered, slow) == ([], {})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY


def shown(rendering: Callable[[str], str], sources: Iterable[str], error: type[Exception]) -> str:
    """All that templates put out which are not refused."""
    texts = []
    for source in sources:
        with contextlib.suppress(error):
            texts.append(rendering(source))
    return " ".join(texts)


@pytest.mark.fault(24)
def test_endless_templates_of_tasks_are_refused(record_property) -> None:
    hostile = {**ENDLESS, **BACKTRACKING}
    record_property("injected", len(hostile))
    refuses(lambda source: render(source, ROW), hostile, TemplateProblem)


@pytest.mark.fault(24)
def test_endless_chat_templates_are_refused(tokenizer, record_property) -> None:
    hostile = dict([*ENDLESS.items()][::4])  # by the same means as those of tasks
    record_property("injected", len(hostile))
    refuses(lambda source: ChatTemplate(tokenizer, source), hostile, Unrenderable)


@pytest.mark.fault(24)
def test_outside_the_main_thread_what_is_counted_is_refused_all_the_same(record_property) -> None:
    hostile = {
        name: ENDLESS[name] for name in ("nested loops", "list +", "macro that calls itself twice", "set blocks")
    }
    record_property("injected", len(hostile))
    failed: list[BaseException] = []

    def work() -> None:
        try:
            refuses(lambda source: render(source, ROW), hostile, TemplateProblem)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed


@pytest.mark.fault(24)
def test_no_template_reaches_what_is_behind_its_values(tokenizer, record_property) -> None:
    record_property("injected", 2 * len(EXECUTED))
    texts = shown(lambda source: render(source, ROW), EXECUTED, TemplateProblem)
    chat = ["{% set q = messages[0].content %}" + source for source in EXECUTED]
    user = [{"role": "user", "content": "What?"}]
    texts += shown(lambda source: ChatTemplate(tokenizer, source).render(user, False), chat, Unrenderable)
    assert not any(word in texts for word in ("class", "module", "function", "root:", "Popen"))


@pytest.mark.fault(24)
def test_the_limit_ends_with_what_it_limits() -> None:
    """A timer that went on would end what comes after."""
    with pytest.raises(TemplateProblem):
        render(BACKTRACKING["regex"], ROW)
    start = time.process_time()
    while time.process_time() - start < 3 * budget.SECONDS:
        pass
    assert render("{{ q }}", ROW) == "What?"
