"""`train --watch`: what is forgotten is measured on the way, and the weights are those of a training without it."""

from __future__ import annotations

import json

import pytest
from command_line import exit_code
from training.makers import equal

SUITE = """
suite: little
tasks: [films, plays]
"""


@pytest.fixture
def watched(given, place, monkeypatch):
    """Trains on the little tasks, and on a suite of both."""
    (place / "tasks" / "little.yaml").write_text(SUITE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))

    def run(name, *more):
        arguments = ["--task", "films", *given, "-q", *more]
        arguments[arguments.index("--out") + 1] = str(place / name)
        arguments[arguments.index("--steps") + 1] = "4"
        return exit_code("train", *arguments), place / name

    return run


@pytest.mark.parametrize(
    "method", ["lora", *(pytest.param(name, marks=pytest.mark.slow) for name in ("full", "prefix"))]
)
def test_the_weights_are_those_of_a_training_without_it(watched, capsys, method):
    own = ["--dropout", "0.3"] if method == "lora" else []
    code, alone = watched("alone", "--method", method, *own)
    assert code == 0
    capsys.readouterr()
    code, out = watched("watched", "--method", method, *own, "--watch", "little", "--watch-every", "2")
    assert code == 0 and equal(alone, out)
    facts, whole = (json.loads((folder / "training.json").read_text()) for folder in (out, alone))
    assert facts["losses"] == whole["losses"] and facts["data"] == whole["data"] and "watch" not in whole
    looks = facts["watch"]["looks"]
    assert facts["watch"]["suite"] == "little" and [look["step"] for look in looks] == [2, 4]
    assert all(set(look["differences"]) == {"films", "plays"} and look["unanswered"] == 0 for look in looks)
    output = capsys.readouterr().out
    assert f"forgetting:  little, step 2: suite {looks[0]['suite']:+.2f} margins, 0 of 2 units forgotten\n" in output


@pytest.mark.slow
def test_the_curve_is_whole_after_a_kill(watched, killed_in, capsys):
    options = ("--method", "lora", "--watch", "little", "--watch-every", "1", "--save-every", "2")
    code, whole = watched("whole", *options)
    killed_in(lambda: watched("killed", *options), 3)
    again, out = watched("killed", *options)
    assert code == again == 0 and equal(whole, out)
    curves = [json.loads((folder / "training.json").read_text())["watch"] for folder in (whole, out)]
    assert curves[0] == curves[1] and len(curves[0]["looks"]) == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--watch", "litle"], "did you mean little"),
        (["--watch-every", "2"], "--watch-every: nothing is watched"),
        (["--watch", "little", "--watch-limit", "0"], "--watch-limit: 0"),
    ],
)
def test_what_cannot_be_watched_is_said_before_training(watched, capsys, more, message):
    code, out = watched("candidate", "--method", "lora", *more)
    assert code == 2 and message in capsys.readouterr().err and not out.exists()
