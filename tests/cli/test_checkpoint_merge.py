"""`checkpoint merge`: what it prints, and that `show` and `run` know what came out."""

from __future__ import annotations

import json

import pytest
from command_line import exit_code

from evalharness.merging.summary import merged_from


@pytest.fixture
def call(capsys):
    """Arguments to (exit code, stdout, stderr)."""
    return lambda *arguments: (exit_code(*arguments), *capsys.readouterr())


def test_merge_show_and_run_without_a_base(call, zoo, small_world, tmp_path):
    full = tmp_path / "full"
    code, out, _ = call("checkpoint", "merge", f"mine={zoo['llama-lora']}", "--out", full, "--dtype", "bfloat16")
    assert code == 0 and out.startswith(f"{full}\n  merged from     mine (into the base)\n")
    assert "of the adapter on its base" in out and "rounding loses  logits up to" in out
    shown = call("checkpoint", "show", full)[1]
    assert "  merged from     mine (into the base)\n" in shown and f"  base            {zoo['llama']}\n" in shown
    options = ("--task", "yes_no", "--limit", "4", "--include-path", small_world / "tasks")
    places = ("--data-dir", small_world / "data", "--out", tmp_path / "run", "--store", tmp_path / "store.sqlite")
    assert call("run", "--model", full, *options, *places, "-q")[0] == 0
    models = json.loads((tmp_path / "run" / "results.json").read_text())["models"]
    assert [(each["name"], each["kind"], each["training"]) for each in models] == [
        ("llama", "base", {}),
        ("full", "full", {"method": "merge"}),
    ]


def test_merge_says_json_and_refuses_with_2(call, zoo, tmp_path):
    lora = zoo["llama-lora"]
    models = (f"a={lora}", f"b={lora}")
    code, out, _ = call(
        *("checkpoint", "merge", *models, "--out", tmp_path / "one", "--method", "ties", "--density", "0.5"),
        *("--weight", "a=2", "--json"),
    )
    facts = json.loads(out)
    assert code == 0 and facts == json.loads((tmp_path / "one" / "merge.json").read_text())
    merge = json.loads(call("checkpoint", "show", tmp_path / "one", "--json")[1])["made"]["merge"]
    assert [(each["name"], each["weight"]) for each in merge["parents"]] == [("a", 2.0), ("b", 1.0)]
    assert merged_from(merge) == "a × 2, b × 1 (ties, density 0.5)"
    code, _, err = call("checkpoint", "merge", *models, "--out", tmp_path / "one", "--method", "cat")
    assert code == 2 and "exists already" in err
    code, _, err = call("checkpoint", "merge", *models, "--out", tmp_path / "two", "--method", "cat", "--weight", "a=x")
    assert code == 2 and "--weight a" in err


def test_a_broken_record_is_never_a_traceback(call, zoo, copy, edit_json):
    folder = copy("llama", "full")
    for parents in (7, [7], [{"name": 3}], [{"name": "a", "weight": "b"}]):
        edit_json(folder / "merge.json", base=str(zoo["llama"]), combination="ties", parents=parents, density="much")
        code, out, err = call("checkpoint", "show", folder)
        assert code == 0 and "Traceback" not in out + err
