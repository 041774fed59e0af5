"""Show on stderr what a run tells its listener: a bar on a terminal, one line a phase elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evalharness.cli.printing import print_line
from evalharness.report.escape import plain


class Lines:
    """One line a phase, with what is done and, once it can be told, the time left. For logs."""

    def __init__(self) -> None:
        self.expected = self.stored = self.computed = 0
        self.begun = time.monotonic()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None: ...

    def phase(self, text: str) -> None:
        print_line(f"{text}{self._counts()}", err=True)

    def expect(self, requests: int) -> None:
        """Begin a new count: an experiment evaluates several times."""
        self.expected, self.begun = requests, time.monotonic()
        self.stored = self.computed = 0

    def advance(self, stored: int, computed: int) -> None:
        self.stored += stored
        self.computed += computed

    def notice(self, text: str) -> None:
        print_line(f"note: {text}", err=True)

    def _counts(self) -> str:
        done = self.stored + self.computed
        if not self.expected or done >= self.expected:
            return ""
        left = ""
        if self.computed:
            seconds = (time.monotonic() - self.begun) / self.computed * (self.expected - done)
            left = f", about {_clock(seconds)} left"
        return f" [{done}/{self.expected} requests, {self.stored} from the store{left}]"


class Bar:
    """A live bar on a terminal."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=self.console, transient=True)
        self.task = self.progress.add_task("starting", total=None)

    def __enter__(self) -> Bar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def phase(self, text: str) -> None:
        self.progress.update(self.task, description=plain(text).replace("[", "\\["))

    def expect(self, requests: int) -> None:
        self.progress.update(self.task, total=requests, completed=0)

    def advance(self, stored: int, computed: int) -> None:
        self.progress.advance(self.task, stored + computed)

    def notice(self, text: str) -> None:
        self.console.print(f"note: {text}", markup=False)


class Silent(Lines):
    """Nothing but notices."""

    def phase(self, text: str) -> None: ...


class Blocks(Lines):
    """A line for every block of requests as well."""

    def advance(self, stored: int, computed: int) -> None:
        super().advance(stored, computed)
        print_line(f"  {stored} found, {computed} computed{self._counts()}", err=True)


def listener(quiet: bool, verbose: bool = False) -> Lines | Bar:
    """What fits where stderr goes, and what was asked for."""
    if quiet:
        return Silent()
    if verbose:
        return Blocks()
    return Bar() if Console(stderr=True).is_terminal else Lines()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
