"""Task files to Tasks: what each key becomes, and what is said of a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from task_files import task_from_file

from evalharness.errors import TaskError
from evalharness.records.tasks import Task
from evalharness.tasks import filters, groups, metadata, scoring, spec
from evalharness.tasks.loading import NeedsCode, NotSupported
from evalharness.tasks.spec import task_from

Make = Callable[..., Task]


def test_default_metrics_are_lm_evals_unless_metadata_names_some(make: Make) -> None:
    assert [spec.id for spec in make(metric_list=None).metrics] == ["acc", "acc_norm"]
    written: dict[str, Any] = {"output_type": "generate_until", "doc_to_choice": None, "metric_list": None}
    assert [spec.id for spec in make(**written).metrics] == ["exact_match"]
    assert [spec.id for spec in make(**written, metadata={"metrics": [{"metric": "rouge1"}]}).metrics] == ["rouge1"]


def test_every_filter_pipeline_has_its_own_metric(make: Make) -> None:
    pipes = [
        {"name": "strict", "filter": [{"function": "regex", "regex_pattern": "#### (.*)"}, {"function": "take_first"}]},
        {"name": "none", "filter": [{"function": "take_first"}]},
    ]
    task = make(
        output_type="generate_until",
        doc_to_choice=None,
        metric_list=[{"metric": "exact_match", "ignore_case": True}],
        filter_list=pipes,
    )
    assert [(spec.id, spec.filter) for spec in task.metrics] == [
        ("exact_match,strict", "strict"),
        ("exact_match", "none"),
    ]
    assert dict(task.filters)["strict"][0]["regex_pattern"] == "#### (.*)"
    assert task.primary == "exact_match,strict"


def test_generation_limits(make: Make) -> None:
    def limits(kwargs: Any, **more: Any) -> tuple[int, tuple[str, ...]]:
        task = make(
            output_type="generate_until",
            doc_to_choice=None,
            metric_list=[{"metric": "exact_match"}],
            generation_kwargs=kwargs,
            **more,
        )
        return task.max_tokens, task.stop

    assert limits(None) == (256, ("\n\n",))
    assert limits({"until": "\n", "max_gen_toks": 5, "do_sample": False, "temperature": 0.0}) == (5, ("\n",))
    assert limits({"max_new_tokens": 7, "max_tokens": 9}) == (7, ("\n\n",))
    assert limits({"until": [], "temperature": 1.0, "do_sample": False}) == (256, ())
    assert limits({}, fewshot_delimiter="\n") == (256, ("\n",))


@pytest.mark.parametrize("kwargs", [{"do_sample": True}, {"temperature": 0.7}, {"num_beams": 4}])
def test_sampling_and_beams_are_refused(make: Make, kwargs: dict[str, Any]) -> None:
    with pytest.raises(NotSupported, match="greedily"):
        make(
            output_type="generate_until",
            doc_to_choice=None,
            metric_list=[{"metric": "exact_match"}],
            generation_kwargs=kwargs,
        )


def test_shots_come_from_where_lm_eval_takes_them(make: Make) -> None:
    assert make().fewshot_split == "train"
    assert make(training_split=None, validation_split="dev").fewshot_split == "dev"
    assert make(training_split=None).fewshot_split == "test"
    assert make(fewshot_split="shots").fewshot_split == "shots"
    assert make(fewshot_split="shots", fewshot_config={"split": "dev", "sampler": "first_n"}).fewshot_split == "dev"
    listed = make(fewshot_config={"samples": [{"q": "x", "label": 0}], "doc_to_text": "{{q}}!"})
    assert (listed.fewshot_split, listed.shots["samples"], listed.shots["doc_to_text"]) == (
        None,
        ({"q": "x", "label": 0},),
        "{{q}}!",
    )
    assert [make(fewshot_config={"sampler": name}).sampler for name in ("default", "first_n", "per_example")] == [
        "seeded",
        "first_n",
        "per_example",
    ]


def test_evaluation_is_on_test_else_on_validation(make: Make) -> None:
    assert make(validation_split="dev").evaluation_split == "test"
    assert make(test_split=None, validation_split="dev").evaluation_split == "dev"


WRITTEN: dict[str, Any] = {"output_type": "generate_until", "doc_to_choice": None, "metric_list": [{"metric": "bleu"}]}


def test_a_text_scored_whole_needs_no_prompt(make: Make) -> None:
    whole: dict[str, Any] = {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": None,
        "doc_to_choice": None,
        "doc_to_target": "{{q}}",
    }
    task = make(**whole, metric_list=[{"metric": "acc"}])
    assert (task.doc_to_text, task.doc_to_target, task.max_tokens) == ("", "{{q}}", 0)
    assert make(**{**whole, "doc_to_text": ""}, metric_list=[{"metric": "acc"}]).doc_to_text == ""


def test_repeats_of_a_greedy_answer_are_copies(make: Make) -> None:
    vote = [
        {
            "name": "vote",
            "filter": [{"function": "take_first_k", "k": 3}, {"function": "majority_vote"}, {"function": "take_first"}],
        }
    ]
    task = make(**{**WRITTEN, "metric_list": [{"metric": "exact_match"}]}, repeats=5, filter_list=vote)
    assert task.repeats == 5 and task.primary == "exact_match,vote"
    with pytest.raises(TaskError, match=r"'take_first_k' has k: 3; a whole number from 1 to the task's repeats \(2\)"):
        make(**{**WRITTEN, "metric_list": [{"metric": "exact_match"}]}, repeats=2, filter_list=vote)


def test_a_filter_over_the_rows_choices_gets_them_as_a_tag(make: Make) -> None:
    pipe = [
        {
            "name": "letters",
            "filter": [{"function": "multi_choice_regex", "ignore_case": True}, {"function": "take_first"}],
        }
    ]
    task = make(**{**WRITTEN, "metric_list": [{"metric": "exact_match"}]}, filter_list=pipe)
    assert filters.choices_of(dict.fromkeys(task.labels, '["one", "two"]')) == ("one", "two")
    assert make().labels == {}


def test_a_groups_word_beside_a_tasks_metric_is_passed_over_as_lm_eval_does(make: Make) -> None:
    assert make(metric_list=[{"metric": "acc", "weight_by_size": True}]).metrics[0].options == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"doc_to_txt": "x"}, r"mine\.yaml: unknown key 'doc_to_txt'; did you mean doc_to_text"),
        ({"metadata": {"family": "glue", "marjin": 1}}, r"unknown key 'metadata\.marjin'; did you mean .*margin"),
        ({"metadata": {"family": "gleu"}}, r"metadata\.family is 'gleu'; did you mean glue"),
        (
            {"metadata": {"primary": "accc"}},
            "metadata.primary is 'accc', which is no metric of this task; did you mean acc",
        ),
        ({"metadata": {"margin": 0}}, "a positive number"),
        ({"metadata": {"chance": "half"}}, r"metadata\.chance is a text \('half'\); a number"),
        ({"metric_list": [{"metric": "exact_mach"}]}, "unknown metric 'exact_mach'; did you mean exact_match"),
        ({"metric_list": [{"metric": "acc"}, {"metric": "acc"}]}, "'acc' appears twice"),
        ({"metric_list": [{"name": "acc"}]}, "metric None"),
        ({"metric_list": "acc"}, r"metric_list is a text \('acc'\); a list of mappings"),
        (
            {"doc_to_choice": [False, True]},
            r"doc_to_choice holds true or false \(False\); choices are texts; write them in quotes",
        ),
        ({"doc_to_choice": []}, "doc_to_choice is a list"),
        ({"doc_to_choice": None}, "doc_to_choice is missing"),
        ({"doc_to_text": None}, "doc_to_text is nothing"),
        ({"doc_to_text": ["a"]}, "doc_to_text is a list"),
        ({"doc_to_target": True}, "doc_to_target is true or false"),
        ({"doc_to_text": "{{q"}, "doc_to_text is no template"),
        ({"doc_to_text": "{{q | nosuch}}"}, "doc_to_text is no template: No filter named 'nosuch'"),
        ({"num_fewshot": -1}, "whole number from 0 up"),
        ({"num_fewshot": "five"}, r"num_fewshot is a text \('five'\)"),
        ({"test_split": None}, "names no split to evaluate"),
        ({"dataset_path": None}, "dataset_path is missing"),
        ({"output_type": "multiple_choices"}, "did you mean multiple_choice"),
        ({"fewshot_config": {"sampler": "balanced"}}, r"fewshot_config\.sampler is 'balanced'"),
        ({"fewshot_config": {"shots": 3}}, r"unknown key 'fewshot_config\.shots'"),
        ({"filter_list": []}, "filter_list is empty"),
        (
            {"filter_list": [{"name": "x", "filter": [{"function": "regexp"}]}]},
            "unknown filter 'regexp'; did you mean regex",
        ),
        (
            {"output_type": "generate_until", "generation_kwargs": {"untill": "x"}},
            r"unknown key 'generation_kwargs\.untill'; did you mean until",
        ),
        ({"output_type": "generate_until", "generation_kwargs": {"max_gen_toks": 0}}, "whole number from 1 up"),
    ],
)
def test_wrong_keys_are_named(make: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        make(**changes)


@pytest.mark.parametrize(
    "key",
    ["process_docs", "process_results", "doc_to_text", "doc_to_target", "doc_to_choice", "custom_dataset", "class"],
)
def test_python_is_refused_with_its_place(tmp_path: Path, key: str, write: Callable[..., Path]) -> None:
    path = write(**{key: None})
    lines = len(path.read_text().splitlines())
    path.write_text(path.read_text() + f"{key}: !function utils.anything\n")
    with pytest.raises(
        NeedsCode, match=rf"mine\.yaml:{lines + 1}: {key} is Python code \(utils\.anything\), which is not run"
    ):
        task_from_file(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"doc_to_image": "image"},
        {"unsafe_code": True},
        {"metric_list": [{"metric": "bypass"}]},
        {"filter_list": [{"name": "x", "filter": [{"function": "decontaminate"}]}]},
        {"filter_list": [{"name": "x", "filter": [{"function": "format_span"}]}]},
    ],
)
def test_what_is_well_formed_but_not_done_here(make: Make, changes: dict[str, Any]) -> None:
    with pytest.raises(NotSupported):
        make(**changes)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("metric_list: [{metric: acc, aggregation: !function utils.agg}]", "metric_list holds"),
        ("filter_list: [{name: x, filter: [{function: !function utils.Pick}]}]", "filter_list holds"),
        ("fewshot_config: {samples: !function utils.shots}", "fewshot_config holds"),
        ("fewshot_config: {sampler: !function utils.Sampler}", "fewshot_config holds"),
    ],
)
def test_python_inside_a_key_is_found_and_named_with_the_file_it_lies_in(
    write: Callable[..., Path], tmp_path: Path, line: str, key: str
) -> None:
    path = write(**({"metric_list": None} if "metric" in line else {}))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(NeedsCode, match=key + r" Python code \(utils\.\w+\), which is not run"):
        task_from_file(path)
    (tmp_path / "utils.py").write_text("raise SystemExit('ran')")
    with pytest.raises(NeedsCode, match=rf"Python code \(\w+ of {tmp_path / 'utils.py'}\)"):
        task_from_file(path)


def test_a_custom_filter_is_python(make: Make) -> None:
    with pytest.raises(NeedsCode, match="'custom' is not supported: it runs Python code"):
        make(filter_list=[{"name": "x", "filter": [{"function": "custom", "filter_fn": "f"}]}])


def test_the_digest_is_of_the_definition_wherever_it_stands(
    make: Make, write: Callable[..., Path], tmp_path: Path
) -> None:
    task = make()
    (tmp_path / "base.yaml").write_text((tmp_path / "mine.yaml").read_text().replace("task: mine\n", ""))
    (tmp_path / "other.yaml").write_text("include: base.yaml\ntask: mine\n")
    assert task_from_file(tmp_path / "other.yaml").digest == task.digest
    assert make(doc_to_text="{{q}} ").digest != task.digest


def test_keys_that_lm_eval_has_and_that_change_nothing_here(make: Make) -> None:
    task = make(
        should_decontaminate=True, doc_to_decontamination_query="q", task_alias="alias", repeats=1, unsafe_code=False
    )
    assert task.name == "mine"


def test_a_mapping_from_elsewhere() -> None:
    with pytest.raises(TaskError, match="task is missing"):
        task_from({"dataset_path": "x", "test_split": "t", "doc_to_text": "q", "doc_to_target": "a"}, Path("x.yaml"))


def test_the_docs_name_every_key_filter_and_family() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "format.md").read_text("utf-8")
    named = {
        *spec.READ,
        *spec.PASSED_OVER,
        *metadata.OURS,
        *filters.OPTIONS,
        *filters.REFUSED,
        *scoring.LENGTHS[:1],
        *spec.SAMPLERS,
        *groups.SUITE_KEYS,
    }
    assert {name for name in named - {"seeded", "unsafe_code"} if name not in page} == set()
    assert all(family in page for family in metadata.FAMILIES)


@pytest.mark.parametrize(
    ("message", "at_once"),
    [
        ({}, True),
        ({"family": "other"}, False),
        ({"family": "other", "lm_eval": "same"}, True),
        ({"stop_at_once": False}, False),
        ({"family": "other", "stop_at_once": True}, True),
    ],
)
def test_white_space_stops_as_in_lm_eval_where_nothing_of_ours_is_said(
    message: dict[str, object], at_once: bool
) -> None:
    values = {"task": "t", "dataset_path": "d", "test_split": "test", "doc_to_text": "q", "doc_to_target": "a"}
    task = spec.task_from({**values, "output_type": "generate_until", "metadata": message}, Path("t.yaml"))
    assert task.stop_at_once is at_once
