"""The command line in this process."""

from __future__ import annotations

import pytest

from evalharness.cli.main import main


def exit_code(*arguments: object) -> int:
    """Run `evalharness ARGUMENTS`; what it prints is pytest's to capture."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)
