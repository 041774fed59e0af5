"""What is cheap to check is said before torch is imported, whichever command is given it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from evalharness.checkpoints import device_names
from evalharness.cli import main
from evalharness.errors import EvalHarnessError, StoreError, UsageError
from evalharness.paths import shipped
from evalharness.records.job import Job
from evalharness.records.job_options import make_job
from evalharness.run import checks

BASE = str(shipped("fixtures/models") / "tiny-base")
RUN = ("run", "--model", BASE, "--base", BASE)
TRACE = ("trace", "--stage", BASE, "--base", BASE)
TRAIN = ("train", "--method", "lora", "--base", BASE)
SWEEP = ("sweep", "--base", BASE, "--suite", "demo")
DEMO, TASK, OUT = ("--suite", "demo"), ("--task", "sst2"), ("--out", "{tmp}/out")
ROWS = ("--data-dir", str(shipped("fixtures/world/rows")))
COPY = ("run", "--model", f"tuned={BASE}", "--base", BASE, "--task", "sst2", *ROWS, *OUT, "--quiet")
TUNED = (*COPY, "--allow-noop")
SCRIPTED = (*TUNED, "--engine", "scripted", "--engine-option")
MISTAKES = {
    (*RUN, "--suite", "forgeting"): "did you mean forgetting",
    (*RUN, "--task", "sst"): "did you mean sst2?",
    (*RUN, "--task", "gleu"): "did you mean glue?",
    (*RUN, *DEMO, "--target", "sst"): "did you mean sst2?",
    (*RUN, *DEMO, "--margin", "sst=.1"): "no task or group 'sst'; did you mean sst2",
    (*RUN, *DEMO, "--margin", "sst2@polite=.1"): "no task or group 'sst2@polite'; did you mean sst2?",
    (*RUN, *DEMO, "--margin", "world:all=.1"): "no task or group 'world:all'",
    (*RUN, *DEMO, "--margin", "demo=.1"): "the suite demo has no margin of its own",
    (*RUN, *DEMO, "--engine-option", "bath=8"): "the engine hf has no option 'bath'; leave it out: it has none",
    (*SCRIPTED, "anwsers=x"): "the engine scripted has no option 'anwsers'; did you mean answers?",
    (*RUN, *DEMO, "--describe", "robustnes"): "did you mean robustness?",
    (*RUN, *DEMO, "--engine", "hff"): "did you mean hf?",
    (*RUN, *DEMO, "--device", "tpu"): "--device: unknown device 'tpu'; auto, cpu, cuda or cuda:N would be right",
    (*RUN, *DEMO, "--data-dir", "/nowhere"): "--data-dir: /nowhere does not exist",
    (*RUN, *DEMO, "--baseline", "/nowhere"): "--baseline: /nowhere does not exist",
    (*RUN, *DEMO, "--model", "/nowhere/model"): "/nowhere/model: no such directory",
    (*RUN, *DEMO, "--model", "/nowhere/*"): "no directory /nowhere",
    (*RUN, *DEMO, "--out", "/sys/evalharness"): "/sys/evalharness: cannot write here",  # not even root can
    (*RUN, *DEMO, *OUT, "--store", "/sys/evalharness/s.sqlite"): "/sys/evalharness: cannot write here",
    (*RUN, *DEMO, *OUT, "--store", "{tmp}/no-store"): "no-store: cannot be used as the store",
    (*TRACE, "--suite", "forgeting"): "did you mean forgetting",
    (*TRACE, *DEMO, "--joint", "/nowhere/model"): "/nowhere/model: no such directory",
    (*TRACE, *DEMO, "--out", "/sys/evalharness"): "/sys/evalharness: cannot write here",
    (*TRAIN, *OUT, "--task", "sst"): "did you mean sst2?",
    (*TRAIN, *OUT, *TASK, "--mix", "gleu"): "did you mean glue?",
    (*TRAIN, *OUT, *TASK, "--device", "tpu"): "--device: unknown device 'tpu'",
    (*TRAIN[:-1], "/nowhere/model", *OUT, *TASK): "/nowhere/model: no such directory",
    (*TRAIN, *OUT, *TASK, "--data-dir", "/nowhere"): "--data-dir: /nowhere does not exist",
    (*TRAIN, *OUT, "--train-file", "/nowhere.jsonl"): "--train-file: /nowhere.jsonl does not exist",
    (*TRAIN, *TASK, "--out", "/sys/evalharness"): "/sys/evalharness: cannot write here",
    (*SWEEP, *OUT, "--task", "sst"): "did you mean sst2?",
    (*SWEEP[:-1], "forgeting", *OUT, *TASK): "did you mean forgetting",
    (*SWEEP, *OUT, *TASK, "--device", "tpu"): "--device: unknown device 'tpu'",
    (*SWEEP, *TASK, "--out", "/sys/evalharness"): "/sys/evalharness: cannot write here",
}
PLANNED = {  # said once the plan of the run is made, which needs no model in memory either
    COPY: "tuned: has the very weights of its base tiny-base",
    (*TUNED, "--template", "polite"): "no task of this run has a wording 'polite'",
    (*TUNED, "--model", f"tuned={BASE}"): "tuned: 2 checkpoints of this run have this name",
    (*TUNED, "--train-data", "tund={tmp}"): "no candidate 'tund' in this run; did you mean tuned?",
    (*TUNED, "--margin", "rte=.1"): "no task or group 'rte' in what is compared",
    (*SCRIPTED, "answers=/nowhere"): "/nowhere: cannot be read",
    (*SCRIPTED, "samples={tmp}"): "--engine-option samples: no samples in {tmp}; an earlier run's RUN/samples",
}
HEAVY = ("torch", "transformers", "peft", "datasets", "evaluate", "matplotlib", "scipy")
PROGRAM = """
import contextlib, io, json, sys
from evalharness.cli.main import main

