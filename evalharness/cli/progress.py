"""Show a run's progress on stderr: a bar on a terminal, one line for each phase elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from evalharness.cli.printing import print_line
from evalharness.report.escape import plain


class Lines:
    """A listener that prints one line for each phase, for logs: the requests that are answered and, once it can be
    estimated, the time that remains.
    """

    def __init__(self) -> None:
        self.expected = self.stored = self.computed = 0
        self.begun = time.monotonic()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None: ...

    def phase(self, text: str) -> None:
        print_line(f"{text}{self._counts()}", err=True)

    def expect(self, requests: int) -> None:
        """Begin a new count of requests, since an experiment evaluates several times."""
        self.expected, self.begun = requests, time.monotonic()
        self.stored = self.computed = 0

    def advance(self, stored: int, computed: int) -> None:
        self.stored += stored
        self.computed += computed

    def notice(self, text: str) -> None:
        print_line(f"note: {text}", err=True)

    def _counts(self) -> str:
        to_compute = self.expected - self.stored
        if self.computed >= to_compute:
            return ""
        time_left = ""
        if self.computed:
            seconds = (time.monotonic() - self.begun) / self.computed * (to_compute - self.computed)
            time_left = f", about {_clock(seconds)} left"
        stored = f", {self.stored} from the store" if self.stored else ""
        return f" [{self.computed}/{to_compute} requests{stored}{time_left}]"


class Bar:
    """A listener that shows a live bar on a terminal."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        described = TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
        columns = (described, BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=self.console, transient=True, expand=True)
        self.task = self.progress.add_task("starting", total=None)
        self.expected = 0  # requests that the store lacks

    def __enter__(self) -> Bar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def phase(self, text: str) -> None:
        self.progress.update(self.task, description=plain(text).replace("[", "\\["))

    def expect(self, requests: int) -> None:
        self.expected = requests
        self.progress.update(self.task, total=requests, completed=0)

    def advance(self, stored: int, computed: int) -> None:
        self.expected -= stored
        self.progress.update(self.task, total=self.expected, advance=computed)

    def notice(self, text: str) -> None:
        self.console.print(f"note: {plain(text)}", markup=False)


class Silent(Lines):
    """A listener that prints notices only."""

    def phase(self, text: str) -> None: ...


class Blocks(Lines):
    """A listener that prints a line for every block of requests (a part of a task's requests that is answered at once)
    as well.
    """

    def advance(self, stored: int, computed: int) -> None:
        super().advance(stored, computed)
        print_line(f"  {stored} found, {computed} computed{self._counts()}", err=True)


def listener(quiet: bool, verbose: bool = False) -> Lines | Bar:
    """Return the listener for these options. By default it is a bar if stderr is a terminal, else lines."""
    if quiet:
        return Silent()
    if verbose:
        return Blocks()
    return Bar() if Console(stderr=True).is_terminal else Lines()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
