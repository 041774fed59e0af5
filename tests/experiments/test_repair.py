"""Repairs of tiny random models: the whole way to a candidate that runs, what is left, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tiny_models import WORDS, adapter_config, lora, make_adapter

import evalharness
from evalharness import results
from evalharness.checkpoints.recognise import recognise
from evalharness.data.sources import DataSource
from evalharness.errors import EvalHarnessError, UsageError
from evalharness.experiments.halves import HALF_A, HALF_B, draw_halves, halves_of, links_of
from evalharness.experiments.jobs import RepairJob
from evalharness.experiments.repair import run_repair
from evalharness.experiments.repair_rules import RepairRule, score_of
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.report.repair import REPAIR
from evalharness.run.plan import make_run_plan
from evalharness.tasks.library import Library

TASK = """
task: {name}
dataset_path: local/{name}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{text}}}} ?"
doc_to_choice: ["no", "yes"]
doc_to_target: label
metric_list:
  - metric: acc
metadata: {{version: 1.0, family: other, chance: 0.5, primary: acc, margin: 0.4, lm_eval: no}}
"""
ROWS = 200


def write_task(root: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (root / "tasks").mkdir(exist_ok=True)
    (root / "tasks" / f"{name}.yaml").write_text(TASK.format(name=name))
    folder = root / "data" / "local" / name / "default"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="session")
def opposed(zoo: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks of the same questions, of which the base and its adapter answer none alike: by the labels of `learned`
    the adapter is always right, by those of `known` the base.
    """
    root = tmp_path_factory.mktemp("opposed")
    texts = [f"{WORDS[i % 20]} {WORDS[i * 7 % 40]} {i}" for i in range(ROWS)]
    write_task(root, "asked", [{"text": text, "label": 0} for text in texts])
    options = {"base": str(zoo["llama"]), "target": "none", "tasks": "asked", "include": root / "tasks"}
    places = {"data_dir": root / "data", "out": root / "run", "store": root / "store.sqlite"}
    evalharness.evaluate(f"lora={zoo['llama-lora']}", **options, **places)  # type: ignore[arg-type]
    by_base, by_lora = (results.read_samples(root / "run", "asked", name) for name in ("llama", "lora"))
    answers = [  # 1: yes
        (text, int(one.score == 0), int(other.score == 0))
        for text, one, other in zip(texts, by_base, by_lora, strict=True)
    ]
    apart = [answer for answer in answers if answer[1] != answer[2]]
    assert len(apart) > 40
    write_task(root, "known", [{"text": text, "label": base} for text, base, _ in apart])
    write_task(root, "learned", [{"text": text, "label": own} for text, _, own in apart])
    return root


@pytest.fixture
def job(opposed: Path, zoo: dict[str, Path], tmp_path: Path) -> Job:
    where = {"data_dir": opposed / "data", "include": opposed / "tasks", "store": opposed / "store.sqlite"}
    options = {"base": str(zoo["llama"]), "target": "learned", "tasks": "known", "out": tmp_path / "out"}
    return make_job(str(zoo["llama-lora"]), **options, **where)  # type: ignore[arg-type]


class Heard:
    """A listener that counts what is computed, and may interrupt at a phase."""

    def __init__(self, stop_at: str = "") -> None:
        self.computed, self.stop_at = 0, stop_at

    def phase(self, text: str) -> None:
        if self.stop_at and text.startswith(self.stop_at):
            raise KeyboardInterrupt

    def expect(self, requests: int) -> None: ...

    def advance(self, stored: int, computed: int) -> None:
        self.computed += computed

    def notice(self, text: str) -> None: ...