for arguments in json.load(sys.stdin):
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            main(arguments)
    except SystemExit as ended:
        print(json.dumps([ended.code, said.getvalue(), sorted(sys.modules)]))
"""


def test_a_mistake_costs_no_import_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "no-store").write_text("no database")
    _each_is_said(MISTAKES, tmp_path, HEAVY)
    assert [path.name for path in tmp_path.iterdir()] == ["no-store"]


def test_a_mistake_that_the_plan_shows_is_said_before_torch_is_imported(tmp_path: Path) -> None:
    _each_is_said(PLANNED, tmp_path, HEAVY[:5])


def _each_is_said(mistakes: Mapping[tuple[str, ...], str], folder: Path, heavy: Sequence[str]) -> None:
    """Every command ends with 2 and one line that says what is wrong, and none imports a heavy library."""
    commands = [[part.replace("{tmp}", str(folder)) for part in arguments] for arguments in mistakes]
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=json.dumps(commands), capture_output=True, text=True, check=True
    )
    outcomes = [json.loads(line) for line in process.stdout.splitlines()]
    for (arguments, wanted), (code, said, modules) in zip(mistakes.items(), outcomes, strict=True):
        lines = [line for line in said.splitlines() if line.startswith("Error")]
        assert (code, len(lines), wanted.replace("{tmp}", str(folder)) in said) == (2, 1, True), (arguments, said)
        assert not {*heavy} & {*modules}, arguments


def test_output_fills_no_checkpoint_and_no_root(tmp_path: Path) -> None:
    adapter, bare = tmp_path / "adapter", tmp_path / "weights"
    for folder, name in ((adapter, "adapter_config.json"), (bare, "model-00001-of-00002.safetensors")):
        folder.mkdir()
        (folder / name).touch()
    commands = ((*RUN, *DEMO), (*TRACE, *DEMO), (*SWEEP, *TASK), ("demo",), ("compare", str(tmp_path)), ("plan", *DEMO))
    mistakes: dict[tuple[str, ...], str] = {}
    for command in commands:
        mistakes[*command, "--out", "/"] = "--out: / is the root of a file system; name a folder in it"
        for folder in (adapter, bare):
            held = next(folder.iterdir()).name
            mistakes[*command, "--out", str(folder)] = f"--out: {folder} is a checkpoint (it holds {held})"
    _each_is_said(mistakes, tmp_path, ())
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "adapter", "adapter_config.json", "model-00001-of-00002.safetensors", "weights",
    ]  # fmt: skip


def job(tmp_path: Path, **more: object) -> Job:
    fields: dict[str, object] = {"models": (BASE,), "base": BASE, "suite": "demo", "out": tmp_path / "a" / "out"}
    return make_job(**{**fields, "store": tmp_path / "b" / "store.sqlite", **more})  # type: ignore[arg-type]


def test_nothing_wrong_leaves_nothing(tmp_path: Path) -> None:
    checks.check_job(job(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_hub_id_is_not_looked_up(tmp_path: Path) -> None:
    checks.check_job(job(tmp_path, models=("nobody/nothing",), base="nobody/nothing-either@main"))


@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_devices_that_always_are(name: str) -> None:
    checks.check_device(name)


@pytest.mark.parametrize(
    ("version", "reason"), [("2.13.0+cpu", "is for CPUs only"), ("2.13.0", "this machine has none")]
)
def test_an_accelerator_that_cannot_be_is_refused(version: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_names, "versions_of", lambda _: {"torch": version})
    monkeypatch.setattr(device_names, "ACCELERATORS", ("no-such-device*",))
    with pytest.raises(UsageError, match=f"--device: cuda:1 asked for, but .*{reason}.*; use --device auto or cpu"):
        checks.check_device("cuda:1")


def test_an_accelerator_that_may_be_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_names, "versions_of", lambda _: {"torch": "2.13.0+cu130"})
    monkeypatch.setattr(device_names, "ACCELERATORS", ("null",))
    checks.check_device("cuda")


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        StoreError, match=r"file/out: cannot write here .*; name a folder that can be written with --out"
    ):
        checks.check_folder(tmp_path / "file" / "out")


def test_every_error_is_one_that_the_user_can_mend(tmp_path: Path) -> None:
    for wrong in (
        {"suite": "x"},
        {"tasks": ("x",)},
        {"data": {"sst2": tmp_path / "x"}},
        {"drift_text": tmp_path / "x"},
    ):
        with pytest.raises(EvalHarnessError):
            checks.check_job(job(tmp_path, **wrong))


def test_the_demo_looks_at_its_folder_first() -> None:
    with pytest.raises(StoreError, match=r"/sys/evalharness: cannot write here"):
        main.evalharness(["demo", "--out", "/sys/evalharness"], standalone_mode=False)
