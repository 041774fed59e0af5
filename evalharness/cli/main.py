"""Run the command that argv names, print an error as one line, and end with the exit code.

A command is imported when it is called.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import shlex
import sys
import threading
import traceback
from collections.abc import Sequence

import click

from evalharness import __version__, cli, interruption, registry
from evalharness.cli.printing import print_line
from evalharness.cli.streams import output_lost, take_every_text
from evalharness.errors import EvalHarnessError, NotComparableError, UsageError, did_you_mean, first_line, out_of_memory

CRASH = 1
AGAIN = "the same command"
RESUMED = ("run", "demo", "sweep", "repair", "trace", "bisect")  # commands that resume after an interruption
PATH_CHARACTERS = 80  # shown of a name that is too long for a path

SUMMARIES = {
    "run": "Evaluate candidates against their base and say what they forgot.",
    "train": "Train a candidate: full fine-tuning, LoRA, prompt tuning and others.",
    "sweep": "Train a grid of candidates, choose learning rates on validation rows, compare on test rows.",
    "repair": "Move a candidate part of the way back to its base, so that it forgets less; confirmed on other rows.",
    "plan": "Forecast what a comparison could decide, before any model answers.",
    "trace": "Follow every task through the stages of a training: what was forgotten, and when.",
    "bisect": "Find the first checkpoint of a training that forgot, in few evaluations.",
    "compare": "Compare finished runs, or other tools' logs, with one another or again.",
    "gate": "Decide whether a finished run's candidates may ship, and end with the exit code.",
    "baseline": "Accept a run's scores into the repository's baseline file, or show that file.",
    "report": "Write a run's HTML report again, or print its results as a table.",
    "tasks": "List, show and validate task definitions; explain scores.",
    "data": "Fetch the rows of tasks into a folder, verify such a folder, accept new rows of the hub.",
    "checkpoint": "Show what a checkpoint directory holds, list the kinds, merge several into one.",
    "engine": "Check whether two engines give the same answers, and how far one's own answers vary.",
    "store": "Show what the store of answers holds; verify it, remove answers, export them.",
    "config": "Show the gate's policy and the options that the repository's files state.",
    "doctor": "Check what this machine and this installation can do, and what is broken.",
    "demo": "Train five candidates on the embedded world, repair two, and compare all.",
}


class Commands(click.Group):
    """The top-level group, whose commands are those of `cli.REGISTRY`. Its `--help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(cli.REGISTRY)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return registry.find(cli.REGISTRY, cmd_name, "command") if cmd_name in cli.REGISTRY else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in cli.REGISTRY and not (args[0].startswith("-") or ctx.resilient_parsing):
            raise UsageError("evalharness", f"no command {args[0]!r}", did_you_mean(args[0], cli.REGISTRY))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES[name]) for name in self.list_commands(ctx)])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="evalharness")
def evalharness() -> None:
    """What did a fine-tuned checkpoint forget, compared with the model it came from, and may it ship?

    Exit codes: 0 fine, 1 a bug in evalharness, 2 wrong input, 3 forgotten and 4 undecided (gate, bisect), 5 incomplete,
    nothing measured or not comparable, 130 interrupted (143 by SIGTERM).
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code. SIGTERM, as CI sends it, acts like Ctrl-C; a second one ends the
    process at once.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    gc.set_threshold(100_000)  # imports create hundreds of thousands of objects, and almost no garbage
    gc.freeze()  # engines/hf/engine.py freezes the libraries as well where it sees this
    in_main_thread = threading.current_thread() is threading.main_thread()
    descriptors = take_every_text()
    # torch's threads read this when they start; they would wait busily while another process has their core
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with interruption.signals_caught() if in_main_thread else contextlib.nullcontext():
        code = _run(arguments, debug="--debug" in arguments or bool(os.environ.get("EVALHARNESS_DEBUG")))
    if lost := output_lost(descriptors):
        print_line(
            f"Error: stdout: output is lost ({lost.strerror}); send it to a file or pipe that can take it", err=True
        )
        code = code or NotComparableError.exit_code
    sys.exit(code)


def _is_no_path(error: Exception) -> bool:
    """Return whether the error says that a path is too long for the system, or holds a zero byte."""
    if isinstance(error, OSError):
        return error.errno == errno.ENAMETOOLONG
    return isinstance(error, ValueError) and str(error).startswith("embedded null")


def _unforeseen(error: Exception, arguments: Sequence[str], debug: bool) -> int:
    """Print an error that no step expected (of the system, of memory, or a bug), and return its exit code."""
    if _is_no_path(error):
        path = str(getattr(error, "filename", None) or "a path")[:PATH_CHARACTERS]
        print_line(f"Error: {path}: a path cannot be that long, or hold a zero byte; give a shorter one", err=True)
        return UsageError.exit_code
    if debug:
        print_line(traceback.format_exc(), err=True)
    if out_of_memory(error):
        advice = ": what was answered is kept" if arguments and arguments[0] in RESUMED else ""
        what = f"is not enough ({first_line(error)})"
        print_line(f"Error: memory: {what}; run the same command with more memory{advice}", err=True)
        return NotComparableError.exit_code
    hint = "" if debug else " Give --debug for the traceback."
    what = f"{type(error).__name__}: {error}"
    print_line(f"Error: evalharness crashed ({what}). This is a bug in evalharness.{hint}", err=True)
    return CRASH


def _run(arguments: Sequence[str], debug: bool) -> int:
    """Run the command, print the error that it raises, and return the exit code."""
    try:
        code = evalharness.main(arguments, prog_name="evalharness", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        print_line(error.format_message())
        return 2
    except click.ClickException as error:
        message = io.StringIO()
        error.show(message)
        print_line(message.getvalue().rstrip("\n"), err=True)
        return error.exit_code
    except EvalHarnessError as error:
        if debug:
            print_line(traceback.format_exc(), err=True)
        print_line(f"Error: {error}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        for line in _interrupted(arguments, getattr(error.__cause__ or error, "__notes__", [])):
            print_line(line, err=True)
        return interruption.exit_code()
    except Exception as error:
        return _unforeseen(error, arguments, debug)


def _interrupted(arguments: Sequence[str], notes: Sequence[str]) -> list[str]:
    """Return the lines after an interruption: what is stored, from the interrupt's `notes`, and how to resume."""
    advice = " ".join(notes)
    if not advice and {*arguments[:1]} & {*RESUMED}:
        advice = f"What is done so far is kept: {AGAIN} goes on from there."
    return [f"Interrupted. {advice}".rstrip(), *([shlex.join(["evalharness", *arguments])] if AGAIN in advice else [])]