@pytest.mark.slow
def test_a_repair_and_the_repair_again(job: Job, opposed: Path, zoo: dict[str, Path]) -> None:
    out = job.output.folder
    with pytest.raises(KeyboardInterrupt):
        run_repair(RepairJob(job, RepairRule.KNEE), Heard(stop_at="λ = 0.5 on"))
    before = REPAIR.read(out)
    assert before is not None and len(before.points) == 3 and (out / "path" / "lambda-0.5").is_dir()
    repair, compared = run_repair(RepairJob(job, RepairRule.KNEE))
    at = {point.scale: point for point in repair.points}
    assert at[0.0].gain is not None and at[0.0].gain.value == 0 and at[1.0].gain is not None
    assert at[1.0].gain.value == 1 and at[1.0].suite is not None and at[1.0].suite.value == -2.5
    assert list(at) == sorted(at) and len(at) == 8 and abs(repair.rows_a - repair.rows_b) <= 2
    assert repair.chosen is not None, "no λ keeps more gain than loss of tasks that are opposed"
    assert compared is not None and not compared.errors and len(compared.candidates) == 2

    candidate = out / "candidate"
    own, whole = (load_file(path / "adapter_model.safetensors") for path in (candidate, zoo["llama-lora"]))
    assert all((own[n] == whole[n] * (repair.chosen if ".lora_B." in n else 1)).all() for n in whole)
    facts = json.loads((candidate / "merge.json").read_text())
    assert facts["repair"]["lambda"] == repair.chosen and facts["repair"]["rule"] == "knee"
    assert recognise(str(candidate)).target_task == "learned" and not any((out / "path").iterdir())

    where = {"data_dir": opposed / "data", "include": opposed / "tasks", "store": opposed / "store.sqlite"}
    run = evalharness.evaluate(candidate, tasks="known", limit=4, out=out.with_name("run"), **where)  # type: ignore[arg-type]
    assert [(each.base, each.target_task) for each in run.models if each.judged] == [("llama", "learned")]

    rows = {half: (out / "rows" / "known" / f"{half}.jsonl").read_text().splitlines() for half in (HALF_A, HALF_B)}
    assert not set(rows[HALF_A]) & set(rows[HALF_B]) and all(rows.values())
    asked = {sample.prompt for sample in results.read_samples(out, "known", "llama")}
    assert asked == {f"{json.loads(row)['text']} ?" for row in rows[HALF_B]}
    page = (out / "report.html").read_text()
    assert 'id="repair"' in page and "half B" in page

    before, heard = (out / "results.json").read_bytes(), Heard()
    again, _ = run_repair(RepairJob(job, RepairRule.KNEE), heard)
    assert again == repair == REPAIR.read(out) and heard.computed == 0
    assert (out / "results.json").read_bytes() == before
    with pytest.raises(UsageError, match="another rule"):
        run_repair(RepairJob(job, RepairRule.WITHIN_MARGIN))


