"""`evalharness train` as a user meets it."""

from __future__ import annotations

import json

import pytest
from command_line import exit_code, last_of_each

ONCE = ("--base", "--method", "--lr", "--steps", "--out", "--device")  # of which the last counts here


def ended(*arguments):
    return exit_code("train", *last_of_each(arguments, ONCE))


def test_says_what_was_made(given, tmp_path, capsys):
    assert ended("--method", "lora", "--task", "films", "--replay", "plays=0.2", *given) == 0
    out, err = capsys.readouterr()
    facts = json.loads((tmp_path / "candidate" / "training.json").read_text())
    assert f"{facts['trainable']:,} of {facts['parameters']:,} parameters" in out
    assert (
        "8 films, 2 plays" in out
        and "on disk:" in out
        and "time:" in out
        and f"{facts['losses'][0]:.4f} at step 1, {facts['last_loss']:.4f} at step 3" in out
        and f"mean of the last 3 steps {sum(facts['losses']) / 3:.4f}" in out
        and "30 seen in 3 steps (3.00 passes)" in out
    )
    assert "step 3/3, loss" in err


def test_json_is_all_there_is_on_stdout(given, tmp_path, capsys):
    assert ended("--method", "prompt", "--task", "films", "--virtual-tokens", "3", "--json", *given) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads((tmp_path / "candidate" / "training.json").read_text())
    assert json.loads(out)["recipe"]["virtual_tokens"] == 3 and err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
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
        (
            ["--train-file", "nowhere.jsonl", "--columns", "prompt=q"],
            "--columns: is for rows of tasks, not for training",
        ),
        (["--lr", "0.1"], "--task: is missing"),
        (["--task", "films", "--after", "nowhere/at/all"], "no such directory"),
    ],
)
def test_one_line_and_exit_2_for_what_is_wrong(given, tmp_path, capsys, arguments, message):
    assert ended("--method", "lora", *given, *arguments) == 2
    err = capsys.readouterr().err.strip()
    assert message in err.splitlines()[-1] and "Traceback" not in err
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


def talks(place, *conversations, name="talks.jsonl"):
    file = place / name
    lines = (
        json.dumps({"messages": [{"role": role, "content": text} for role, text in each]}) for each in conversations
    )
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


@pytest.mark.fault(17)
def test_what_is_cut_and_left_out_is_said_at_the_end_however_quiet(given, talkative, place, capsys):
    answer = ("assistant", "yes")
    file = talks(
        place,
        [("user", "it is"), answer],
        [("user", "it is " * 10), answer, ("user", "good"), answer],
        [("user", "it is " * 30), answer],
    )
    arguments = ["--method", "lora", "--train-file", str(file), *given, "--base", str(talkative)]
    assert ended(*arguments, "-q", "--max-length", "20") == 0
    out, err = capsys.readouterr()
    assert "examples that lost their beginning, to fit the window or --max-length: 1\n" in out and err == ""
    assert "conversations left out, whose last question and answer do not fit: 1\n" in out
    facts = json.loads((place / "candidate" / "training.json").read_text())
    assert (facts["truncated"], facts["left_out"], facts["data"]["seen"], facts["data"]["passes"]) == (1, 1, 6, 3.0)


@pytest.mark.fault(17)
def test_nothing_that_fits_is_an_error(given, talkative, place, capsys):
    file = talks(place, [("user", "it is " * 30), ("assistant", "yes")])
    assert ended("--method", "lora", "--train-file", str(file), *given, "--base", str(talkative)) == 2
    assert "none of 1 conversations fits 32 tokens" in capsys.readouterr().err


@pytest.mark.parametrize("validation", [False, True])
def test_what_cannot_be_learned_is_named_by_its_line(given, talkative, place, capsys, validation):
    wrong = talks(place, [("assistant", "good"), ("user", "it is")], name="wrong.jsonl")
    right = talks(place, [("user", "it is"), ("assistant", "good")])
    files = [str(right), "--validation-file", str(wrong)] if validation else [str(wrong)]
    assert ended("--method", "lora", "--train-file", *files, *given, "--base", str(talkative)) == 2
    assert f"{wrong}:1: no turn of the assistant answers one of the user" in capsys.readouterr().err


def test_a_completion_too_long_is_named_by_its_line(given, place, capsys):
    file = place / "mine.jsonl"
    file.write_text(
        '{"prompt": "it is", "completion": " good"}\n\n{"prompt": "it", "completion": "%s"}\n' % (" good" * 40)
    )
    assert ended("--method", "lora", "--train-file", str(file), *given) == 2
    assert f"{file}:3: its completion has 41 tokens" in capsys.readouterr().err


@pytest.fixture
def long_and_short(place):
    """Two pairs that fit 12 tokens, one of which the question does not, one of which the answer does not."""
    pairs = [("it is", " good"), ("it is" + " it" * 20, " bad"), ("it was", " good" * 20), ("it was", " bad")]
    file = place / "mine.jsonl"
    file.write_text("".join(json.dumps({"prompt": one, "completion": two}) + "\n" for one, two in pairs))
    return ["--method", "lora", "--train-file", str(file), "--max-length", "12"]


def test_what_does_not_fit_is_left_out_and_counted(given, long_and_short, place, capsys):
    assert ended(*long_and_short, *given, "--too-long", "drop") == 0
    assert "examples left out, which do not fit the window or --max-length: 2\n" in capsys.readouterr().out
    facts = json.loads((place / "candidate" / "training.json").read_text())
    assert (facts["truncated"], facts["left_out"], facts["data"]["seen"]) == (0, 2, 6)
    assert facts["recipe"]["too_long"] == "drop"


def test_what_does_not_fit_is_refused_by_its_place(given, long_and_short, place, capsys):
    assert ended(*long_and_short, *given, "--too-long", "refuse") == 2
    said = "mine.jsonl:2: does not fit 12 tokens (the window or --max-length), the first of 2"
    assert said in capsys.readouterr().err and not (place / "candidate").exists()
    assert ended("--method", "lora", "--task", "films", *given, "--too-long", "refuse", "--max-length", "7") == 2
    assert "films, split 'train', row 0: does not fit 7 tokens" in capsys.readouterr().err


def test_talks_that_do_not_fit_whole_are_dropped_where_that_is_asked(given, talkative, place, capsys):
    answer = ("assistant", "yes")
    long = [("user", "it is " * 10), answer, ("user", "good"), answer]
    file = talks(place, [("user", "it is"), answer], long)
    arguments = ["--method", "lora", "--train-file", str(file), *given, "--base", str(talkative), "--max-length", "20"]
    assert ended(*arguments, "--too-long", "drop") == 0
    assert "--max-length: 1\n" in capsys.readouterr().out


@pytest.mark.parametrize(("option", "right"), [("--limit", "--steps"), ("--num-train-epochs", "--epochs")])
def test_options_of_other_commands_and_tools_are_answered(given, capsys, option, right):
    assert ended("--method", "lora", "--task", "films", option, "3", *given) == 2
    err = capsys.readouterr().err
    assert right in err and "--mix" not in err


def test_full_weights_say_their_type(given, capsys):
    assert ended("--method", "full", "--task", "films", *given, "--save-dtype", "bfloat16") == 0
    assert "saved as bfloat16\n" in capsys.readouterr().out
