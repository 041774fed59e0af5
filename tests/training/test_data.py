"""How much of the training set comes from where, in which words, what is held out, and the same every time; files line
by line.
"""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.data.sources import DataSource
from evalharness.errors import DataError, TaskError, UsageError
from evalharness.tasks.library import Library
from evalharness.training import example_file
from evalharness.training.data import gather, mix
from evalharness.training.recipe import Recipe

TASK = """
task: {name}
dataset_path: little/{name}
{training}
test_split: test
output_type: multiple_choice
doc_to_text: "{name} {{{{text}}}} Answer:"
doc_to_choice: ["no", "yes"]
doc_to_target: label
validation_split: {dev}
metric_list:
  - metric: acc
metadata:
  version: 1.0
  family: demo
  chance: 0.5
  primary: acc
  lm_eval: "no"
"""
WORDINGS = """  templates:
    asked: {doc_to_text: "is {{text}} so?"}
    told: {doc_to_text: "so {{text}}"}
"""


def numbered_pairs(name, number):
    return tuple((f"{name} {index}", f" answer {index}") for index in range(number))


@given(st.integers(1, 60), st.lists(st.floats(0.01, 0.3), max_size=3), st.integers(0, 99))
def test_each_task_gets_its_fraction_of_the_whole(number, fractions, seed):
    replay = {f"old{place}": (fraction, numbered_pairs(f"old{place}", 7)) for place, fraction in enumerate(fractions)}
    mixed = mix("new", numbered_pairs("new", number), replay, seed)
    assert len(mixed.examples) == sum(mixed.counts.values())
    assert [mixed.counts["new"], set(numbered_pairs("new", number)) <= set(mixed.examples)] == [number, True]
    for name, (fraction, _) in replay.items():
        assert abs(mixed.counts[name] - fraction * number / (1 - sum(fractions))) <= 0.5
        assert sum(prompt.startswith(name) for prompt, _ in mixed.examples) == mixed.counts[name]
    assert mix("new", numbered_pairs("new", number), replay, seed).digest == mixed.digest


def test_replayed_rows_repeat_only_when_all_are_in():
    mixed = mix("new", numbered_pairs("new", 20), {"old": (0.5, numbered_pairs("old", 8))}, 0)
    times = [mixed.examples.count(pair) for pair in numbered_pairs("old", 8)]
    assert sum(times) == 20 and set(times) == {2, 3}
    assert mix("new", numbered_pairs("new", 20), {"old": (0.5, numbered_pairs("old", 8))}, 1).digest != mixed.digest


@pytest.fixture
def world(tmp_path):
    """Three tasks, one of which has no training split and one an empty one, with rows in the layout of --data-dir."""
    tasks, rows = tmp_path / "tasks", tmp_path / "rows"
    tasks.mkdir()
    for name, number, dev in (("little_new", 6, "dev"), ("little_old", 4, "test"), ("little_empty", 0, "dev")):
        text = TASK.format(name=name, training="training_split: train", dev=dev)
        (tasks / f"{name}.yaml").write_text(text + WORDINGS if name == "little_new" else text)
        folder = rows / "little" / name / "default"
        folder.mkdir(parents=True)
        lines = [json.dumps({"text": f"text {index}", "label": index % 2}) for index in range(number)]
        (folder / "train.jsonl").write_text("".join(line + "\n" for line in lines))
        for split in ("dev", "test"):
            (folder / f"{split}.jsonl").write_text(json.dumps({"text": split, "label": 0}) + "\n")
    (tasks / "little_untrained.yaml").write_text(TASK.format(name="little_untrained", training="", dev="dev"))
    (tasks / "little_group.yaml").write_text("group: little_group\ntask:\n  - little_new\n  - little_old\n")
    return Library([tasks]), DataSource(data_dir=rows)


def recipe_with(target="little_new", **fields):
    return Recipe(method="full", base="base", out="out", target=target, **fields)


def test_gathers_prompts_and_answers(world):
    gathered = gather(recipe_with(), *world)
    assert gathered.counts == {"little_new": 6} and gathered.tasks == ("little_new",) and gathered.validation == ()
    assert ("little_new text 1 Answer:", " yes") in gathered.examples and (
        "little_new text 0 Answer:",
        " no",
    ) in gathered.examples
    (source,) = gathered.sources
    assert (source["kind"], source["name"], source["split"], len(source["digest"])) == (
        "task",
        "little_new",
        "train",
        64,
    )