def test_where_no_part_of_the_way_helps_nothing_is_written(job: Job, opposed: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n')
    narrow = job_with(job, margins={"known": 0.01}, train_data={recognise(job.models.candidates[0]).name: rows})
    repair, compared = run_repair(RepairJob(narrow))
    out = job.output.folder
    assert (repair.chosen, compared) == (None, None) and "qualifies" in repair.reason
    assert not (out / "candidate").exists() and not (out / "results.json").exists()
    assert REPAIR.read(out) == repair
    with pytest.raises(UsageError, match="another setting"):  # by other margins another λ, of the same rows
        run_repair(RepairJob(job_with(job, margins={"known": 0.02})))
    shutil.copytree(opposed / "data", tmp_path / "data")
    (path := tmp_path / "data" / "local" / "known" / "default" / "test.jsonl").write_text(
        path.read_text().partition("\n")[2]
    )
    with pytest.raises(UsageError, match="over other rows"):
        run_repair(RepairJob(job_with(narrow, data_dir=tmp_path / "data")))
    with pytest.raises(UsageError, match="another block count"):
        run_repair(RepairJob(narrow, blocks=2))


@pytest.mark.slow
def test_blocks_of_layers_get_their_own_part_of_the_way(job: Job, zoo: dict[str, Path]) -> None:
    repair, compared = run_repair(RepairJob(job, RepairRule.KNEE, blocks=2))
    assert compared is not None and repair.chosen is not None and len(repair.chosen_blocks) == 2
    assert 2 <= len(repair.block_points) <= 4 and repair.block_layers == ("model.layers.0", "model.layers.1")
    score, at = score_of(RepairRule.KNEE, repair.points), {point.blocks: point for point in repair.block_points}
    single = next(point for point in repair.points if point.scale == repair.chosen)
    own, before = score(at.get(repair.chosen_blocks, single)), score(single)
    assert own is not None and before is not None and own >= before
    candidate = job.output.folder / "candidate"
    facts = json.loads((candidate / "merge.json").read_text())
    assert [each["weight"] for each in facts["blocks"]] == list(repair.chosen_blocks)
    b, whole = (load_file(path / "adapter_model.safetensors") for path in (candidate, zoo["llama-lora"]))
    for layer, scale in enumerate(repair.chosen_blocks):
        name = next(name for name in whole if f"layers.{layer}." in name and ".lora_B." in name)
        assert (b[name] == whole[name] * scale).all()
    assert repair == REPAIR.read(job.output.folder) and not any((job.output.folder / "path").iterdir())


def test_half_b_is_no_shot_and_rows_in_files_of_their_own_have_the_columns_of_the_task(
    job: Job, opposed: Path, tmp_path: Path
) -> None:
    for path in (opposed / "tasks").iterdir():
        text = path.read_text().replace("test_split: test", "test_split: test\nfewshot_split: test\nnum_fewshot: 1")
        results.write_text(tmp_path / "tasks" / path.name, text)
    job = job_with(job, include=tmp_path / "tasks", columns={"known:text": "text"})
    halves = halves_of(make_run_plan(job), (), tmp_path / "rows", 1)
    a, shots = (tmp_path / "rows" / "known" / f"{split}.jsonl" for split in (HALF_A, "test"))
    assert shots.read_text() == a.read_text() and not halves.job(job, HALF_B).data.columns


def test_a_candidate_within_its_margin_is_left_as_it_is(job: Job) -> None:
    repair, compared = run_repair(RepairJob(job_with(job, margins={"known": 0.99}, target="known", tasks="learned")))
    assert compared is None and len(repair.points) == 2 and "gained nothing" in repair.reason


@pytest.fixture
def refused(job: Job) -> Callable[..., str]:
    """What a repair with other options is refused with, before any answer is computed."""

    def run(**options: Any) -> str:
        with pytest.raises(EvalHarnessError) as error:
            run_repair(RepairJob(job_with(job, **options)))
        assert error.value.exit_code == 2 and not (job.output.folder / "half-a").exists()
        return str(error.value)

    return run


def test_what_cannot_be_repaired_is_refused(
    refused: Callable[..., str], job: Job, zoo: dict[str, Path], tmp_path: Path
) -> None:
    assert "--target TASK" in refused(target=None)
    assert "no target" in refused(target="none")
    assert "one candidate" in refused(models=[str(zoo["llama-lora"]), str(zoo["llama"])])
    assert "virtual tokens" in refused(models=str(zoo["llama-prompt"]))
    dora = make_adapter(zoo["llama"], tmp_path / "dora", lora(use_dora=True))
    assert "DoRA" in refused(models=str(dora))
    ia3 = make_adapter(zoo["llama"], tmp_path / "ia3", adapter_config("IA3", "llama"))
    assert "checkpoint merge" in refused(models=str(ia3))
    assert "--until-decided" in refused(until_decided=True)
    assert "--drift-only" in refused(drift_only=True)
    with pytest.raises(EvalHarnessError, match="3 blocks of 2 layers"):
        run_repair(RepairJob(job, blocks=3))


def test_a_split_that_is_evaluated_chooses_nothing(job: Job) -> None:
    with pytest.raises(UsageError, match="is over the split 'test', too"):
        run_repair(RepairJob(job, choose_split="test"))


def test_a_folder_of_something_else_is_refused(refused: Callable[..., str], job: Job) -> None:
    job.output.folder.mkdir()
    (job.output.folder / "results.json").write_text("{}")
    assert "something else" in refused()


def test_a_task_of_one_unit_has_no_halves(refused: Callable[..., str], opposed: Path, tmp_path: Path) -> None:
    rows = [{"text": "alike", "label": 1}] * 4
    for name in ("known", "learned"):
        write_task(tmp_path, name, rows)
    assert "no halves" in refused(data_dir=tmp_path / "data", include=tmp_path / "tasks")


def test_rows_that_ask_the_same_are_one_unit(tmp_path: Path) -> None:
    rows = [{"text": text, "label": 1, "idx": i} for i, text in enumerate(("a", "b", "a", "c"))]
    write_task(tmp_path, "known", rows)
    task = Library((tmp_path / "tasks",)).task("known")
    units = [of_row[0] for of_row in links_of(task, "test", DataSource(tmp_path / "data"), rows)]
    assert units[0] == units[2] and len(set(units)) == 3


def test_equal_questions_of_two_tasks_are_in_one_half_whatever_their_columns_are_called(
    job: Job, tmp_path: Path
) -> None:
    """As RTE of GLUE and of SuperGLUE have them; an instruction that all rows have ties nothing."""
    texts = [f"the question of number {i} is this" for i in range(40)]
    write_task(tmp_path, "one", [{"text": text, "idx": i, "label": 1} for i, text in enumerate(texts)])
    write_task(tmp_path, "other", [{"text": text.title() + ".", "label": 0} for text in reversed(texts)])
    write_task(tmp_path, "told", [{"text": str(i), "say": "give the number back", "label": 0} for i in range(40)])
    names, where = ("one", "other", "told"), {"include": tmp_path / "tasks", "data_dir": tmp_path / "data"}
    run_plan = make_run_plan(job_with(job, tasks=names, target="none", **where))
    for seed in range(5):
        folder = tmp_path / f"rows-{seed}"
        halves_of(run_plan, (), folder, seed)
        rows = {name: (folder / name / f"{HALF_B}.jsonl").read_text().splitlines() for name in names}
        in_b = {name: {json.loads(row)["text"] for row in of_task} for name, of_task in rows.items()}
        assert in_b["one"] == {text.rstrip(".").lower() for text in in_b["other"]} and len(in_b["one"]) == 20
        assert len(in_b["told"]) == 20


def test_what_no_other_task_has_is_drawn_as_if_it_were_alone() -> None:
    contents = [[f"{name}{i}" for i in range(9)] for name in "ab"]
    links = [[[(name, i)] for i in range(9)] for name in "ab"]
    together = draw_halves(links, contents, 3)
    assert together == [draw_halves(links[:1], contents[:1], 3)[0], draw_halves(links[1:], contents[1:], 3)[0]]
    assert [sum(of_task) for of_task in together] == [4, 4]
    tied = [[[*of_row, i % 9] for i, of_row in enumerate(of_task)] for of_task in links]
    first, second = draw_halves(tied, contents, 3)
    assert first == second and sum(first) in (4, 5)
