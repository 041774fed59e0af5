"""--report-to: what is logged reaches reporters of transformers; what they lack is said before training."""

from __future__ import annotations

import importlib.util

import pytest
from command_line import exit_code
from training.makers import recipe
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from evalharness.errors import UsageError
from evalharness.training.reporters import reporters


class Recorder(TrainerCallback):
    """A reporter as a package would bring one: what it was told, and of which run."""

    told: list[tuple[int, dict[str, float]]]
    run: str

    def on_train_begin(self, args, state, control, **more):
        Recorder.told, Recorder.run = [], args.run_name

    def on_log(self, args, state, control, logs=None, **more):
        Recorder.told.append((state.global_step, dict(logs)))


@pytest.mark.usefixtures("place")
def test_losses_and_what_is_watched_reach_a_reporter(given, place, monkeypatch):
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "recorder", Recorder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    (place / "tasks" / "little.yaml").write_text("suite: little\ntasks: [films, plays]\n")
    more = ["--watch", "little", "--watch-every", "3", "--report-to", "recorder", "-q"]
    assert exit_code("train", "--method", "lora", "--task", "films", *given, *more) == 0
    losses = [step for step, logs in Recorder.told if "loss" in logs]
    watched = [(step, logs["forgetting/suite"]) for step, logs in Recorder.told if "forgetting/suite" in logs]
    assert losses == [1, 2, 3] and [step for step, _ in watched] == [3] and Recorder.run == "candidate"


def test_what_is_not_there_is_said_before_anything_is_read(given, capsys):
    assert exit_code("train", "--method", "lora", "--task", "films", *given, "--report-to", "tensorbord") == 2
    assert "--report-to: unknown reporter 'tensorbord'; did you mean tensorboard?" in capsys.readouterr().err
    if importlib.util.find_spec("clearml") is None:
        with pytest.raises(UsageError, match=r"--report-to: clearml cannot be used .*; pip install clearml"):
            reporters(recipe("nowhere", "out", report_to=("clearml",)))