def test_a_group_stands_for_its_tasks_without_the_target(world):
    assert gather(recipe_with(replay={"little_group": 0.4}), *world).counts == {"little_new": 6, "little_old": 4}


def test_tasks_are_mixed_by_their_weights_and_what_is_replayed_keeps_its_share(world):
    assert gather(recipe_with(mix={"little_old": 2}), *world).counts == {"little_new": 6, "little_old": 12}
    assert gather(recipe_with(mix={"little_old": 1, "little_new": 3}), *world).counts == {
        "little_new": 6,
        "little_old": 2,
    }
    gathered = gather(recipe_with("little_old", mix={"little_new": 1}, replay={"little_group": 0.2}), *world)
    assert gathered.counts == {
        "little_old": 4,
        "little_new": 6,
    }  # 4 of 10: (1 - .2) / 2; the rest is mixed in or replayed


def test_wordings(world):
    assert {prompt.split()[0] for prompt, _ in gather(recipe_with(template="asked"), *world).examples} == {"is"}
    every = gather(recipe_with(template="all", replay={"little_old": 0.4}), *world).examples
    assert sorted(prompt.split()[0] for prompt, _ in every) == sorted(
        ["is", "so", "little_new"] * 2 + ["little_old"] * 4
    )
    numbers = [
        next(word for word in prompt.split() if word.isdigit())
        for prompt, _ in every
        if not prompt.startswith("little_old")
    ]
    assert sorted(numbers) == list("012345")  # every row once
    assert gather(recipe_with(template="all", replay={"little_old": 0.4}), *world).examples == every
    with pytest.raises(UsageError, match="did you mean asked"):
        gather(recipe_with(template="askd"), *world)
    with pytest.raises(UsageError, match="no task of this training has another wording"):
        gather(recipe_with("little_old", template="asked"), *world)


def test_rows_to_validate_on(world):
    gathered = gather(recipe_with(validation=0.3, seed=3), *world)
    assert (
        len(gathered.validation) == 2
        and len(gathered.examples) == 4
        and not set(gathered.examples) & set(gathered.validation)
    )
    assert gathered.validation_source["kind"] == "fraction" and gathered.validation_source["examples"] == 2
    gathered = gather(recipe_with(eval_every=1), *world)
    assert gathered.validation == (("little_new dev Answer:", " no"),) and len(gathered.examples) == 6
    assert {key: gathered.validation_source[key] for key in ("kind", "name", "split")} == {
        "kind": "task",
        "name": "little_new",
        "split": "dev",
    }
    with pytest.raises(UsageError, match="evaluated on its validation split"):
        gather(recipe_with("little_old", patience=1), *world)
    with pytest.raises(UsageError, match="leaves none to train on"):
        gather(recipe_with(validation=0.99), *world)


def test_equal_rows_are_never_on_both_sides(world, tmp_path):
    path = tmp_path / "examples.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": f"is {number % 3}?", "completion": " yes"}) + "\n" for number in range(12))
    )
    gathered = gather(Recipe(method="full", base="base", out="out", train_file=str(path), validation=0.25), *world)
    assert (
        len(gathered.validation) == 4
        and len(set(gathered.validation)) == 1
        and not set(gathered.examples) & set(gathered.validation)
    )


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"target": "little_ne"}, TaskError, "did you mean little_new"),
        ({"replay": {"little_ol": 0.1}}, TaskError, "did you mean little_old"),
        ({"mix": {"little_ol": 1}}, TaskError, "did you mean little_old"),
        ({"target": "little_untrained"}, TaskError, "names no training_split"),
        ({"target": "little_empty"}, DataError, "little_empty"),
        ({"replay": {"little_empty": 0.1}}, DataError, "little_empty"),
        ({"replay": {"little_new": 0.1}}, UsageError, "is the target itself"),
    ],
)
def test_what_cannot_be_gathered(world, fields, error, message):
    with pytest.raises(error, match=message):
        gather(recipe_with(**fields), *world)


