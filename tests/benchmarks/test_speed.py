"""The speed benchmark's arithmetic, counts and tables; what it measures is run by `make bench` alone."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "benchmarks" / "speed"
FIELDS = {"workload", "model", "ratio", "floor", "goal", "median_ours", "median_theirs"} | {
    "peak_memory_ours",
    "peak_memory_theirs",
    "max_difference",
    "flops_share",
}


@pytest.fixture(scope="module")
def speed() -> Iterator[Any]:
    """The modules beside the script, by name."""
    names = ("table", "flops", "texts", "models", "workloads", "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        modules: dict[str, ModuleType] = {name: importlib.import_module(name) for name in names}
        yield SimpleNamespace(**modules)
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(str(HERE)):
                del sys.modules[name]


def row(speed: Any, name: str = "one", **changes: Any) -> Any:
    given = {"ratio": 2.0, "floor": 1.5, "goal": 3, "median_ours": 1.0, "median_theirs": 2.0}
    given |= {"wall_ours": 1.0, "wall_theirs": 2.0}
    return speed.table.Result(**{"workload": name, "model": "30M", **given, **changes})


def test_the_ratio_is_the_median_of_paired_rounds(speed: Any) -> None:
    assert speed.table.ratio([1.0, 2.0, 4.0], [3.0, 4.0, 4.0]) == 2.0


def test_differences_of_loglikelihoods_are_judged_relatively(speed: Any) -> None:
    ours = [[[-1.0, True], [-500.0, False]], [[-2.0, False]]]
    theirs = [[[-1.00005, True], [-500.0004, False]], [[-2.0, True]]]
    largest, differing = speed.table.differences(ours, theirs)
    assert largest == pytest.approx(4e-4) and differing == 1  # the flag of the last alone
    assert speed.table.differences([[[-1.0, True]]], [[[-1.01, True]]])[1] == 1


def test_texts_are_the_same_or_not(speed: Any) -> None:
    assert speed.table.differences([["a"], ["b"]], [["a"], ["c"]]) == (None, 1)


def test_results_have_the_published_fields(speed: Any, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert speed.table.read(path) == []
    speed.table.write(path, "a machine", speed.table.merged([], [row(speed)], ["one"]))
    written = json.loads(path.read_text("utf-8"))
    assert set(written) == {"machine", "workloads"} and set(written["workloads"][0]) >= FIELDS
    assert speed.table.read(path) == written["workloads"] and speed.table.machine_of(path) == "a machine"


def test_new_results_stand_in_the_place_of_earlier_ones(speed: Any) -> None:
    before = speed.table.merged([], [row(speed, "b"), row(speed, "gone"), row(speed, "a")], ["b", "gone", "a"])
    rows = speed.table.merged(before, [row(speed, "b", ratio=9.0)], ["a", "b"])
    assert [(each["workload"], each["ratio"]) for each in rows] == [("a", 2.0), ("b", 9.0)]


def test_the_table_marks_what_is_under_its_floor_and_what_was_not_measured(speed: Any) -> None:
    slow = row(speed, ratio=1.2, differing=0, max_difference=3e-6, peak_memory_ours=2**20, peak_memory_theirs=2**22)
    rows = speed.table.merged([], [slow, row(speed, "two", differing=2, requests=8)], ["one", "two"])
    lines = speed.table.table(rows).splitlines()
    assert "**1.20**" in lines[2] and "1 / 4" in lines[2] and "3e-06" in lines[2] and lines[2].endswith("| – |")
    assert "| 2.00 |" in lines[3] and "2 of 8 differ" in lines[3]
    assert {line.count("|") for line in lines} == {10}


def test_the_page_keeps_what_stands_around_the_table(speed: Any) -> None:
    page = (ROOT / "docs" / "speed.md").read_text("utf-8")
    again = speed.table.between(page, "| x |\n")
    assert again.startswith(page[: page.index(speed.table.BEGIN)]) and "| x |" in again
    assert speed.table.between(again, "| x |\n") == again
    with pytest.raises(ValueError, match="put both lines back"):
        speed.table.between("nothing", "x")


def test_needed_operations_against_a_count_by_hand(speed: Any) -> None:
    """Two continuations after a shared context of three tokens, by pencil."""
    sizes = speed.flops.Sizes(body=10, head=100, attended=1)
    rows = [([1, 2, 3], [4, 5]), ([1, 2, 3], [6]), ([1, 2, 3], [4, 7])]
    # fed: 1, 2, 3 and 4, for the last token of a row is not; predictions at 3 (for 4 and 6) and at 4 (for 5 and 7)
    assert speed.flops.needed(rows, sizes) == 2 * 10 * 4 + 4 * (1 + 2 + 3 + 4) + 2 * 100 * 2


def test_sizes_leave_embeddings_out(speed: Any) -> None:
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        sizes = speed.flops.sizes_of(LlamaForCausalLM(config))
    layer = 4 * 8 * 8 + 3 * 8 * 16 + 2 * 8
    assert sizes == speed.flops.Sizes(2 * layer + 8, 50 * 8, 2 * 4 * 2)


def test_rows_are_the_same_for_a_seed_and_as_long_as_their_benchmarks(speed: Any) -> None:
    first, second = speed.texts.Writer(3), speed.texts.Writer(3)
    assert [first.letters(), first.ranked(5, 10)] == [second.letters(), second.ranked(5, 10)]
    assert all(5 <= len(first.ranked(5, 10)["choices"]) <= 10 for _ in range(20))
    tokens = speed.models.tokenizer(8000)
    document = first.document()["document"]
    assert 3.5 < len(document) / len(tokens(document).input_ids) < 5
    assert 220 < len(tokens(document).input_ids) < 400


def test_written_words_are_read_back_as_the_tokens_that_they_were(speed: Any) -> None:
    tokens = speed.models.tokenizer(8000)
    ids = [2000, 5000, 7999, 3000]
    assert tokens(tokens.decode(ids)).input_ids == ids
    assert len(tokens(" A").input_ids) == len(tokens(" yes").input_ids) == 1


def test_an_agreement_is_the_share_before_the_first_other_token(speed: Any) -> None:
    def model(ids: torch.Tensor, logits_to_keep: int) -> Any:
        """It expects each token to be one more than the last."""
        return SimpleNamespace(logits=torch.nn.functional.one_hot(ids[:, -logits_to_keep:] + 1, 100).float())

    assert speed.models.agreement(model, [([1, 2], [3, 4, 9, 10]), ([5], [6, 7])]) == 4 / 6


def test_a_task_file_asks_what_the_rows_say(speed: Any, tmp_path: Path) -> None:
    bench, writer = speed.workloads.Bench(folder=tmp_path), speed.texts.Writer(1)
    line = writer.ranked(4, 4)
    (request,) = speed.workloads.of_task(bench, "one", "ranked", {"test": [line]})
    expected = tuple((f"{line['question']}\nAnswer:", f" {choice}") for choice in line["choices"])
    assert request.pairs == expected


def test_every_workload_has_a_name_of_its_own_and_targets(speed: Any) -> None:
    workloads = (*speed.workloads.IN_MEMORY, *speed.whole.WHOLE)
    assert len({workload.name for workload in workloads}) == len(workloads) >= 15
    assert all(0 < workload.floor < workload.goal for workload in workloads)
