"""Task files to mappings: includes, repeated keys, Python references, hostile YAML. Merging is held against lm-eval's
own loader.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from lm_eval.tasks._yaml_loader import load_yaml

from evalharness.errors import TaskError
from evalharness.tasks import loading
from evalharness.tasks.loading import Code, load, with_includes


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / f"{next(iter(files))}.yaml"


def test_includes_merge_as_lm_evals_do(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        top="include: [left.yaml, right.yaml]\ntask: top\nmetadata: {version: 2}\n",
        left="include: base.yaml\nmetadata: {version: 1, kept: no}\ndoc_to_text: left\n",
        right='doc_to_text: right\nfewshot_delimiter: "\\n"\ntask_list: [x]\n',
        base="dataset_path: base\ntag: [a, b]\ngeneration_kwargs: {until: [x], max_gen_toks: 3}\n",
    )
    assert load(path) == load_yaml(path)
    assert load(path)["doc_to_text"] == "right" and load(path)["metadata"] == {"version": 2}


def test_a_diamond_is_fine_and_a_circle_is_not(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        top="include: [a.yaml, b.yaml]\n",
        a="include: base.yaml\nx: 1\n",
        b="include: base.yaml\ny: 2\n",
        base="z: 3\n",
    )
    assert load(path) == {"x": 1, "y": 2, "z": 3}
    circle = write(tmp_path, one="include: two.yaml\n", two="include: one.yaml\n")
    with pytest.raises(TaskError, match=r"circle \(one\.yaml → two\.yaml → one\.yaml\)"):
        load(circle)


def test_python_references_are_kept_and_never_run(tmp_path: Path) -> None:
    (tmp_path / "utils.py").write_text("raise SystemExit('ran')")
    path = write(
        tmp_path,
        top="include: base.yaml\ndoc_to_text: '{{q}}'\n",
        base="doc_to_text: !function utils.text\nprocess_docs: !function utils.docs\n",
    )
    found = load(path)
    assert found["doc_to_text"] == "{{q}}"
    assert found["process_docs"] == Code(function="utils.docs", where=f"{tmp_path / 'base.yaml'}:2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", r"top\.yaml:3: .*'a' appears twice"),
        ("m:\n  x: 1\n  x: 2\n", r"top\.yaml:3: .*'x' appears twice"),
        ("a: [1,\nb: 2\n", r"top\.yaml:\d: is not YAML"),
        ("a: !!python/object/apply:os.system [ls]\n", r"top\.yaml:1: is not YAML"),
        ("a: !include x\n", r"top\.yaml:1: is not YAML"),
        ("- a\n- b\n", "holds a list"),
        ("", "holds nothing"),
        ("1: one\n", "key 1 is no text"),
        ("a: .nan\n", r"top\.yaml:1"),
        ("include: gone.yaml\n", r"includes gone\.yaml, which is no file"),
        ("include: {a: 1}\n", "include is a mapping"),
        ("a: &a [*a]\n", "too deep or too large"),
        ("? [a, b]\n: 1\n", r"top\.yaml"),
        (
            "a: &x [1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"{'bcdefgh'[i]}: &{'yzuvwst'[i]} [{','.join(['*' + 'xyzuvws'[i]] * 9)}]\n" for i in range(7)),
            "too large",
        ),
    ],
)
def test_wrong_files_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        load(write(tmp_path, top=text))


def test_a_key_that_stands_twice_with_one_value_is_fine(tmp_path: Path) -> None:
    path = write(tmp_path, top="a: [1, {b: 2}]\nc: x\na: [1, {b: 2}]\n")
    assert load(path) == load_yaml(path) == {"a": [1, {"b": 2}], "c": "x"}


def test_what_many_files_include_is_read_once_and_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path,
        base="x: 1\ntask_list: [t]\n",
        a="include: base.yaml\ny: 1\n",
        b="include: [base.yaml, a.yaml]\ny: 2\n",
    )
    read: list[str] = []
    monkeypatch.setattr(loading, "parse", lambda path, parse=loading.parse: read.append(path.name) or parse(path))
    parsed: loading.Parsed = {}
    assert load(tmp_path / "a.yaml", parsed) == {"x": 1, "y": 1} and load(tmp_path / "b.yaml", parsed) == {
        "x": 1,
        "y": 2,
    }
    assert sorted(read) == ["a.yaml", "b.yaml", "base.yaml"] and load(tmp_path / "base.yaml", parsed) == {
        "x": 1,
        "task_list": ["t"],
    }


def test_a_mapping_inside_a_file_includes_from_beside_that_file(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep", base="x: 1\ny: 1\n")
    path = write(tmp_path, top="group: g\n")
    assert with_includes({"include": "deep/base.yaml", "y": 2}, path, {}) == {"x": 1, "y": 2}
    with pytest.raises(TaskError, match=r"top\.yaml: includes gone\.yaml"):
        with_includes({"include": "gone.yaml"}, path, {})


def test_python_is_named_by_the_file_beside_the_one_that_holds_the_tag(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "utils.py").write_text("raise SystemExit('ran')")
    write(tmp_path / "deep", base="a: !function utils.docs\nb: !function other.place.docs\n")
    found = load(write(tmp_path, top="include: deep/base.yaml\n"))
    assert (
        found["a"].description == f"docs of {tmp_path / 'deep' / 'utils.py'}"
        and found["b"].description == "other.place.docs"
    )


def test_bytes_and_places_that_are_no_text_file(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    with pytest.raises(TaskError, match=r"latin\.yaml:2: is not UTF-8"):
        load(tmp_path / "latin.yaml")
    with pytest.raises(TaskError, match="no regular file"):
        load(tmp_path)
    with pytest.raises(TaskError, match="does not exist"):
        load(tmp_path / "none.yaml")


def test_dates_stay_texts_and_a_byte_order_mark_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("\ufeffmade: 2024-02-29\nbase: &b {x: 1}\nmerged: {<<: *b, x: 2}\n".encode())
    assert load(tmp_path / "a.yaml") == {"made": "2024-02-29", "base": {"x": 1}, "merged": {"x": 2}}
