"""Prompts and request arguments against lm-eval 0.4.13's own ConfigurableTask, byte for byte, over one file of rows."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import lm_eval.utils
import pytest
import tiny_chats
import yaml
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks._yaml_loader import load_yaml
from task_files import task_from_file

from evalharness.checkpoints.recognise import recognise
from evalharness.data.sources import DataSource
from evalharness.engines.hf.factory import FACTORY
from evalharness.errors import DataError
from evalharness.paths import shipped
from evalharness.records.requests import Generate, PreparedTask, Rank, Score
from evalharness.records.tasks import Task
from evalharness.records.tokenizers import ChatRenderer
from evalharness.tasks.library import Library
from evalharness.tasks.loading import load
from evalharness.tasks.prepare import PromptSettings, prepare
from evalharness.tasks.turns import Chat

LIBRARY = Library()
ROOTS = ("fixtures/benchmarks", "fixtures/world/rows")
ROWS = [
    {
        "q": f"  Which of these is number {i}? ",
        "passage": f"Passage {i}: «é» {{braces}} 100%.\n\nIt ends here.",
        "label": i % 3,
        "letters": ["alpha", "bêta ", "gam'ma"],
        "answer": ["alpha", "bêta ", "gam'ma"][i % 3],
        "many": [f"one {i}", f"two {i}"],
        "digits": str(i),
        "nested": {"text": f"deep {i}", "scores": [0, 1]},
        "start": "So:",
    }
    for i in range(7)
]

CHOICE: dict[str, Any] = {
    "output_type": "multiple_choice",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
WRITE: dict[str, Any] = {
    "output_type": "generate_until",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 17, "do_sample": False},
}
WRITE["metric_list"] = [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}]

CASES: dict[str, dict[str, Any]] = {
    "fixed choices": {
        **CHOICE,
        "doc_to_text": "{{q.strip()}}\nAnswer:",
        "doc_to_target": "label",
        "doc_to_choice": ["a", "b", "c"],
    },
    "choices of a mapping": {
        **CHOICE,
        "doc_to_text": "{{q}}",
        "doc_to_target": "{{label}}",
        "doc_to_choice": {"x": "first", "y": "second", "z": "third"},
    },
    "column of choices": {**CHOICE, "doc_to_text": "q", "doc_to_target": "label", "doc_to_choice": "letters"},
    "template of choices": {
        **CHOICE,
        "doc_to_text": "{{passage}}",
        "doc_to_target": "{{letters.index(answer)}}",
        "doc_to_choice": "{{letters}}",
    },
    "gold as text": {**CHOICE, "doc_to_text": "{{q}}", "doc_to_target": "answer", "doc_to_choice": "letters"},
    "literal of choices": {
        **CHOICE,
        "doc_to_text": "{{passage}}\n",
        "doc_to_target": "{{label % 2}}",
        "doc_to_choice": "['''{{digits}}\\nIs it right? yes''', '''{{digits}}\\nIs it right? no''']",
    },
    "constant index": {**CHOICE, "doc_to_text": "{{q}}", "doc_to_target": 1, "doc_to_choice": ["no", "yes"]},
    "description and delimiters": {
        **CHOICE,
        "description": "Questions of set {{nested.text[:4]}}.\n\n",
        "target_delimiter": "\n-> ",
        "fewshot_delimiter": "\n###\n",
        "doc_to_text": "{{q}}",
        "doc_to_target": "label",
        "doc_to_choice": ["a", "b", "c"],
    },
    "several inputs": {
        **CHOICE,
        "doc_to_text": "{{label % 2}}",
        "doc_to_target": "{{digits}} items are here",
        "doc_to_choice": ["The left box,", "The right box,"],
    },
    "several inputs from a column": {
        **CHOICE,
        "doc_to_text": "label",
        "doc_to_target": "{{'is it'}}",
        "doc_to_choice": "letters",
    },
    "generated prefix of choices": {
        **CHOICE,
        "gen_prefix": "Answer:",
        "doc_to_text": "{{q.strip()}}",
        "doc_to_target": "label",
        "doc_to_choice": ["a", "b", "c"],
    },
    "written": {**WRITE, "doc_to_text": "Q: {{q | trim}}\nA:", "doc_to_target": "{{answer}}"},
    "written digits": {**WRITE, "doc_to_text": "{{digits}}", "doc_to_target": "{{digits}}"},
    "written column": {**WRITE, "doc_to_text": "passage", "doc_to_target": "answer", "description": "start"},
    "several references": {**WRITE, "doc_to_text": "{{nested['text']}}", "doc_to_target": "many"},
    "several references of a template": {**WRITE, "doc_to_text": "{{nested['text']}}", "doc_to_target": "{{many}}"},
    "brackets that are no list": {**WRITE, "doc_to_text": "{{q}}", "doc_to_target": "[{{digits}} or so]"},
    "index of choices": {**WRITE, "doc_to_text": "{{q}}", "doc_to_target": "label", "doc_to_choice": "letters"},
    "generated prefix": {**WRITE, "gen_prefix": "{{start}}", "doc_to_text": "{{q.strip()}}", "doc_to_target": "answer"},
    "generated prefix of a column": {
        **WRITE,
        "gen_prefix": "start",
        "doc_to_text": "{{q}}",
        "doc_to_target": " {{answer}}",
    },
    "regex_replace": {
        **WRITE,
        "doc_to_text": "{{passage | regex_replace('[0-9]+', '#')}}\n",
        "doc_to_target": "{{answer | regex_replace('a', 'o', 1)}}",
    },
    "no generation_kwargs": {
        "output_type": "generate_until",
        "metric_list": WRITE["metric_list"],
        "doc_to_text": "{{q}}",
        "doc_to_target": "answer",
    },
    "bare shots": {
        **WRITE,
        "doc_to_text": "{{q}}",
        "doc_to_target": "answer",
        "fewshot_config": {"doc_to_text": "{{q}}{{digits}}.", "doc_to_target": ""},
    },
    "loglikelihood": {
        "output_type": "loglikelihood",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "doc_to_text": "{{passage}}",
        "doc_to_target": " {{answer}}",
    },
    "with what the choices are worth alone": {
        **CHOICE,
        "doc_to_text": "{{q}}",
        "doc_to_target": "label",
        "doc_to_choice": "letters",
        "metric_list": [
            {"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_mutual_info")
        ],
    },
    "texts scored whole": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{passage}}",
        "description": "Never asked.",
        "metric_list": [{"metric": "byte_perplexity", "aggregation": "weighted_perplexity", "higher_is_better": False}],
        "metadata": {"primary": "byte_perplexity", "margin": 1.0},
    },
}


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.json"
    path.write_text("\n".join(json.dumps(row) for row in ROWS))
    return path


@pytest.fixture(scope="module", autouse=True)
def _lm_eval(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """lm-eval reads rows into a cache of these tests alone, and compiles a template once, not once a row."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        patch.setattr("lm_eval.utils.env.from_string", cache(lm_eval.utils.env.from_string))
        yield


