"""An interrupted training says what it kept and how to go on, and goes on; states are saved without being asked for."""

from __future__ import annotations

import contextlib
import shlex
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import exit_code
from training.makers import equal, recipe, silent
from transformers import Trainer

from evalharness import interruption
from evalharness.errors import StoreError
from evalharness.training import states
from evalharness.training.interrupts import held_back
from evalharness.training.loop import train
from evalharness.training.output_lock import UnfinishedOutput


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard():
    """A shell lets what it runs in the background ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def at_step(step, act):
    """A report that acts when the step is reported."""
    lines = []

    def report(text):
        lines.append(text)
        if text.startswith(f"step {step}/"):
            act()

    return report, lines


def interrupted(plan, examples, step, number=signal.SIGINT):
    report, lines = at_step(step, lambda: signal.raise_signal(number))
    with pytest.raises(KeyboardInterrupt) as caught:
        train(plan, examples, report)
    return caught.value.__notes__, lines


@pytest.mark.fault(4)
@pytest.mark.parametrize("method", ["full", pytest.param("p-tuning", marks=pytest.mark.slow)])
def test_ctrl_c_saves_the_step_and_the_same_command_goes_on_to_the_same_weights(base, examples, tmp_path, method):
    plan = recipe(base, tmp_path / "candidate", method, steps=6, batch_size=3)
    whole = train(replace(plan, out=str(tmp_path / "whole")), examples, silent)
    notes, _ = interrupted(plan, examples, 2)
    assert notes == ["The training is kept as it was after step 3: the same command goes on from there."]
    reports = []
    assert equal(whole, train(plan, examples, reports.append)) and "going on from step 3" in reports


def test_a_second_one_acts_at_once(base, examples, tmp_path):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    report, _ = at_step(3, twice)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(recipe(base, tmp_path / "candidate"), examples, report)
    assert caught.value.__notes__ == ["No step of the training was saved yet: the same command begins it anew."]
    assert not list(tmp_path.iterdir()) and signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.fault(4)
def test_one_that_a_library_swallowed_while_the_model_was_made_ends_it_before_the_first_step(base, examples, tmp_path):
    lines = []

    def report(text):
        lines.append(text)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)

    with interruption.signals_caught(), pytest.raises(KeyboardInterrupt):
        train(recipe(base, tmp_path / "candidate"), examples, report)
    assert len(lines) == 1 and not any(line.startswith("step ") for line in lines) and not list(tmp_path.iterdir())


def test_one_during_the_last_step_loses_nothing(base, examples, tmp_path):
    notes, _ = interrupted(recipe(base, tmp_path / "candidate"), examples, 6)
    assert notes == [f"The candidate is complete: {tmp_path / 'candidate'}."]
    assert [path.name for path in tmp_path.iterdir()] == ["candidate"]


@pytest.mark.fault(4)
def test_the_command_says_the_very_command_that_goes_on(given, tmp_path, monkeypatch, capsys):
    """Followed to the letter, it ends with the weights of an uninterrupted one."""
    arguments = ["train", "--method", "lora", "--task", "films", *given]
    plain_step = Trainer.training_step

    def step(self, *more, **named):
        if self.state.global_step == 1:
            signal.raise_signal(signal.SIGTERM)
        return plain_step(self, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", step)
        assert exit_code(*arguments) in (130, 143)
    said, command = capsys.readouterr().err.splitlines()[-2:]
    assert said.startswith("Interrupted. The training is kept as it was after step 2:")
    assert exit_code(*shlex.split(command)[1:]) == 0
    assert "going on from step 2" in capsys.readouterr().err
    assert exit_code(*arguments[:-6], "--out", str(tmp_path / "whole"), *arguments[-4:]) == 0
    assert equal(tmp_path / "candidate", tmp_path / "whole")


def test_signals_do_not_reach_other_threads(base, examples, tmp_path):
    made = []
    thread = threading.Thread(
        target=lambda: made.append(train(recipe(base, tmp_path / "candidate", steps=1), examples, silent))
    )
    thread.start()
    thread.join()
    assert made == [tmp_path / "candidate"]


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with held_back() as held:
            signal.raise_signal(signal.SIGTERM)
        assert held.number is None
    finally:
        signal.signal(signal.SIGTERM, before)


# ---- states that nobody asked for ------------------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch):
    """States are due at every step, not only every five minutes."""
    monkeypatch.setattr(states, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(states, "SAVE_SHARE", float("inf"))


class Killed(BaseException): ...


def kill():
    raise Killed


@pytest.mark.fault(1)
@pytest.mark.parametrize(
    "method", ["lora", *(pytest.param(name, marks=pytest.mark.slow) for name in ("full", "prefix"))]
)
def test_a_kill_loses_little_without_save_every(base, examples, tmp_path, at_once, method):
    plan = recipe(base, tmp_path / "candidate", method, batch_size=3)
    report, lines = at_step(5, kill)
    with pytest.raises(Killed):
        train(plan, examples, report)
    assert sum("interrupted, the same command goes on from there" in line for line in lines) == 1
    reports = []
    out = train(plan, examples, reports.append)
    assert "going on from step 4" in reports
    monkey = replace(plan, out=str(tmp_path / "whole"), save_every=100)
    assert equal(out, train(monkey, examples, silent))


def test_states_take_a_small_share_of_the_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(states.time, "monotonic", lambda: now[0])
    clock = states.SaveClock()
    assert not clock.is_due
    now[0] = 300.0
    assert clock.is_due
    clock.saved(2.0)
    now[0] = 599.0
    assert not clock.is_due
    now[0] = 600.0
    assert clock.is_due
    clock.saved(30.0)  # a large model on a slow disk: every 25 minutes
    now[0] = 600.0 + 30.0 / 0.02 - 1
    assert not clock.is_due
    now[0] += 1
    assert clock.is_due


@pytest.mark.fault(5)
def test_a_disk_that_is_full_ends_a_training_only_where_states_were_asked_for(
    base, examples, tmp_path, at_once, monkeypatch
):
    def full(*_):
        raise RuntimeError("PytorchStreamWriter failed writing file: No space left on device")

    monkeypatch.setattr(Trainer, "_save_optimizer_and_scheduler", full)
    plan, reports = recipe(base, tmp_path / "candidate", steps=3), []
    out = train(plan, examples, reports.append)
    assert any("no state could be saved on the way (PytorchStreamWriter" in line for line in reports)
    assert out.is_dir() and [path.name for path in tmp_path.iterdir()] == ["candidate"]
    asked_for = replace(plan, out=str(tmp_path / "other"), save_every=1)
    with pytest.raises(StoreError, match=r"the state of its training cannot be saved .*free disk space"):
        train(asked_for, examples, silent)
    assert not UnfinishedOutput(Path(asked_for.out)).has_states
