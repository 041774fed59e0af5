"""The command line in this process."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from evalharness.cli.main import main


def exit_code(*arguments: object) -> int:
    """Run `evalharness ARGUMENTS`; what it prints is pytest's to capture."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def last_of_each(arguments: Sequence[str], names: Sequence[str]) -> list[str]:
    """Leave out options with a value, of these names, where a later argument replaces them: a fixture's own."""
    gone = [place for place, each in enumerate(arguments) if each in names and each in arguments[place + 1 :]]
    return [each for place, each in enumerate(arguments) if not {place, place - 1} & {*gone}]