# ---- files -----------------------------------------------------------------------------------------------------------

PAIR = '{"prompt": "is it?", "completion": " yes", "id": 7}'
TALK = '{"messages": [{"role": "user", "content": "is it?"}, {"role": "assistant", "content": "yes"}]}'


def test_files_of_pairs_and_of_conversations(world, tmp_path):
    path = tmp_path / "examples.jsonl"
    path.write_text(f"{PAIR}\n\n{PAIR}\n")
    gathered = gather(
        Recipe(method="full", base="base", out="out", train_file=str(path), replay={"little_old": 0.5}), *world
    )
    assert gathered.counts == {str(path): 2, "little_old": 2} and gathered.examples.count(("is it?", " yes")) == 2
    assert gathered.sources[0] == {
        "kind": "file",
        "path": str(path),
        "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
        "forms": {"prompt/completion": 2},
    }
    path.write_text(TALK)
    gathered = gather(Recipe(method="full", base="base", out="out", target="little_new", train_file=str(path)), *world)
    assert gathered.examples == ((("user", "is it?"), ("assistant", "yes")),) and gathered.counts == {"little_new": 1}
    with pytest.raises(UsageError, match="no validation examples"):
        gather(Recipe(method="full", base="base", out="out", train_file=str(path), eval_every=1), *world)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{PAIR}\nnot json", ":2: is not JSON"),
        (f"{PAIR}\n{TALK}", ":2: another form"),
        ('{"prompt": "x"}', ":1: has the keys 'prompt', which fit no form"),
        ('{"prompt": "x", "completion": 3}', ":1: 'completion' is a number, no text"),
        ('{"prompt": "x", "completion": ""}', ":1: an empty completion"),
        (
            '{"prompt": "x", "completion": "y", "messages": []}',
            ":1: has the keys 'prompt', 'completion', 'messages', which fit several",
        ),
        ("[1]", ": entry 1: holds a number; one object"),
        ('{"messages": []}', ":1: its messages are no list"),
        (
            '{"messages": [{"role": "robot", "content": "x"}]}',
            ":1: message 1: has the role 'robot'; one of system, user, assistant",
        ),
        ('{"messages": [{"role": "user", "content": "x"}]}', ":1: no turn of the assistant"),
        ("\n", "holds no examples"),
        (b"\xff\xff", "not UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_lines_that_are_no_examples(tmp_path, text, said):
    path = tmp_path / "examples.jsonl"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=f"examples.jsonl.*{said}"):
        example_file.read_examples(path)


PUBLISHED = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request."
    "\n\n### Instruction:\nAdd\n\n### Input:\n1 2\n\n### Response:\n"
)
ASKED = (("system", "be brief"), ("user", "is it?"), ("assistant", "yes"))
MESSAGES = '[{"role": "system", "content": "be brief"}, {"role": "user", "content": "is it?"}, '
MESSAGES += '{"role": "assistant", "content": "yes"}]'
TURNS = (
    '[{"from": "system", "value": "be brief"}, {"from": "human", "value": "is it?"}, {"from": "gpt", "value": "yes"}]'
)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"text": "all of it"}', ("", "all of it")),
        ('{"instruction": "Add", "input": "1 2", "output": "3", "text": "Below"}', (PUBLISHED, "3")),
        ('{"conversations": ' + TURNS + ', "id": "x"}', ASKED),
        ('{"conversations": ' + MESSAGES + "}", ASKED),
        ('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}, '
         '{"role": "user", "content": "c"}, {"role": "assistant", "content": "d", "weight": 1}]}',
         (("user", "a"), ("assistant, given", "b"), ("user", "c"), ("assistant", "d"))),
        ("[" + PAIR + ",\n" + PAIR + "]", ("is it?", " yes")),
        ("\ufeff" + PAIR, ("is it?", " yes")),
        ("\ufeff[" + PAIR + "]", ("is it?", " yes")),
    ],
)  # fmt: skip
def test_forms_in_which_such_files_lie_around(tmp_path, text, read):
    path = tmp_path / "examples.jsonl"
    path.write_text(text)
    examples, *_ = example_file.read_examples(path)
    assert set(examples) == {read}


