"""`evalharness checkpoint show URL#MODEL`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import exit_code
from invented_models import Invented, inventing

MODELS = {"base": Invented(entry={"max_model_len": 64}), "tuned": Invented(weights="tuned", entry={"parent": "base"})}


def test_what_is_known_is_shown_and_what_is_not_is_said_to_be_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    with inventing(MODELS) as server:
        assert exit_code("checkpoint", "show", f"mine={server.address('tuned')}") == 0
    shown = capsys.readouterr().out
    lines = dict(line.strip().split(maxsplit=1) for line in shown.splitlines() if line.startswith("  "))
    assert shown.splitlines()[0] == "mine"
    assert (lines["base"], lines["window"]) == (server.address("base"), "64")
    assert lines["parameters"] == "unknown (the server does not say)"


def test_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    with inventing(MODELS) as server:
        assert exit_code("checkpoint", "show", server.address("base"), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["name"], facts["kind"], facts["parameters"], facts["window"]) == ("base", "base", None, 64)
    assert facts["endpoint"] == server.address("base") and facts["base"] is None
    assert facts["with_logprobs"] and facts["noise"] == 0.0 and len(facts["probes"]) == 64


def test_a_wrong_name_and_a_training_on_a_served_model_end_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with inventing(MODELS) as server:
        assert exit_code("checkpoint", "show", server.address("bace")) == 2
        assert "did you mean base?" in capsys.readouterr().err
        trained = ("--base", server.address("base"), "--task", "sst2", "--method", "lora", "--out", tmp_path / "out")
        assert exit_code("train", *trained) == 2
        assert "a model behind a server has no files" in capsys.readouterr().err
