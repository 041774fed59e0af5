"""--push-to-hub without a hub: said before training; a push that fails loses no candidate."""

from __future__ import annotations

import socket

import pytest
from command_line import exit_code
from huggingface_hub import constants

from evalharness.errors import StoreError
from evalharness.training.publish import push


@pytest.fixture
def away(monkeypatch, tmp_path):
    """A hub at an address where nobody answers, and no token but the environment's."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def refused(given, capsys, tmp_path):
    def run(repository="me/mine"):
        command = ["--method", "lora", "--task", "films", *given, "--push-to-hub", repository]
        assert exit_code("train", *command) == 2 and not (tmp_path / "candidate").exists()
        return capsys.readouterr().err

    return run


def test_it_is_said_before_training_what_is_missing(away, refused):
    assert "--push-to-hub: there is no token for the hub; run `hf auth login` or set HF_TOKEN, or leave" in refused()
    assert "--push-to-hub me/mi/ne: " in refused("me/mi/ne")
    away.setenv("HF_TOKEN", "hf_of_nobody")
    assert "--push-to-hub: the hub does not take the token (" in refused()
    away.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "--push-to-hub: the hub is switched off here (HF_HUB_OFFLINE); unset it, or leave it out" in refused()


def test_a_push_that_fails_loses_nothing(away, tmp_path):
    away.setenv("HF_TOKEN", "hf_of_nobody")
    (tmp_path / "candidate").mkdir()
    (tmp_path / "candidate" / "training.json").write_text("{}")
    with pytest.raises(StoreError, match=r"was not pushed to me/mine .*complete in its folder; again with `hf upload"):
        push(tmp_path / "candidate", "me/mine")
    assert (tmp_path / "candidate" / "training.json").read_text() == "{}"