def test_alpaca_without_input_has_the_shorter_prompt(tmp_path):
    path = tmp_path / "alpaca.json"
    path.write_text('[{"instruction": "Say {hi}", "input": "", "output": "hi"}]')
    ((prompt, completion),), *_ = example_file.read_examples(path)
    assert prompt.endswith("request.\n\n### Instruction:\nSay {hi}\n\n### Response:\n") and completion == "hi"
    assert "Input" not in prompt


SAID = '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"%s}]%s}'


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (SAID % ("", ', "tools": {"name": "f"}'), "its tools are an object, no list of objects"),
        (SAID % (', "tool_calls": [{"id": 1}]', ""), "message 2: has tool_calls without the name of a function"),
        (SAID % (', "reasoning_content": "so"', ""), "message 2: has reasoning_content, which is not put into prompts"),
        (PAIR[:-1] + ', "tools": [{"name": "f"}]}', "has tools and no turns"),
        (SAID % (', "weight": 0', ""), "no turn of the assistant to learn"),
        (SAID % (', "weight": 0.5', ""), "message 2: has the weight 0.5; 0 .* or 1"),
        (SAID.replace('"y"', '" "') % ("", ""), "message 2: an empty turn of the assistant; .*weight"),
        (SAID.replace('"y"', "null") % ("", ""), "message 2: has no text as content"),
        ('{"question": "x", "answer": "y"}', "has the keys 'question', 'answer', which fit no form .*a line such as"),
        ('{"text": "x", "label": 1}', "has the keys 'text', 'label', which fit no form"),
        ("{}", "an empty object"),
        ('{"prompt": "x", "completion": "  "}', "an empty completion"),
        ('{"prompt": "x", "completion": "y", "weight": 0}', "has weight, which is not supported"),
        ('{"prompt": "x", "completion": "y", "loss_mask": [0]}', "has loss_mask, which is not supported"),
        ('{"instruction": "x", "output": "y", "weight": 0.5}', "has weight, which is not supported"),
        (SAID % ("", ', "weight": 0'), "has weight, .*; leave the line out, or the key"),
        ('{"instruction": "x", "input": 3, "output": "y"}', "'input' is a number, no text"),
    ],
)
def test_rows_that_would_be_learned_otherwise_than_they_say_are_refused(tmp_path, row, said):
    path = tmp_path / "examples.jsonl"
    first = PAIR if "prompt" in row or "text" in row else TALK
    path.write_text(f"{first}\n{row}\n")
    with pytest.raises(DataError, match=f"examples.jsonl:2: .*{said}"):
        example_file.read_examples(path)


def test_an_example_is_found_where_it_stands(tmp_path, world):
    path = tmp_path / "examples.jsonl"
    path.write_text(f"{PAIR}\n\n" + PAIR.replace("yes", "no") + "\n")
    gathered = gather(Recipe(method="full", base="base", out="out", train_file=str(path)), *world)
    assert gathered.place_of(("is it?", " no")) == f"{path}:3"
    assert gathered.place_of(("is it?", " " + "ha" * 50)) == f"training example {(' ' + 'ha' * 50)[:40]!r}"


def test_a_suite_is_no_task_and_its_tasks_are_named(world):
    with pytest.raises(
        TaskError, match=r"^glue: is a suite, not a task; name one of its tasks \(cola, sst2, .*wnli\)$"
    ):
        gather(Recipe(method="full", base="base", out="out", target="glue"), *world)


def test_the_option_that_was_given_is_named(world, tmp_path):
    path = tmp_path / "examples.jsonl"
    path.write_text(PAIR)
    for option in ("patience", "eval_every"):
        with pytest.raises(UsageError, match=f"^--{option.replace('_', '-')}: "):
            gather(Recipe(method="full", base="base", out="out", train_file=str(path), **{option: 1}), *world)


def test_a_table_is_refused_with_the_forms_that_are_read(tmp_path):
    path = tmp_path / "examples.csv"
    path.write_text("prompt,completion\na,b\n")
    with pytest.raises(DataError, match=r"examples.csv: a training file is not read as \.csv; JSON lines or one JSON"):
        example_file.read_examples(path)
