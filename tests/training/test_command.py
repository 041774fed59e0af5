"""`evalharness train` as a user meets it."""

from __future__ import annotations

import json

import pytest
from command_line import exit_code


def ended(*arguments):
    return exit_code("train", *arguments)


def test_says_what_was_made(given, tmp_path, capsys):
    assert ended("--method", "lora", "--task", "films", "--replay", "plays=0.2", *given) == 0
    out, err = capsys.readouterr()
    facts = json.loads((tmp_path / "candidate" / "training.json").read_text())
    assert f"{facts['trainable']:,} of {facts['parameters']:,} parameters" in out
    assert (
        "8 films, 2 plays" in out
        and "on disk:" in out
        and "time:" in out
        and f"{facts['final_loss']:.4f} at the end" in out
    )
    assert "step 3/3, loss" in err


def test_json_is_all_there_is_on_stdout(given, tmp_path, capsys):
    assert ended("--method", "prompt", "--task", "films", "--virtual-tokens", "3", "--json", *given) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads((tmp_path / "candidate" / "training.json").read_text())
    assert json.loads(out)["recipe"]["virtual_tokens"] == 3 and err == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--task", "film"], "did you mean films"),
        (["--task", "films", "--replay", "plays"], "'plays' is not NAME=VALUE"),
        (["--task", "films", "--replay", "plays=much"], "'much' is no number"),
        (["--task", "films", "--replay", "plays=1.5"], "between 0 and 1"),
        (["--task", "films", "--targets", "query"], "'query' names no linear layer"),
        (["--task", "films", "--lr", "1e30"], "diverged"),
        (["--task", "films", "--epochs", "2"], "one of them"),
        (["--task", "films", "--base", "nowhere/at/all"], "no such directory"),
        (["--task", "films", "--data", "films=nowhere"], "does not exist"),
        (["--task", "films", "--data", "flims=."], "did you mean films"),
        (["--task", "films", "--mix", "plays=0"], "--mix plays"),
        (["--task", "films", "--mix", "play"], "did you mean plays"),
        (["--task", "films", "--alpha", "0"], "--alpha"),
        (["--task", "films", "--virtual-tokens", "3"], "is no option of lora"),
        (
            ["--task", "films", "--method", "qlora", "--base", "nowhere"],
            "--method qlora: 4-bit weights need an NVIDIA GPU",
        ),
        (["--task", "films", "--template", "shrot"], "did you mean short"),
        (["--task", "films", "--max-length", "2"], "leaves 2"),
        (["--task", "films", "--validation-file", "nowhere.jsonl"], "--validation-file: nowhere.jsonl does not exist"),
        (["--train-file", "nowhere.jsonl"], "--train-file: nowhere.jsonl does not exist"),
        (["--lr", "0.1"], "--task: is missing"),
        (["--task", "films", "--after", "nowhere/at/all"], "no such directory"),
    ],
)
def test_one_line_and_exit_2_for_what_is_wrong(given, tmp_path, capsys, arguments, said):
    assert ended("--method", "lora", *given, *arguments) == 2
    err = capsys.readouterr().err.strip()
    assert said in err.splitlines()[-1] and "Traceback" not in err
    assert not [path for path in tmp_path.iterdir() if "candidate" in path.name]


def test_a_file_teaches_and_others_are_mixed_in(given, place, capsys):
    file = place / "mine.jsonl"
    file.write_text('{"prompt": "it is", "completion": " good"}\n' * 4)
    (place / "held.jsonl").write_text('{"prompt": "it was", "completion": " bad"}\n')
    more = ["--mix", "films", "--replay", "plays=0.2", "--validation-file", str(place / "held.jsonl")]
    assert ended("--method", "layers", "--train", "*norm*", "--train-file", str(file), *more, *given) == 0
    facts = json.loads((place / "candidate" / "training.json").read_text())
    assert facts["data"]["counts"] == {str(file): 4, "films": 4, "plays": 2} and facts["target_task"] is None
    assert [source["kind"] for source in facts["data"]["sources"]] == ["file", "task", "task"]
    assert facts["data"]["validation"]["path"] == str(place / "held.jsonl") and "validation:" in capsys.readouterr().out


def test_conversations_need_a_template_and_have_it(given, talkative, place, capsys):
    file = place / "talks.jsonl"
    file.write_text(
        json.dumps({"messages": [{"role": "user", "content": "is it good"}, {"role": "assistant", "content": "yes"}]})
        + "\n"
    )
    assert ended("--method", "lora", "--train-file", str(file), *given) == 2
    assert "no chat template" in capsys.readouterr().err
    assert ended("--method", "lora", "--train-file", str(file), *given, "--base", str(talkative)) == 0


def test_an_existing_folder_is_refused_before_anything_is_read(given, tmp_path, capsys):
    (tmp_path / "candidate").mkdir()
    assert ended("--method", "lora", "--task", "unknown", *given) == 2
    assert "exists already" in capsys.readouterr().err
