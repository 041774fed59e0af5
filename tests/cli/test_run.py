"""`run` from the command line: chat templates, with tiny models that have some (exit codes, one line an error, prompts
as the template puts them), and what `--train-data [NAME=]PATH` means to the job.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_chats
import torch
from command_line import exit_code
from transformers import LlamaForCausalLM

from evalharness.cli.run_steps import _train_data
from evalharness.errors import UsageError

Run = Callable[..., tuple[int, str, str]]
TEMPLATE, ALLOW = "--apply-chat-template", ("--chat-template-mismatch", "allow")


@pytest.fixture
def models(zoo: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """A base and a full candidate by each template; the LoRA of that base speaks as the base does."""
    found = {"plain": zoo["llama"], "lora": zoo["llama-lora"]}
    for name, template in (("base", tiny_chats.BRACKETS), ("same", tiny_chats.BRACKETS), ("other", tiny_chats.DATED)):
        found[name] = tiny_chats.with_template(zoo["llama"], tmp_path / name, template)
    return found


@pytest.fixture
def run(models: dict[str, Path], small_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(model: str, *options: str, base: str = "base") -> tuple[int, str, str]:
        common = [
            "--task",
            "yes_no",
            "--task",
            "echo",
            "--include-path",
            str(small_world / "tasks"),
            "--data-dir",
            str(small_world / "data"),
        ]
        defaults = {
            "--out": str(tmp_path / "out"),
            "--store": str(tmp_path / "store.sqlite"),
            "--limit": "6",
            "--device": "cpu",
        }
        places = [text for pair in defaults.items() if pair[0] not in options for text in pair]
        places += ["-q", "--allow-noop"]
        names = ["--model", f"candidate={models[model]}", "--base", f"base={models[base]}"]
        ended = exit_code("run", *names, *common, *places, *options)
        output = capsys.readouterr()
        return ended, output.out, output.err

    return run


def prompts(tmp_path: Path, model: str) -> list[str]:
    return [
        json.loads(line)["prompt"]
        for line in (tmp_path / "out" / "samples" / "yes_no" / f"{model}.jsonl").read_text().splitlines()
    ]


def test_its_gate_is_in_the_json_and_in_the_files_that_are_asked_for(run: Run, tmp_path: Path) -> None:
    cases = tmp_path / "cases.xml"
    code, out, err = run("lora", "--gate", "--json", "--junit", str(cases))
    whole = json.loads(out)
    assert whole["gate"]["exit_code"] == code == 4 and "gate undecided" in err
    assert {key: whole[key] for key in whole if key != "gate"} == json.loads(
        (tmp_path / "out" / "results.json").read_text()
    )
    assert "<testsuite" in cases.read_text()
    code, out, err = run("lora", "--junit", str(cases), "--out", str(tmp_path / "new"))
    assert (code, out) == (2, "") and "--junit: is an output of the gate, which does not run; give --gate" in err
    code, out, err = run("lora", "--gate", "--junit", str(tmp_path), "--out", str(tmp_path / "new"))
    assert (code, out) == (2, "") and f"--junit: {tmp_path} is no place for a file" in err
    assert not (tmp_path / "new").exists()
    for place, what in (
        (tmp_path / "store.sqlite", "the store"),
        (tmp_path / "out" / "run.json", "the run's run.json"),
    ):
        before = place.read_bytes()
        code, out, err = run("lora", "--gate", "--markdown", str(place))
        assert (code, out) == (2, "") and f"--markdown: {place} is {what}, and would be written over" in err
        assert place.read_bytes() == before


def test_by_their_common_template(run: Run, tmp_path: Path) -> None:
    assert run("lora", TEMPLATE, "--num-fewshot", "1")[0] == 0
    assert prompts(tmp_path, "base") == prompts(tmp_path, "candidate")
    first = prompts(tmp_path, "base")[0]
    assert first.startswith("<s>[ASK] ") and first.count("[ASK]") == 2 and first.endswith("? [/ASK]")
    assert run("lora", TEMPLATE, "--num-fewshot", "1", "--no-fewshot-as-multiturn")[0] == 0
    assert prompts(tmp_path, "base")[0].count("[ASK]") == 1


def test_a_model_without_a_template(run: Run) -> None:
    code, _, said = run("same", TEMPLATE, base="plain")
    note, error = said.splitlines()
    assert (
        code == 2
        and "chat template" in note
        and "base: its tokenizer" in error
        and "has no chat template; save one" in error
    )


def test_different_templates(run: Run) -> None:
    code, _, said = run("other", TEMPLATE)
    note, error = said.splitlines()
    assert (
        code == 5
        and "chat template" in note
        and "candidate by chat template" in error
        and "--chat-template-mismatch allow" in error
    )
    code, out, _ = run("other", TEMPLATE, *ALLOW)
    assert code == 0 and "yes_no" in out


@pytest.mark.parametrize("base", ["plain", "base"])
def test_candidates_alone(base: str, run: Run, tmp_path: Path) -> None:
    assert run("same", f"{TEMPLATE}=candidates", base=base)[0] == 5
    assert run("same", f"{TEMPLATE}=candidates", *ALLOW, base=base)[0] == 0
    assert not prompts(tmp_path, "base")[0].startswith("<s>") and prompts(tmp_path, "candidate")[0].startswith("<s>")


def test_an_instruction(run: Run, tmp_path: Path) -> None:
    code, _, said = run("same", TEMPLATE, "--system-instruction", "Be brief.")
    assert code == 2 and "has no system message" in said
    assert run("same", "--system-instruction", "Be brief.")[0] == 0
    assert prompts(tmp_path, "base")[0].startswith("Be brief.")


def test_options_that_mean_nothing(run: Run) -> None:
    code, _, said = run("same", "--fewshot-as-multiturn")
    assert code == 2 and "no turns without a chat template" in said
    assert run("same", f"{TEMPLATE}=bases")[0] == 2


def test_train_data_for_all_and_for_one(tmp_path: Path) -> None:
    rows, odd = tmp_path / "rows.jsonl", tmp_path / "a=b.jsonl"
    rows.touch()
    odd.touch()
    assert _train_data([]) == {}
    assert _train_data([str(rows), f"lora={odd}"]) == {"": rows, "lora": odd}
    assert _train_data([str(odd)]) == {"": odd}


def test_wrong_train_data_is_named(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.touch()
    for given, named in (
        ([str(rows), str(rows)], "several for all"),
        (["away.jsonl"], "away.jsonl does not exist"),
        (["lora=away.jsonl"], "--train-data lora: away.jsonl does not exist"),
        ([f"lora={rows}", f"lora={rows}"], "given twice"),
    ):
        with pytest.raises(UsageError, match=named):
            _train_data(given)


@pytest.mark.fault(12)
def test_a_run_with_memory_for_two_rows_decides_as_one_with_plenty(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(folder: str) -> dict[str, object]:
        assert run("lora", "--out", str(tmp_path / folder), "--store", str(tmp_path / f"{folder}.sqlite"))[0] == 0
        document = json.loads((tmp_path / folder / "results.json").read_text())
        assert not document["errors"]
        return {"comparisons": document["comparisons"]}

    whole, refused = LlamaForCausalLM.forward, []

    def choke(model: LlamaForCausalLM, *args: object, **inputs: torch.Tensor) -> object:
        if len(inputs["input_ids"]) > 2:
            refused.append(len(inputs["input_ids"]))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return whole(model, *args, **inputs)

    plenty = answers("plenty")
    monkeypatch.setattr(LlamaForCausalLM, "forward", choke)
    assert answers("little") == plenty and max(refused) > 4


@pytest.mark.fault(12)
@pytest.mark.fault(35)
def test_a_prompt_that_is_too_large_alone_fails_alone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends with 5, the rest is reported and kept, and with more memory the same command completes it."""
    texts = ["the cat", "a dog", "the mat " * 6, "the dog", "a cat", "a mat"]
    rows, whole = tmp_path / "rows.jsonl", LlamaForCausalLM.forward
    rows.write_text("".join(json.dumps({"text": text, "label": 0}) + "\n" for text in texts))
    given = ("--data", f"echo={rows}")

    def choke(model: LlamaForCausalLM, *args: object, **inputs: torch.Tensor) -> object:
        if inputs["input_ids"].shape[1] > 12:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return whole(model, *args, **inputs)

    def document(part: str) -> list[dict[str, object]]:
        return json.loads((tmp_path / "out" / "results.json").read_text())[part]

    with monkeypatch.context() as little:
        little.setattr(LlamaForCausalLM, "forward", choke)
        code, out, _ = run("lora", *given)
        failed = [
            (error["task"], error["model"], error["example"][:2], error["reason"]) for error in document("errors")
        ]
        rows_of = {row["task"]: row["n"] for row in document("comparisons") if row["primary"]}
    reason = "out of memory with a single row"
    assert code == 5 and sorted(failed) == [("echo", model, "2-", reason) for model in ("base", "candidate")]
    assert rows_of["echo"] == 5 and rows_of["yes_no"] == 6 and "yes_no" in out
    assert run("lora", *given)[0] == 0 and not document("errors")


def test_passes_of_few_tokens_decide_the_same(run: Run, tmp_path: Path) -> None:
    documents = []
    for folder, options in (("many", ()), ("few", ("--batch-tokens", "48", "--batch-size", "3"))):
        places = ("--out", str(tmp_path / folder), "--store", str(tmp_path / f"{folder}.sqlite"))
        assert run("lora", *places, *options)[0] == 0
        documents.append(json.loads((tmp_path / folder / "results.json").read_text()))
    many, few = documents
    assert few["comparisons"] == many["comparisons"]
    asked = [document["signature"]["engine"] for document in documents]
    assert [(details["batch_tokens"], details["batch_size"]) for details in asked] == [(2048, 16), (48, 3)]
