"""What users do wrong, through the command line and the real engine: one clear line, the documented exit code, no
traceback.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from command_line import exit_code, last_of_each

Outcome = tuple[int, str, str]
Run = Callable[..., Outcome]


@pytest.fixture
def run(zoo: dict[str, Path], small_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`evalharness run` on the small world: (exit code, stdout, stderr). What a test gives replaces the same here."""

    def call(
        model: str | Path,
        *more: str | Path,
        base: Path | None = zoo["llama"],
        tasks: Sequence[str] = ("yes_no", "echo"),
    ) -> Outcome:
        arguments = [
            "run",
            "--model",
            str(model),
            "--include-path",
            str(small_world / "tasks"),
            "--data-dir",
            str(small_world / "data"),
        ]
        arguments += [part for task in tasks for part in ("--task", task)]
        arguments += [
            "--out",
            str(tmp_path / "out"),
            "--store",
            str(tmp_path / "store.sqlite"),
            "--device",
            "cpu",
            *map(str, more),
        ]
        arguments += ["--base", f"base={base}"] if base else []
        capsys.readouterr()
        ended = exit_code(*last_of_each(arguments, ("--out", "--store", "--data-dir", "--device")))
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        return ended, output.out, output.err

    return call


def refused(outcome: Outcome, *said: str, code: int = 2) -> None:
    got, out, err = outcome
    error = err[err.rindex("Error: ") :]
    assert got == code, err
    assert error.count("\n") == 1, f"not one line: {error!r}"
    for text in said:
        assert text in error
    assert out == ""


def test_it_runs_when_nothing_is_wrong(run: Run, zoo: dict[str, Path], tmp_path: Path) -> None:
    code, out, err = run(zoo["llama-lora"])
    assert code == 0
    assert "inconclusive" in out
    assert "base: yes_no [0/120 requests" in err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "results.json",
        "measurements.parquet",
        "samples",
        "run.json",
        "report.html",
    }


def test_missing_path(run: Run) -> None:
    refused(run("/nowhere/model"), "/nowhere/model", "no such directory")


def test_empty_directory(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(run(tmp_path / "empty"), "empty directory")


def test_base_not_found(run: Run, copy: Callable[..., Path], edit_json: Callable[..., None]) -> None:
    adapter = copy("llama-lora")
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="/gone/base")
    refused(run(adapter, base=None), "/gone/base", "--base")


def test_no_base_known(run: Run, zoo: dict[str, Path]) -> None:
    refused(run(zoo["gpt2"], base=None), "its base is unknown", "with --base")


def test_adapter_for_another_architecture(run: Run, zoo: dict[str, Path]) -> None:
    refused(run(zoo["gpt2-lora"]), "gpt2-lora")


def test_lora_that_does_nothing(run: Run, tiny: object, zoo: dict[str, Path], tmp_path: Path) -> None:
    noop = tiny.make_adapter(zoo["llama"], tmp_path / "noop", tiny.lora(), trained=False)  # type: ignore[attr-defined]
    refused(run(noop), "noop", "changes no logit", "--allow-noop")
    code, _, _ = run(noop, "--allow-noop")
    assert code == 0


def test_missing_tensor(run: Run, copy: Callable[..., Path], edit_tensors: Callable[..., None]) -> None:
    broken = copy("llama")
    edit_tensors(broken / "model.safetensors", lambda tensors: tensors.pop("model.norm.weight"))
    refused(run(f"broken={broken}"), "model.norm.weight")


def test_truncated_tensor(run: Run, copy: Callable[..., Path]) -> None:
    broken = copy("llama")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    refused(run(f"broken={broken}"), "model.safetensors")


def test_bin_only(run: Run, copy: Callable[..., Path]) -> None:
    broken = copy("llama")
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    refused(run(f"broken={broken}"), "safetensors only", "pytorch_model.bin")


def test_nan_weights(run: Run, copy: Callable[..., Path], edit_tensors: Callable[..., None]) -> None:
    broken = copy("llama")
    edit_tensors(broken / "model.safetensors", lambda tensors: tensors["model.norm.weight"].fill_(torch.nan))
    refused(run(f"broken={broken}"), "model.norm.weight", "NaN")


def test_unknown_task_and_suite(run: Run, zoo: dict[str, Path]) -> None:
    refused(run(zoo["llama-lora"], tasks=("yes_noo",)), "yes_noo", "did you mean yes_no?")
    refused(run(zoo["llama-lora"], "--suite", "forgeting", tasks=()), "forgeting", "did you mean forgetting")


@pytest.mark.parametrize(
    "text",
    ["task: [", "task: t\n\tdoc_to_text: x", "just words", "task: t\nunknown_key: 1\ndataset_path: x\ndoc_to_text: y"],
)
def test_malformed_yaml(run: Run, zoo: dict[str, Path], tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    refused(run(zoo["llama-lora"], tasks=(str(tmp_path / "bad.yaml"),)), "bad.yaml")


def test_limit_zero(run: Run, zoo: dict[str, Path]) -> None:
    code, out, err = run(zoo["llama-lora"], "--limit", "0")
    assert (code, out) == (2, "")
    assert "--limit" in err


def test_empty_data(run: Run, zoo: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("")
    refused(run(zoo["llama-lora"], "--data", f"echo={tmp_path / 'rows.jsonl'}"), "rows.jsonl")


def test_undecodable_rows(run: Run, zoo: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"text": "fine", "label": 1}\n{"text": "caf\xe9", "label": 0}\n')
    refused(run(zoo["llama-lora"], "--data", f"echo={tmp_path / 'rows.jsonl'}"), "rows.jsonl:2")


def test_prompt_that_cannot_fit(run: Run, zoo: dict[str, Path], tmp_path: Path) -> None:
    rows = [{"text": "a b c", "label": 0}] * 12 + [{"text": "word " * 300, "label": 1}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, _ = run(zoo["llama-lora"], "--data", f"echo={tmp_path / 'rows.jsonl'}", tasks=("echo",))
    assert code == 5
    assert "incomplete" in out
    assert exit_code("gate", tmp_path / "out") == 5


def test_out_that_cannot_be_written(run: Run, zoo: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(run(zoo["llama-lora"], "--out", tmp_path / "file" / "out"), "file/out", "cannot write here")


def test_read_only_out(run: Run, zoo: dict[str, Path]) -> None:
    refused(
        run(zoo["llama-lora"], "--out", "/sys/evalharness"), "/sys/evalharness", "cannot write here", "--out"
    )  # not even root can


def test_unknown_engine(run: Run, zoo: dict[str, Path]) -> None:
    refused(run(zoo["llama-lora"], "--engine", "hff"), "did you mean hf?")


def test_forgetting_without_hub_and_data(
    run: Run, zoo: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "no-data").mkdir()
    refused(
        run(zoo["llama-lora"], "--suite", "forgetting", "--data-dir", tmp_path / "no-data", tasks=()),
        "sst2",
        "--data-dir",
        "--data",
    )


def test_a_name_that_is_hostile_stays_harmless(run: Run, zoo: dict[str, Path], tmp_path: Path) -> None:
    code, out, err = run(f"<b>..\x1b[31m={zoo['llama-lora']}", tasks=("yes_no",))
    assert code == 0
    assert "<b>..\\u001b[31m" in out
    assert "\x1b[31m" not in out + err
    assert "<b>.." not in (tmp_path / "out" / "report.html").read_text()
    assert all(path.name == "out" or path.name.startswith("store.sqlite") for path in tmp_path.iterdir())
