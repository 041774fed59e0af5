"""Chat templates through the whole road: who is asked how, what is refused before anything is asked, and what is said
of what was allowed.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import tiny_chats
import yaml
from click.testing import CliRunner
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from scripted_chats import ScriptedChat

from evalharness import results
from evalharness.cli.compare import compare_command
from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import EvalHarnessError, ModelError, NotComparableError, UsageError
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.requests import Failure, Generation, Rank, Ranking, Request, Response, Score
from evalharness.records.results import Results
from evalharness.run.evaluation import evaluate

MakeJob = Callable[..., Job]
PLAIN, OTHER = ScriptedChat(), ScriptedChat("!")


def reply(request: Request) -> Response | Failure:
    """Right about both tasks, whatever the form of the question."""
    if isinstance(request, Rank):
        right = "yes" if int(re.findall(r"(\d+) \?", request.pairs[0][0])[-1]) % 2 else "no"
        likely = tuple(0.0 if continuation.strip() == right else -5.0 for _, continuation in request.pairs)
        return Ranking(request_id=request.id, logprobs=likely, tokens=(1, 1), greedy=tuple(x == 0.0 for x in likely))
    assert not isinstance(request, Score)
    said = request.prompt.rpartition(" :")[0].rpartition(">")[2].rpartition("\n")[2]
    return Generation(request_id=request.id, text=said, finish_reason="stop", tokens=1)


def factory(**chats: ScriptedChat) -> ScriptedFactory:
    return ScriptedFactory(reply, chats={name.replace("_", "-"): chat for name, chat in chats.items()})


@pytest.fixture
def job(zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> MakeJob:
    def make(*models: str, **changes: object) -> Job:
        return make_job(
            models=tuple(f"{name}={zoo[name]}" for name in models or ("llama-lora",)),
            **{
                "base": f"base={zoo['llama']}",
                "include": (small_world / "tasks",),
                "data_dir": small_world / "data",
                "out": tmp_path / "out",
                "store": tmp_path / "store.sqlite",
                "tasks": ("yes_no", "echo"),
                "apply_chat_template": True,
                **changes,
            },
        )

    return make


def asked(made: ScriptedFactory, model: str) -> list[str]:
    """Every prompt that the model was given."""
    return [
        request.pairs[0][0] if isinstance(request, Rank) else request.prompt
        for name, request in made.requests
        if name == model
    ]


def flagged(found: Results, candidate: str) -> Mapping[str, bool]:
    return {row.task: "prompts_differ" in row.flags for row in found.comparisons if row.candidate == candidate}


def test_all_are_asked_by_their_template(job: MakeJob) -> None:
    made = factory(base=PLAIN, llama_lora=ScriptedChat())
    outcome = evaluate(job(num_fewshot=1, system_instruction="Be brief."), factory=made)
    assert asked(made, "base") == asked(made, "llama-lora")
    first = asked(made, "base")[0]
    assert (
        first.startswith("<system>Be brief.\n<user>")
        and first.count("<user>") == 2
        and first.endswith("?\n<assistant>")
    )
    assert {row.base.value for row in outcome.comparisons if row.level == "task"} == {1.0}
    assert not any(flagged(outcome, "llama-lora").values())
    fingerprint = PLAIN.fingerprint
    assert outcome.signature["chat"] == {
        "fewshot_as_multiturn": True,
        "templates": {"base": fingerprint, "llama-lora": fingerprint},
    }
    assert outcome.signature["system_instruction"] == "Be brief."
    assert results.read_samples(job().output.folder, "yes_no", "base")[0].prompt == first


def test_without_a_template_nothing_is_said_of_one(job: MakeJob) -> None:
    made = factory(base=PLAIN, llama_lora=PLAIN)
    outcome = evaluate(job(apply_chat_template=False), factory=made)
    assert not any("<" in prompt for prompt in asked(made, "base"))
    assert (outcome.signature["chat"], outcome.signature["system_instruction"]) == (None, None)


def test_shots_together_in_one_turn(job: MakeJob) -> None:
    made = factory(base=PLAIN, llama_lora=PLAIN)
    evaluate(job(num_fewshot=2, fewshot_as_multiturn=False), factory=made)
    assert {prompt.count("<user>") for prompt in asked(made, "base")} == {1}
    assert asked(made, "base")[0].count("?") == 3


def test_templates_that_make_the_same_prompts_are_as_good_as_one(job: MakeJob) -> None:
    """They differ where nothing is asked: what the system says."""
    made = factory(base=PLAIN, llama_lora=ScriptedChat(takes_system=False))
    outcome = evaluate(job(), factory=made)
    assert not any(flagged(outcome, "llama-lora").values())
    assert len(set(outcome.signature["chat"]["templates"].values())) == 2


@pytest.mark.parametrize(
    ("changes", "chats", "error", "message"),
    [
        (
            {},
            {"llama_lora": PLAIN},
            ModelError,
            r"^base: its tokenizer \(.*llama\) has no chat template; .*chat_template.jinja.*=candidates",
        ),
        ({}, {"base": PLAIN}, ModelError, r"^llama-lora: its tokenizer \(.*\) has no chat template"),
        (
            {},
            {"base": PLAIN, "llama_lora": OTHER},
            NotComparableError,
            r"llama-lora by chat template .*, base by chat template .*-mismatch allow",
        ),
        (
            {"apply_chat_template": "candidates"},
            {"llama_lora": PLAIN},
            NotComparableError,
            r"llama-lora by chat template .*, base plainly.*yes_no",
        ),
        (
            {"system_instruction": "Be brief."},
            {"base": PLAIN, "llama_lora": ScriptedChat(takes_system=False)},
            UsageError,
            "--system-instruction: the chat template of llama-lora has no system message",
        ),
        (
            {"apply_chat_template": False, "fewshot_as_multiturn": True},
            {},
            UsageError,
            "--fewshot-as-multiturn: there are no turns",
        ),
        ({"apply_chat_template": "bases"}, {}, UsageError, "apply_chat_template: 'bases'"),
        ({"chat_template_mismatch": "yes"}, {}, UsageError, "chat_template_mismatch: 'yes'"),
    ],
)
def test_what_cannot_be_asked_or_compared_is_said_before_anything_is_asked(
    changes: dict[str, object],
    chats: dict[str, ScriptedChat],
    error: type[EvalHarnessError],
    message: str,
    job: MakeJob,
) -> None:
    made = factory(**chats)
    with pytest.raises(error, match=message) as raised:
        evaluate(job(**changes), factory=made)
    assert made.requests == [] and raised.value.exit_code == (5 if error is NotComparableError else 2)


def test_different_templates_are_compared_when_asked_for_and_it_is_said(job: MakeJob, tmp_path: Path) -> None:
    made = factory(base=PLAIN, llama_lora=OTHER, llama_prompt=PLAIN)
    asking = job("llama-lora", "llama-prompt", chat_template_mismatch="allow")
    outcome = evaluate(asking, factory=made)
    assert asked(made, "base") == asked(made, "llama-prompt") != asked(made, "llama-lora")
    assert all(flagged(outcome, "llama-lora").values()) and not any(flagged(outcome, "llama-prompt").values())
    assert {row.n for row in outcome.comparisons if row.level == "task"} == {30}
    task = outcome.signature["tasks"]["echo"]
    assert set(task["prompts_of"]) == {"llama-lora"} and task["prompts_of"]["llama-lora"] != task["prompts"]
    again = compared(asking.output.folder, out=tmp_path / "again")
    assert flagged(again, "llama-lora") == flagged(outcome, "llama-lora")
    assert again.signature["chat"] == outcome.signature["chat"]


def test_candidates_alone_may_be_asked_by_their_template(job: MakeJob) -> None:
    made = factory(llama_lora=PLAIN)
    outcome = evaluate(
        job(apply_chat_template="candidates", chat_template_mismatch="allow", system_instruction="Be brief."),
        factory=made,
    )
    assert asked(made, "base")[0].startswith("Be brief.") and asked(made, "llama-lora")[0].startswith(
        "<system>Be brief.\n<user>"
    )
    assert all(flagged(outcome, "llama-lora").values())
    assert outcome.signature["chat"]["templates"] == {"base": None, "llama-lora": PLAIN.fingerprint}
    assert outcome.errors == ()


def test_a_prompt_that_only_fits_plainly_fails_where_it_does_not_fit(
    job: MakeJob, zoo: dict[str, Path], tmp_path: Path
) -> None:
    """96 positions, words counted: 94 words and the room to answer fit, but not with two words of template as well."""
    rows = [{"text": "word " * 87 + "end"}, {"text": "cat"}]
    (tmp_path / "echo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    class Wide(ScriptedChat):
        def render(self, messages: object, continued: bool) -> str:
            return "two words " + super().render(messages, continued)  # type: ignore[arg-type]

    made = factory(llama_lora=Wide())
    asking = job(
        apply_chat_template="candidates",
        chat_template_mismatch="allow",
        data={"echo": tmp_path / "echo.jsonl"},
        tasks=("echo",),
    )
    outcome = evaluate(asking, factory=made)
    assert [(error.model, error.example.split("-")[0]) for error in outcome.errors] == [("llama-lora", "0")]
    assert {row.n for row in outcome.comparisons if row.level == "task"} == {1}


def test_a_description_that_no_template_says_is_told(job: MakeJob, small_world: Path, tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    text = (
        (small_world / "tasks" / "echo.yaml")
        .read_text()
        .replace("task: echo\n", "task: told\ndescription: 'Say it again.'\n")
    )
    (tmp_path / "tasks" / "told.yaml").write_text(text)
    deaf = ScriptedChat(takes_system=False)
    made = factory(base=deaf, llama_lora=deaf)
    evaluate(job(include=(tmp_path / "tasks", small_world / "tasks"), tasks=("told",)), factory=made)
    run = results.read_run(job().output.folder)
    assert run is not None
    assert any("left out, as lm-eval does: the description of told" in notice for notice in run["notices"])
    assert not any("Say it again" in prompt for prompt in asked(made, "base"))


@pytest.mark.parametrize("template", ["LINES", "BRACKETS"])
def test_tiny_models_score_as_in_lm_eval(
    template: str, zoo: dict[str, Path], small_world: Path, tmp_path: Path
) -> None:
    """lm-eval 0.4.13's whole loop with --apply_chat_template on the same task file and rows: probabilities, not only
    who is right.
    """
    path = tiny_chats.with_template(zoo["llama"], tmp_path / "model", getattr(tiny_chats, template))
    rows = small_world / "data" / "local" / "yes_no" / "default" / "test.jsonl"
    task = yaml.safe_load((small_world / "tasks" / "yes_no.yaml").read_text()) | {
        "task": "told",
        "description": "Say yes or no.",
    }
    task |= {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(rows)}}, "training_split": None}
    how = {"acc": ("mean", True), "brier_score": ("brier_score", False)}
    task["metric_list"] = [
        {"metric": name, "aggregation": by, "higher_is_better": up} for name, (by, up) in how.items()
    ]
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "told.yaml").write_text(yaml.safe_dump(task))
    job = make_job(
        models=(f"candidate={path}",),
        out=tmp_path / "out",
        store=tmp_path / "store",
        base=f"base={path}",
        allow_noop=True,
        tasks=("told",),
        include=(tmp_path / "tasks",),
    )
    job = job_with(job, data={"told": rows}, apply_chat_template=True, device="cpu")
    ours = {row.metric: row.base.value for row in evaluate(job).comparisons if row.level == "task"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = HFLM(pretrained=str(path), device="cpu", dtype="float32", batch_size=4)
        manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
        theirs = simple_evaluate(
            model=model, tasks=["told"], task_manager=manager, apply_chat_template=True, bootstrap_iters=0
        )
    assert theirs is not None
    assert ours == pytest.approx({name: theirs["results"]["told"][f"{name},none"] for name in how}, abs=1e-6)
    assert 0 < ours["brier_score"] < 2


# ---- finished runs with one another


def compared(*runs: str | Path, out: Path) -> Results:
    outcome = CliRunner().invoke(compare_command, [*map(str, runs), "--out", str(out)], standalone_mode=False)
    if outcome.exception is not None:
        raise outcome.exception
    return results.read_results(out)


def test_runs_are_compared_by_what_their_models_were_asked(job: MakeJob, tmp_path: Path) -> None:
    """One run by a template throughout, one with the base plainly: the candidates were asked alike, base and candidate
    were not.
    """
    alike, half = (
        job(out=tmp_path / "alike"),
        job("llama-prompt", out=tmp_path / "half", apply_chat_template="candidates"),
    )
    evaluate(alike, factory=factory(base=PLAIN, llama_lora=PLAIN))
    evaluate(job_with(half, chat_template_mismatch="allow"), factory=factory(llama_prompt=PLAIN))
    found = compared(f"{alike.output.folder}#llama-lora", half.output.folder, out=tmp_path / "candidates")
    assert not any(flagged(found, "llama-prompt").values())
    assert found.signature["chat"]["templates"] == {"llama-lora": PLAIN.fingerprint, "llama-prompt": PLAIN.fingerprint}
    found = compared(f"{half.output.folder}#base", f"{half.output.folder}#llama-prompt", out=tmp_path / "half-again")
    assert all(flagged(found, "llama-prompt").values())
    with pytest.raises(NotComparableError, match=r"not the same prompts .* \(they differ in the chat template\)"):
        compared(half.output.folder, f"{alike.output.folder}#llama-lora", out=tmp_path / "refused")


# ---- an earlier run in place of the base


@pytest.fixture
def first(job: MakeJob, tmp_path: Path) -> Callable[..., Path]:
    def run(chat: ScriptedChat | None, **changes: object) -> Path:
        chats = {} if chat is None else {"base": chat, "llama_lora": chat}
        asking = job(out=tmp_path / "first", apply_chat_template=chat is not None, **changes)
        evaluate(asking, factory=factory(**chats))
        return asking.output.folder

    return run


def test_a_baseline_that_was_asked_alike_stands_in(job: MakeJob, first: Callable[..., Path]) -> None:
    made = factory(llama_prompt=PLAIN)
    outcome = evaluate(job("llama-prompt", base=None, baseline=first(PLAIN)), factory=made)
    assert not any(flagged(outcome, "llama-prompt").values())
    assert outcome.signature["chat"]["templates"] == {"base": PLAIN.fingerprint, "llama-prompt": PLAIN.fingerprint}


@pytest.mark.parametrize(("before", "how"), [(None, "base plainly"), (OTHER, "base by chat template")])
def test_a_baseline_that_was_not_is_refused_unless_that_is_asked_for(
    before: ScriptedChat | None, how: str, job: MakeJob, first: Callable[..., Path]
) -> None:
    asking = job("llama-prompt", base=None, baseline=first(before))
    with pytest.raises(NotComparableError, match=f"llama-prompt by chat template .*, {how}"):
        evaluate(asking, factory=factory(llama_prompt=PLAIN))
    outcome = evaluate(job_with(asking, chat_template_mismatch="allow"), factory=factory(llama_prompt=PLAIN))
    assert all(flagged(outcome, "llama-prompt").values())
    assert {row.n for row in outcome.comparisons if row.level == "task"} == {30}


def test_other_questions_are_refused_whatever_is_allowed(job: MakeJob, first: Callable[..., Path]) -> None:
    baseline = first(PLAIN, system_instruction="Be brief.")
    with pytest.raises(NotComparableError, match="not the same prompts"):
        evaluate(
            job("llama-prompt", base=None, baseline=baseline, chat_template_mismatch="allow"),
            factory=factory(llama_prompt=PLAIN),
        )
