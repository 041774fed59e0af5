"""Task files that grow, nest, surprise or ask for too much: an error of the file with what would be right, in bounded
time and memory, and never a crash.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from command_line import exit_code
from task_files import task_from_file

from evalharness.errors import TaskError
from evalharness.tasks.loading import DEEPEST

TASK = """task: t
dataset_path: local/echo
test_split: test
output_type: generate_until
doc_to_text: "{{text}}"
doc_to_target: "{{text}}"
metric_list: [{metric: exact_match}]
"""


def nested(first: str, line: str, times: int) -> str:
    """A mapping in which every line refers to the one before."""
    lines = (line.format(this=number, last=number - 1) for number in range(1, times))
    return f"metadata:\n  a0: &a0 {first}\n" + "".join(f"  a{n}: &a{n} {each}\n" for n, each in enumerate(lines, 1))


NINE = ", ".join(["*a{last}"] * 9)
GROWING = {
    "lists of aliases": nested("[x, x]", f"[{NINE}]", 12),
    "merges of aliases": nested("{{x: 1}}".format(), f"{{{{<<: [{NINE}]}}}}", 12),
    "merges that stand twice": nested("{x: 1}", "{{<<: *a{last}, <<: *a{last}}}", 40),
    "a merge of itself": "metadata: &m {<<: *m, a: 1}\n",
    "a list in itself": "metadata: &m [*m, *m]\n",
    "equal keys with aliases": nested("[x]", "[*a{last}, *a{last}]", 40) + "k: *a39\nk: *a39\n",
    "deep lists": "metadata: " + "[" * 100_000 + "]" * 100_000,
    "deep mappings": "metadata: " + "{a: " * 100_000 + "1" + "}" * 100_000,
    "deep dashes": "metadata:\n  " + "- " * 100_000 + "x",
    "comments": "#" * (1 << 21),
}
SURPRISING = {
    "python object": "metadata: !!python/object/apply:os.system [true]\n",
    "python name": "metadata: !!python/name:os.system\n",
    "unknown tag": "metadata: !foo bar\n",
    "time that is none": "metadata: {version: !!timestamp foo}\n",
    "date that is none": "metadata: {version: !!timestamp 2020-99-01}\n",
    "truth that is none": "metadata: {margin: !!bool foo}\n",
    "number that is none": "num_fewshot: !!int foo\n",
    "number with many digits": "num_fewshot: " + "9" * 100_000 + "\n",
    "hexadecimal number": "metadata: {version: 0x" + "f" * 5_000 + "}\n",
    "hexadecimal margin": "metadata: {margin: 0x" + "f" * 5_000 + "}\n",
    "infinity": "metadata: {margin: .inf}\n",
    "no path": 'include: "a\\0b.yaml"\n',
    "too long a path": f"include: {'a' * 5_000}.yaml\n",
    "a device": "include: /dev/zero\n",
    "a folder": "include: /\n",
    "no text": "dataset_name: 010\n",
    "a float": "dataset_name: 1.10\n",
    "truth for a text": "gen_prefix: no\n",
    "two documents": "---\ntask: u\n",
    "key that is none": "? [x, x]\n: 1\n",
}
TOO_MUCH = {
    "num_fewshot: 1000000": ("num_fewshot", "up to 1000 "),
    "repeats: 1000000000": ("repeats", "to 10000 "),
    "generation_kwargs: {max_gen_toks: 1000000000}": ("max_gen_toks", "up to 1000000 "),
    "generation_kwargs: {until: [" + "s, " * 100_000 + "]}": ("until", "up to 1000 texts"),
    f"generation_kwargs: {{until: [{'s' * 100_000}]}}": ("until", "10000 characters"),
}


def refused(folder: Path, text: str) -> str:
    """What the error of a file says."""
    (folder / "t.yaml").write_text(text)
    start = time.process_time()
    with pytest.raises(TaskError) as caught:
        task_from_file(folder / "t.yaml")
    assert time.process_time() - start < 1.5
    assert "t.yaml" in str(caught.value)
    return str(caught.value)


@pytest.mark.fault(25)
@pytest.mark.parametrize("name", [*GROWING, *SURPRISING])
def test_a_file_that_grows_or_surprises_is_refused(name: str, tmp_path: Path) -> None:
    assert "t.yaml" in refused(tmp_path, TASK + {**GROWING, **SURPRISING}[name])


@pytest.mark.fault(25)
@pytest.mark.parametrize("value", ["no", "1.10", "010", "~", "[a]", '""'])
def test_a_task_without_a_name_that_is_a_text_is_refused(value: str, tmp_path: Path) -> None:
    refused(tmp_path, TASK.replace("task: t", f"task: {value}"))


@pytest.mark.fault(25)
@pytest.mark.parametrize("line", TOO_MUCH)
def test_sizes_have_ends_that_the_error_names(line: str, tmp_path: Path) -> None:
    key, most = TOO_MUCH[line]
    said = refused(tmp_path, f"{TASK}{line}\n")
    assert key in said and most in said


def includes(many: int, deep: int) -> Mapping[str, str]:
    """Files that each include the next one `many` times."""
    files = {f"i{n}.yaml": f"include: [{', '.join([f'i{n + 1}.yaml'] * many)}]\n" for n in range(deep)}
    return {**files, f"i{deep}.yaml": "description: last\n", "t.yaml": f"{TASK}include: i0.yaml\n"}


@pytest.mark.fault(25)
def test_many_includes_of_one_file_are_merged_once(tmp_path: Path) -> None:
    for name, text in includes(9, DEEPEST - 2).items():
        (tmp_path / name).write_text(text)
    start = time.process_time()
    assert task_from_file(tmp_path / "t.yaml").description == "last"
    assert time.process_time() - start < 1.5


@pytest.mark.fault(25)
def test_includes_end(tmp_path: Path) -> None:
    for name, text in includes(1, 1500).items():
        (tmp_path / name).write_text(text)
    with pytest.raises(TaskError, match=f"more than {DEEPEST} deep"):
        task_from_file(tmp_path / "t.yaml")


@pytest.mark.fault(25)
def test_groups_that_list_one_group_in_many_ways_are_looked_through_once(tmp_path: Path, capsys) -> None:
    (tmp_path / "t.yaml").write_text(TASK)
    for n in range(8):
        for side in "ab":
            (tmp_path / f"g{n}{side}.yaml").write_text(f"group: g{n}{side}\ntask: [g{n + 1}a, g{n + 1}b]\n")
    for side in "ab":
        (tmp_path / f"g8{side}.yaml").write_text(f"group: g8{side}\ntask: [t]\n")
    start = time.process_time()
    assert exit_code("tasks", "show", "g0a", "--include-path", tmp_path) in (0, 2)
    assert time.process_time() - start < 5
    assert "a bug in evalharness" not in capsys.readouterr().err
