"""What `evalharness doctor` looks at, and when it ends with 2."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from threading import Thread

import pytest
import torch
from command_line import exit_code

from evalharness.doctor import Condition, devices, hub, packages

STATED = ["numpy>=2", 'torch>=2.6; extra == "hf"', 'peft>=0.2; extra == "hf"', 'evalharness[hf]; extra == "quant"',
          'bits>=1; extra == "quant"']  # fmt: skip


def of_versions(versions: Mapping[str, str]) -> dict[str, tuple[Condition, str]]:
    def version_of(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    return {each.name: (each.condition, each.words) for each in packages(version_of, STATED)}


def test_an_extra_is_there_absent_or_broken() -> None:
    whole = {"numpy": "2.1", "torch": "2.13.0+cpu", "peft": "0.21", "bits": "1.0"}
    assert {condition for condition, _ in of_versions(whole).values()} == {Condition.FINE}
    part = of_versions({"numpy": "2.1", "torch": "2.7"})
    assert part["needed"] == (Condition.FINE, "numpy 2.1")
    condition, words = part["[hf]"]
    assert condition == Condition.ABSENT and "would add run" in words and "not installed: peft" in words
    assert part["[quant]"][0] == Condition.ABSENT
    condition, words = of_versions({**whole, "torch": "2.5"})["[hf]"]
    assert condition == Condition.BROKEN and "torch>=2.6" in words and "2.5 is there" in words
    assert of_versions({})["needed"][0] == of_versions({"numpy": "1.26"})["needed"][0] == Condition.BROKEN


def test_devices_are_those_that_torch_sees() -> None:
    seen = {each.name: each for each in devices()}
    assert f"{torch.get_num_threads()} threads of torch {torch.__version__}" in seen["cpu"].words
    assert (seen["cuda"].condition == Condition.FINE) == torch.cuda.is_available()

    def unloadable(name: str) -> None:
        raise OSError("libtorch.so: undefined symbol")

    (broken,) = devices(unloadable)
    assert broken.condition == Condition.BROKEN and "undefined symbol" in broken.words


class Refusing(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_error(401)

    def log_message(self, *_: object) -> None:
        pass


def test_a_hub_that_answers_is_there_and_one_that_does_not_is_away() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        assert hub({"HF_ENDPOINT": address}, 5.0).condition == Condition.FINE
        offline = hub({"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "1"}, 5.0)
        assert offline.condition == Condition.ABSENT and "HF_HUB_OFFLINE is set" in offline.words
        server.shutdown()
    away = hub({"HF_ENDPOINT": address}, 5.0)
    assert away.condition == Condition.ABSENT and "is away" in away.words
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection, and says nothing
        mute = hub({"HF_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}, 0.2)
        assert mute.condition == Condition.ABSENT and "is away" in mute.words


def test_the_command_ends_with_0_and_with_2_where_something_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (("HF_HUB_OFFLINE", "1"), ("EVALHARNESS_STORE", str(tmp_path / "no" / "store.sqlite"))):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy>=2"])
    assert exit_code("doctor") == 0
    output = capsys.readouterr().out
    assert "✓ python" in output and "✓ cpu" in output and "store.sqlite can be written" in output and "– hub" in output
    assert sorted(os.listdir(tmp_path)) == []
    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy>=999"])
    monkeypatch.setenv("EVALHARNESS_STORE", "/proc/none/store.sqlite")
    assert exit_code("doctor", "--json") == 2
    document = json.loads(capsys.readouterr().out)
    by_name = {each["name"]: each for each in document["examinations"]}
    assert document["exit_code"] == 2 and by_name["needed"]["condition"] == "broken"
    assert by_name["store"]["condition"] == "absent" and "name another file with --store" in by_name["store"]["words"]
