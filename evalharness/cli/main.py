"""Run the command that argv names, and end with its exit code; print an error as one line.

Commands are imported when they are called.
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
RESUMED = ("run", "demo", "sweep", "repair", "trace", "bisect")  # commands that go on where they were
SHOWN = 80  # characters of a name that no path can have

SUMMARIES = {
    "run": "Evaluate candidates against their base and say what they forgot.",
    "train": "Make a candidate: full fine-tuning, LoRA or prompt tuning.",
    "sweep": "Train a grid of candidates, choose rates on validation rows, compare on test rows.",
    "repair": "Take back what a candidate forgot: part of the way to its base, confirmed on other rows.",
    "plan": "Say what a comparison could decide, before any model has answered.",
    "trace": "Follow every task through the stages of a training: what was forgotten when.",
    "bisect": "Find the first checkpoint of a training that forgot, in few evaluations.",
    "compare": "Compare finished runs again, or with one another.",
    "gate": "May this run's candidates ship? The exit code says.",
    "baseline": "Accept a run's scores into the repository's baseline file, show it.",
    "report": "Write a run's HTML page again.",
    "tasks": "List, show and validate task definitions.",
    "data": "Fetch rows to a folder, verify one, accept new rows of the hub.",
    "checkpoint": "Say what a checkpoint directory holds; merge several into one.",
    "engine": "Check whether two engines answer alike, and how far one is from itself.",
    "store": "Say what the store of answers holds, verify it, remove answers, export them.",
    "config": "Show what the repository's files say of the gate and of options, and who says it.",
    "doctor": "Say what this machine and this installation can do, and what is broken.",
    "demo": "Train five candidates on the embedded world, repair two, and compare all.",
}


class Commands(click.Group):
    """The commands of `cli.REGISTRY`; `--help` imports none of them."""

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

    Exit codes: 0 fine, 1 a bug of ours, 2 something given is wrong, 3 forgotten and 4 undecided (gate, bisect), 5
    incomplete, nothing measured or not comparable, 130 interrupted (143 by SIGTERM).
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code. A request to terminate (SIGTERM, as CI sends it) is an interrupt
    like Ctrl-C; a second one ends the process at once.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    gc.set_threshold(100_000)  # imports make hundreds of thousands of objects, and next to no garbage
    gc.freeze()  # what is imported later freezes as well, once it sees this
    in_main_thread = threading.current_thread() is threading.main_thread()
    descriptors = take_every_text()
    # torch's threads, which read this when they begin, would spin for one another while another process has their core
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with interruption.signals_caught() if in_main_thread else contextlib.nullcontext():
        code = _run(arguments, debug="--debug" in arguments or bool(os.environ.get("EVALHARNESS_DEBUG")))
    if lost := output_lost(descriptors):
        print_line(
            f"Error: stdout: what it was to show is lost ({lost.strerror}); give the command a place that takes it",
            err=True,
        )
        code = code or NotComparableError.exit_code
    sys.exit(code)


def _is_no_path(error: Exception) -> bool:
    """Is a name, given or read from a file, none that the system's paths can have?"""
    if isinstance(error, OSError):
        return error.errno == errno.ENAMETOOLONG
    return isinstance(error, ValueError) and str(error).startswith("embedded null")


def _unforeseen(error: Exception, arguments: Sequence[str], debug: bool) -> int:
    """The exit code of an error that no step names: of the system, of memory, or of ours; it is printed."""
    if _is_no_path(error):
        named = str(getattr(error, "filename", None) or "a path")[:SHOWN]
        print_line(f"Error: {named}: no path can be that long, or hold a zero byte; a shorter one would do", err=True)
        return UsageError.exit_code
    if debug:
        print_line(traceback.format_exc(), err=True)
    if out_of_memory(error):
        kept = ": what was answered is kept" if arguments and arguments[0] in RESUMED else ""
        what = f"does not suffice ({first_line(error)})"
        print_line(f"Error: memory: {what}; give the same command with more of it{kept}", err=True)
        return NotComparableError.exit_code
    hint = "" if debug else " Give --debug for the traceback."
    what = f"{type(error).__name__}: {error}"
    print_line(f"Error: evalharness crashed ({what}). This is a bug of ours.{hint}", err=True)
    return CRASH


def _run(arguments: Sequence[str], debug: bool) -> int:
    """The exit code of the command; whatever it raises is printed."""
    try:
        code = evalharness.main(arguments, prog_name="evalharness", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        print_line(error.format_message())
        return 2
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        print_line(shown.getvalue().rstrip("\n"), err=True)
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
    """Say what was kept, as `notes` on the interrupt know it, and how to go on."""
    kept = " ".join(notes)
    if not kept and {*arguments[:1]} & {*RESUMED}:
        kept = f"What is done so far is kept: {AGAIN} goes on from there."
    return [f"Interrupted. {kept}".rstrip(), *([shlex.join(["evalharness", *arguments])] if AGAIN in kept else [])]