def test_samples_listed_in_the_file_equal_lm_evals(rows_file: Path, tmp_path: Path) -> None:
    samples = [{"question": "How many legs?", "target": "Four."}, {"question": "How many eyes?", "target": "Two."}]
    shots = {
        "sampler": "first_n",
        "samples": samples,
        "doc_to_text": "Q: {{question}}\nA:",
        "doc_to_target": "{{target}}",
    }
    definition = _definition({**WRITE, "doc_to_text": "Q: {{q}}\nA:", "doc_to_target": "{{answer}}"}, rows_file) | {
        "fewshot_config": shots
    }
    path = tmp_path / "case.yaml"
    path.write_text(yaml.safe_dump(definition))
    theirs = _requests(_lm_evals_task({**load(path), "num_fewshot": 2}))
    ours = prepare(task_from_file(path), DataSource(), PromptSettings(num_fewshot=2))
    assert [_arguments(request) for request in ours.requests] == theirs


@dataclass(frozen=True)
class Form:
    """How a model is asked: by which template, with what instruction, shots as turns or not."""

    template: str
    multiturn: bool
    system: str = ""


FORMS = {
    "lines": Form(tiny_chats.LINES, True),
    "lines, told and together": Form(tiny_chats.LINES, False, "Be brief."),
    "brackets, told": Form(tiny_chats.BRACKETS, True, "Be brief."),
    "brackets, together": Form(tiny_chats.BRACKETS, False),
}


@pytest.fixture(scope="module")
def chats(zoo: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[ChatRenderer, HFLM]]:
    """A template as our engine renders it, and as lm-eval's model does."""
    made: dict[str, tuple[ChatRenderer, HFLM]] = {}

    def both(template: str) -> tuple[ChatRenderer, HFLM]:
        if template not in made:
            path = tiny_chats.with_template(zoo["llama"], tmp_path_factory.mktemp("chat") / "model", template)
            renderer = FACTORY.chat_renderer(recognise(str(path)))
            assert renderer is not None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made[template] = renderer, HFLM(pretrained=str(path), device="cpu", dtype="float32")
        return made[template]

    return both


@pytest.mark.parametrize("shots", [pytest.param(0, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("name", CASES)
def test_requests_equal_lm_evals(
    name: str, shots: int, rows_file: Path, tmp_path: Path, chats: Callable[[str], tuple[ChatRenderer, HFLM]]
) -> None:
    """Plain, under an instruction, and as a chat: with build_all_requests as lm-eval's evaluator calls it under
    --apply_chat_template.
    """
    path = tmp_path / "case.yaml"
    path.write_text(yaml.safe_dump(_definition(CASES[name], rows_file)))
    task, theirs = task_from_file(path), _lm_evals_task({**load(path), "num_fewshot": shots})
    plain = {
        system: prepare(task, DataSource(), PromptSettings(num_fewshot=shots, system=system))
        for system in ("", "Be brief.")
    }
    for system, ours in plain.items():
        assert not ours.failures
        assert _asked(ours) == _requests(theirs, system_instruction=system or None), system or "plain"
    for form, how in FORMS.items():
        renderer, model = chats(how.template)
        options = {
            "apply_chat_template": True,
            "chat_template": model.apply_chat_template,
            "fewshot_as_multiturn": how.multiturn,
        }
        settings = PromptSettings(num_fewshot=shots, system=how.system, chat=Chat(renderer, how.multiturn))
        ours = prepare(task, DataSource(), settings)
        assert _asked(ours) == _requests(theirs, system_instruction=how.system or None, **options), form
        assert [example.id for example in ours.examples] == [example.id for example in plain[how.system].examples], form


SAME = [name for name in LIBRARY.names() if LIBRARY.task(name).lm_eval == "same"]
FOLDERS = (
    *("mmlu/default", "mmlu/continuation", "bigbench/multiple_choice", "bigbench/generate_until"),
    *("arc", "hellaswag", "piqa", "winogrande", "lambada", "gsm8k"),
)
LM_EVALS_OWN = {  # its task files, by the name of their task, where ours is the same task under the same name
    str(load_yaml(path, resolve_func=False).get("task")): path
    for folder in FOLDERS
    for path in (Path(str(files("lm_eval"))) / "tasks" / folder).glob("*.yaml")
}
WRITTEN_ANEW = {name for name in SAME if LIBRARY.task(name).family == "general"}  # with other templates than lm-eval's


def test_lm_eval_asks_the_same_given_our_file() -> None:
    for name in sorted(set(SAME) - (set(LM_EVALS_OWN) - WRITTEN_ANEW)):
        _check_the_same_is_asked(LIBRARY.task(name), LIBRARY.task(name).source)


@pytest.mark.slow
def test_lm_eval_asks_the_same_by_its_own_file_of_that_name() -> None:
    for name in sorted(set(SAME) & set(LM_EVALS_OWN)):
        _check_the_same_is_asked(LIBRARY.task(name), LM_EVALS_OWN[name])


def _check_the_same_is_asked(task: Task, definition: Path) -> None:
    """Over the first rows at hand, of the fixtures that have the published form or of the embedded world."""
    shots = 3 if task.sampler == "first_n" else 0  # the other draw is our own
    splits, split, ours = _prepared_on_rows_at_hand(task, shots)
    local = {
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": splits},
        "test_split": split,
    }
    given = {key: None for key in ("training_split", "validation_split", "fewshot_split") if not shots}
    given |= {"fewshot_config": {"sampler": "first_n"}} if shots and "gsm8k" in task.name else {}  # its own are drawn
    theirs = _requests(_lm_evals_task({**load_yaml(definition), **local, **given, "num_fewshot": shots}), limit=25)
    assert theirs and not ours.failures, task.name
    if task.output_type == "generate_until":
        assert [each[0][0] for each in _asked(ours)[:25]] == [each[0][0] for each in theirs], task.name
    else:
        assert _asked(ours)[:25] == theirs, task.name


@cache
def _folders() -> list[Path]:
    return sorted({path.parent for root in map(shipped, ROOTS) for path in root.rglob("*.jsonl")})


def _prepared_on_rows_at_hand(task: Task, shots: int) -> tuple[dict[str, str], str, PreparedTask]:
    """Files by split, the split that is asked, and what is: of the task's own rows, else of another set of the same
    form.
    """
    own, kin = (
        f"{task.dataset_path}/{task.dataset_name or 'default'}/",
        f"{task.dataset_path.replace('google/BIG-bench', 'hails/bigbench')}/",
    )
    for folder in sorted(
        (folder for folder in _folders() if kin in str(folder)), key=lambda folder: own not in f"{folder}/"
    ):
        splits = {path.stem: str(path) for path in folder.glob("*.jsonl")}
        split = next(name for name in (task.evaluation_split, "test", *sorted(splits)) if name in splits)
        try:
            return (
                splits,
                split,
                prepare(
                    task, DataSource(overrides={task.name: folder}), PromptSettings(split=split, num_fewshot=shots)
                ),
            )
        except DataError as error:
            problem = error  # rows of this task's kin that have, for instance, no choices
    raise AssertionError(f"no rows of {kin} fit {task.name}: {problem}")


def _definition(case: dict[str, Any], rows_file: Path) -> dict[str, Any]:
    files = {"train": str(rows_file), "test": str(rows_file)}
    base = {
        "task": "case",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files},
        "training_split": "train",
        "test_split": "test",
    }
    return {**base, **case, "fewshot_config": {"sampler": "first_n", **case.get("fewshot_config", {})}}


def _lm_evals_task(definition: dict[str, Any]) -> ConfigurableTask:
    """lm-eval's task, whose own removal of the row from the shots is kept equal to ours."""
    task = ConfigurableTask(config=definition)
    task.fewshot_cfg.split = task.fewshot_cfg.split or (None if task.fewshot_cfg.samples else "test")
    return task


def _requests(task: ConfigurableTask, **options: Any) -> list[Any]:
    """What lm-eval asks: per row, the arguments of its requests in order."""
    task.build_all_requests(**options)
    by_row: dict[int, list[Any]] = {}
    for instance in task.instances:
        by_row.setdefault(instance.doc_id, []).append(instance.args)
    return [by_row[index] for index in sorted(by_row)]


def _asked(prepared: PreparedTask) -> list[Any]:
    """What we ask, in the same form."""
    return [_arguments(request) for request in prepared.requests]


def _arguments(request: Rank | Generate | Score) -> list[Any]:
    if isinstance(request, Score):
        return [(request.text,)]
    if isinstance(request, Rank):
        return list(request.pairs)
    until = list(request.stop)
    if request.max_tokens == 256:
        return [(request.prompt, {"temperature": 0.0, "do_sample": False, "max_gen_toks": 256, "until": until})]
    return [(request.prompt, {"until": until, "max_gen_toks": request.max_tokens, "do_sample": False})]
