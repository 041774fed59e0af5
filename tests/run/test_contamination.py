"""What candidates had seen in training: found by --train-data or training.json, counted, compared apart, and never
judged.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evalharness import fingerprint, results
from evalharness.data.sources import DataSource
from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import DataError, UsageError
from evalharness.records.comparison import Comparison
from evalharness.records.job import Job
from evalharness.records.job_options import make_job
from evalharness.records.requests import Failure, Rank, Ranking, Request, Response
from evalharness.records.results import Results
from evalharness.report import overlap
from evalharness.report.page import render
from evalharness.run import contamination
from evalharness.run.evaluation import evaluate
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import training_pairs

FILMS = """
task: films
dataset_path: local/films
test_split: test
training_split: train
output_type: multiple_choice
doc_to_text: "Review: {{text}}\\nIs the reviewer's opinion no or yes?\\nOpinion:"
doc_to_choice: ["no", "yes"]
doc_to_target: label
fewshot_split: train
metric_list:
  - metric: acc
metadata: {version: 1.0, family: other, chance: 0.5, primary: acc, lm_eval: no}
"""
GROUP = """
group: cinema
task: [films, more_films]
aggregate_metric_list: [{metric: acc}]
metadata: {family: other, margin: 0.02}
"""
N = 40


def sentence(kind: str, i: int) -> str:
    return f"the {kind}{i} of film{i % 7} was scene{i * 3} and music{i * 5} for once"


def lines(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def cinema(tmp_path: Path) -> Path:
    for name in ("films", "more_films"):
        (tmp_path / "tasks").mkdir(exist_ok=True)
        (tmp_path / "tasks" / f"{name}.yaml").write_text(FILMS.replace("films", name))
        folder = tmp_path / "data" / "local" / name
        folder.mkdir(parents=True)
        for split in ("test", "train"):
            rows = [{"text": sentence(f"{name}{split}", i), "label": i % 2} for i in range(N)]
            (folder / f"{split}.jsonl").write_text(lines(rows))
    return tmp_path


def knows(*right: str) -> Callable[[Request], Response | Failure]:
    """Says yes to questions that hold one of the words, else no."""

    def reply(request: Request) -> Response | Failure:
        assert isinstance(request, Rank)
        word = "yes" if any(f" {each} " in request.pairs[0][0] for each in right) else "no"
        likely = tuple(0.0 if continuation.strip() == word else -5.0 for _, continuation in request.pairs)
        return Ranking(
            request_id=request.id,
            logprobs=likely,
            tokens=tuple(1 for _ in likely),
            greedy=tuple(x == 0.0 for x in likely),
        )

    return reply


SEEN = (1, 3, 5, 8)
ASKED = [{"role": "user", "content": f"Well? {sentence('filmstest', i).upper()}!"} for i in SEEN]
COPIES = [{"messages": [question, {"role": "assistant", "content": "Yes."}]} for question in ASKED]


@pytest.fixture
def job(zoo: dict[str, Path], cinema: Path) -> Callable[..., Job]:
    def make(*models: str, **changes: object) -> Job:
        given = {"tasks": ("films",), "base": f"base={zoo['llama']}", "num_fewshot": 2, **changes}
        return make_job(
            models=tuple(name if "=" in name else f"{name}={zoo[name]}" for name in models or ("llama-lora",)),
            include=(cinema / "tasks",),
            data_dir=cinema / "data",
            out=cinema / "out",
            store=cinema / "store.sqlite",
            **given,
        )

    return make


@pytest.fixture
def trained(cinema: Path) -> Path:
    path = cinema / "trained.jsonl"
    others = [
        {"prompt": f"Review: {sentence('x', i)}\nIs the reviewer's opinion no or yes?\nOpinion:", "completion": " no"}
        for i in range(50)
    ]
    path.write_text(lines([*others, *COPIES]))
    return path


FACTORY = ScriptedFactory(knows(), {"llama-lora": knows(*(f"filmstest{i}" for i in (1, 3, 5)))})


def row(found: Results, task: str, candidate: str = "llama-lora") -> Comparison:
    return next(c for c in found.comparisons if (c.task, c.candidate, c.metric) == (task, candidate, "acc"))


def listed(job: Job) -> list[dict[str, object]]:
    return [json.loads(line) for line in (job.output.folder / "overlap.jsonl").read_text().splitlines()]


def test_exactly_the_copied_rows_are_marked_and_compared_apart(job: Callable[..., Job], trained: Path) -> None:
    run_job = job(train_data={"": trained})
    outcome = evaluate(run_job, factory=FACTORY)
    about = outcome.signature["overlap"]["candidates"]["llama-lora"]
    assert about["tasks"] == {"films": {"examples": N, "overlapping": 4, "whole": 4, "with_answer": 3}}
    assert about["sources"] == [
        {"kind": "file", "name": "trained.jsonl", "digest": fingerprint.of_file(trained), "rows": 54}
    ]
    marked = listed(run_job)
    assert [int(str(mark["id"]).partition("-")[0]) for mark in marked] == list(SEEN)
    assert marked[0] | {"id": ""} == {
        "candidate": "llama-lora", "task": "films", "id": "", "whole": True, "answer": True, "place": f"{trained}:51",
    }  # fmt: skip
    clean, seen, whole = row(outcome, "films@clean"), row(outcome, "films@overlapping"), row(outcome, "films")
    assert (whole.n, clean.n, seen.n) == (N, N - 4, 4)
    assert (whole.base.value, whole.difference.value) == (0.5, pytest.approx(3 / N))
    assert (clean.base.value, clean.difference.value) == (
        pytest.approx(19 / 36),
        0.0,
    )  # 19 of the 36 are no, and both say no
    assert (seen.base.value, seen.candidate_score.value) == (0.25, 1.0)
    for part in (clean, seen):
        assert (part.verdict, part.unit, part.primary, part.margin, part.p_retained, part.would_decide) == (
            None,
            False,
            False,
            None,
            None,
            None,
        )
    assert results.read_results(run_job.output.folder) == outcome


def test_a_verdict_and_every_other_row_stay_as_they_are(job: Callable[..., Job], trained: Path) -> None:
    without = evaluate(job(), factory=FACTORY)
    assert "overlap" not in without.signature
    assert not (job().output.folder / "overlap.jsonl").exists()
    outcome = evaluate(job(train_data={"": trained}), factory=FACTORY)
    assert tuple(c for c in outcome.comparisons if "@" not in c.task) == without.comparisons
    assert outcome.models == without.models
    again = evaluate(job(), factory=FACTORY)
    assert again == without
    assert not (job().output.folder / "overlap.jsonl").exists()


def test_every_candidate_has_seen_what_it_was_trained_on(job: Callable[..., Job], trained: Path, cinema: Path) -> None:
    other = cinema / "other.txt"
    other.write_text(f"nothing\nas I said, {sentence('filmstest', 20)}, I think\n")
    run_job = job("llama-lora", "llama-prompt", train_data={"": trained, "llama-prompt": other})
    outcome = evaluate(run_job, factory=FACTORY)
    marks = {(mark["candidate"], int(str(mark["id"]).partition("-")[0])) for mark in listed(run_job)}
    assert marks == {*(("llama-lora", i) for i in SEEN), ("llama-prompt", 20)}
    assert (row(outcome, "films@clean").n, row(outcome, "films@clean", "llama-prompt").n) == (N - 4, N - 1)


def test_groups_are_pooled_on_either_part(job: Callable[..., Job], trained: Path, cinema: Path) -> None:
    (cinema / "tasks" / "cinema.yaml").write_text(GROUP)
    outcome = evaluate(job(tasks=("cinema",), train_data={"": trained}), factory=FACTORY)
    assert (row(outcome, "cinema@clean").n, row(outcome, "cinema@overlapping").n) == (2 * N - 4, 4)
    assert row(outcome, "cinema@clean").verdict is None
    assert "more_films@clean" not in {c.task for c in outcome.comparisons}
    assert outcome.signature["overlap"]["candidates"]["llama-lora"]["tasks"]["more_films"]["overlapping"] == 0


def test_all_seen_leaves_no_clean_part(job: Callable[..., Job], cinema: Path) -> None:
    outcome = evaluate(job(limit=10, train_data={"": cinema / "data" / "local" / "films"}), factory=FACTORY)
    assert row(outcome, "films@overlapping").n == 10
    assert "films@clean" not in {c.task for c in outcome.comparisons}
    (line,) = overlap.lines(outcome)[1:]
    assert line.endswith("none is left without")


def test_shots_do_not_count(job: Callable[..., Job], cinema: Path) -> None:
    """The header of every prompt is made of the rows that the candidate was trained on."""
    outcome = evaluate(job(train_data={"": cinema / "data" / "local" / "films" / "train.jsonl"}), factory=FACTORY)
    assert outcome.signature["overlap"]["candidates"]["llama-lora"]["tasks"]["films"]["overlapping"] == 0
    assert overlap.lines(outcome) == [
        "",
        f"none of {N} examples overlaps with the {N} rows that llama-lora was fine-tuned on",
    ]


# ---- training.json ---------------------------------------------------------------------------------------------------


@pytest.fixture
def told(copy: Callable[..., Path], edit_json: Callable[..., None], zoo: dict[str, Path]) -> Callable[..., str]:
    """A candidate whose training.json names sources."""

    def make(*sources: dict[str, str], folder: str = "candidate", **more: object) -> str:
        at = copy("llama-lora", folder)
        edit_json(at / "training.json", base=str(zoo["llama"]), data={"sources": list(sources)}, **more)
        return f"llama-lora={at}"

    return make


def source_of(cinema: Path, split: str) -> dict[str, str]:
    task = Library((cinema / "tasks",)).task("films")
    return {
        "kind": "task",
        "name": "films",
        "split": split,
        "digest": training_pairs(task, DataSource(cinema / "data"), split).digest,
    }


def about(found: Results) -> dict[str, object]:
    return dict(found.signature["overlap"]["candidates"]["llama-lora"])


def test_training_json_names_tasks_and_files(
    job: Callable[..., Job], told: Callable[..., str], trained: Path, cinema: Path
) -> None:
    file = {"kind": "file", "path": str(trained), "digest": fingerprint.of_file(trained)}
    found = about(evaluate(job(told(source_of(cinema, "train"), file)), factory=FACTORY))
    assert (found["tasks"]["films"]["overlapping"], found["notices"]) == (4, [])
    assert [source["rows"] for source in found["sources"]] == [N, 54]
    everything = about(evaluate(job(told(source_of(cinema, "test"), folder="again")), factory=FACTORY))
    assert everything["tasks"]["films"] == {"examples": N, "overlapping": N, "whole": N, "with_answer": N}


def test_the_option_wins_over_training_json(
    job: Callable[..., Job], told: Callable[..., str], trained: Path, cinema: Path
) -> None:
    found = about(evaluate(job(told(source_of(cinema, "test")), train_data={"llama-lora": trained}), factory=FACTORY))
    assert found["tasks"]["films"]["overlapping"] == 4


def test_rows_that_changed_are_looked_at_and_noticed(
    job: Callable[..., Job], told: Callable[..., str], trained: Path, cinema: Path
) -> None:
    shutil.copy(trained, cinema / "data" / "trained.jsonl")
    run_job = job(told({"kind": "file", "path": str(cinema / "data" / "trained.jsonl"), "digest": "of other rows"}))
    found = about(evaluate(run_job, factory=FACTORY))
    assert found["tasks"]["films"]["overlapping"] == 4
    (notice,) = found["notices"]
    assert "not surely" in notice
    assert any("not surely" in said for said in json.loads((run_job.output.folder / "run.json").read_text())["notices"])


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ({"kind": "file", "path": "gone.jsonl", "digest": "x"}, "gone.jsonl: does not exist"),
        ({"kind": "task", "name": "no_such_task", "split": "train", "digest": "x"}, "no_such_task"),
        ({"kind": "task", "name": "films", "split": "validation", "digest": "x"}, "validation"),
        ({"kind": "task", "name": "films"}, "does not tell it apart"),
        ({"kind": "poem"}, "does not tell it apart"),
    ],
)
def test_rows_that_are_away_are_a_notice(
    job: Callable[..., Job], told: Callable[..., str], source: dict[str, str], what: str
) -> None:
    outcome = evaluate(job(told(source)), factory=FACTORY)
    (notice,) = about(outcome)["notices"]
    assert notice.startswith("what it was fine-tuned on is not at hand")
    assert what in notice
    assert about(outcome)["tasks"] == {}
    page = overlap.overlap(outcome)
    assert page is not None
    assert page.sentences == ()
    assert "not at hand" in render(outcome)


@pytest.mark.fault(27)
def test_files_that_are_none_of_the_runs_are_not_read(
    job: Callable[..., Job], told: Callable[..., str], trained: Path, tmp_path: Path
) -> None:
    """Whoever wrote a training.json may name any path of this machine."""
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "device.jsonl").symlink_to("/dev/zero")
    (tmp_path / "huge.jsonl").touch()
    os.truncate(tmp_path / "huge.jsonl", contamination.MOST_BYTES + 1)  # of holes
    named = {
        **dict.fromkeys(("/", "/usr", str(tmp_path)), "is a folder"),
        **{str(tmp_path / name): "is no regular file" for name in ("pipe.jsonl", "device.jsonl")},
        str(tmp_path / "huge.jsonl"): "bytes, more than",
        str(trained): "is not read",
        "/etc/passwd": "suffix",
    }
    files = [{"kind": "file", "path": path, "digest": "of other rows"} for path in named]
    start = time.monotonic()
    found = about(evaluate(job(told(*files)), factory=FACTORY))
    assert time.monotonic() - start < 20
    assert (found["sources"], found["tasks"]) == ([], {})
    for notice, what in zip(found["notices"], named.values(), strict=True):
        assert what in notice


def test_stages_before_count_too(
    job: Callable[..., Job], told: Callable[..., str], trained: Path, cinema: Path
) -> None:
    first = told(
        {"kind": "file", "path": str(trained), "digest": fingerprint.of_file(trained)}, folder="first"
    ).partition("=")[2]
    found = about(evaluate(job(told(source_of(cinema, "train"), folder="second", after=first)), factory=FACTORY))
    assert (found["tasks"]["films"]["overlapping"], found["notices"]) == (4, [])
    gone = about(evaluate(job(told(source_of(cinema, "train"), folder="third", after="../away")), factory=FACTORY))
    assert "after ../away" in gone["notices"][0]


def test_what_a_merged_candidate_was_merged_from_counts_too(
    job: Callable[..., Job], told: Callable[..., str], trained: Path, cinema: Path
) -> None:
    file = {"kind": "file", "path": str(trained), "digest": fingerprint.of_file(trained)}
    parents = [told(file, folder="one"), told(source_of(cinema, "train"), folder="two")]
    merged = Path(told(folder="merged").partition("=")[2])
    facts = json.loads((merged / "training.json").read_text())
    (merged / "training.json").unlink()
    paths = [{"path": "../" + Path(each.partition("=")[2]).name} for each in parents] + [{"path": "../away"}, {}, 3]
    (merged / "merge.json").write_text(json.dumps({"base": facts["base"], "parents": paths}))
    found = about(evaluate(job(f"llama-lora={merged}"), factory=FACTORY))
    assert found["tasks"]["films"]["overlapping"] == 4 and len(found["sources"]) == 2  # type: ignore[index, arg-type]
    assert "merged from ../away" in found["notices"][0]  # type: ignore[index]


@pytest.mark.parametrize(
    "facts", [{}, {"data": "none"}, {"data": {"sources": 3}}, {"data": {"sources": []}, "recipe": 1, "after": None}]
)
def test_without_a_word_about_training_nothing_is_said(
    job: Callable[..., Job], told: Callable[..., str], facts: dict[str, object]
) -> None:
    outcome = evaluate(job(_with(told(), **facts)), factory=FACTORY)
    assert "overlap" not in outcome.signature


def _with(candidate: str, **facts: object) -> str:
    path = Path(candidate.partition("=")[2]) / "training.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))
    return candidate


def test_rows_that_weights_were_selected_on_are_looked_through_and_named(
    job: Callable[..., Job], cinema: Path, trained: Path
) -> None:
    run_job = job()
    candidate = Path(run_job.models.candidates[0].partition("=")[2])
    folder = cinema / "validated"
    shutil.copytree(candidate, folder)
    base = str(run_job.models.base).partition("=")[2]
    held = {
        "kind": "file",
        "path": str(trained),
        "digest": "of examples",
        "file_digest": fingerprint.of_file(trained),
        "examples": 54,
    }
    for validation, overlapping in (
        (held, 4),
        ({**source_of(cinema, "test"), "examples": N}, N),
        ({"kind": "fraction", "fraction": 0.1}, 0),
    ):
        facts = {"base": base, "data": {"sources": [source_of(cinema, "train")], "validation": validation}}
        (folder / "training.json").write_text(json.dumps(facts))
        outcome = evaluate(job(f"llama-lora={folder}"), factory=FACTORY)
        told = about(outcome)
        assert told["tasks"]["films"]["overlapping"] == overlapping
        assert [source.get("use") for source in told["sources"]] == [None] + ["selected on"] * bool(overlapping)
        assert [
            f"{overlapping} questions stand in" in notice and "selected on" in notice for notice in told["notices"]
        ] == [True] * bool(overlapping)
        assert ("fine-tuned or selected on" in overlap.lines(outcome)[1]) == bool(overlapping)
    gone = {**held, "path": "gone.jsonl"}
    (folder / "training.json").write_text(json.dumps({"base": base, "data": {"sources": [], "validation": gone}}))
    (notice,) = about(evaluate(job(f"llama-lora={folder}"), factory=FACTORY))["notices"]
    assert notice.startswith("what it was selected on is not at hand")


def test_a_sweep_leaves_the_rows_that_it_trained_on(
    job: Callable[..., Job], told: Callable[..., str], cinema: Path
) -> None:
    """What was held out to choose on is not in them, so they have another digest than the whole split."""
    whole = (cinema / "data" / "local" / "films" / "train.jsonl").read_text().splitlines(True)
    left = cinema / "rows" / "films"
    left.mkdir(parents=True)
    (left / "train.jsonl").write_text("".join(whole[4:]))
    task = Library((cinema / "tasks",)).task("films")
    digest = training_pairs(task, DataSource(overrides={"films": left}), "train").digest
    candidate = told({**source_of(cinema, "train"), "digest": digest}, folder="candidates/one")
    found = about(evaluate(job(candidate), factory=FACTORY))
    assert (found["notices"], [source["rows"] for source in found["sources"]]) == ([], [N - 4])
    (left / "train.jsonl").write_text("".join(whole[8:]))
    changed = about(evaluate(job(candidate), factory=FACTORY))
    assert "not surely" in changed["notices"][0] and changed["sources"][0]["rows"] == N


# ---- wrong on purpose ------------------------------------------------------------------------------------------------


def test_what_is_given_must_be_right_before_anything_is_answered(job: Callable[..., Job], cinema: Path) -> None:
    factory = ScriptedFactory(knows())
    with pytest.raises(UsageError, match=r"no candidate 'lora'.*llama-lora"):
        evaluate(job(train_data={"lora": cinema}), factory=factory)
    wrong = cinema / "wrong.jsonl"
    wrong.write_text('{"a": "b"}\n{"a": \n')
    with pytest.raises(DataError, match=r"wrong\.jsonl:2: is not JSON"):
        evaluate(job(train_data={"": wrong}), factory=factory)
    assert factory.requests == []


# ---- what is said ----------------------------------------------------------------------------------------------------


def test_terminal_and_page_say_it(job: Callable[..., Job], trained: Path) -> None:
    outcome = evaluate(job(train_data={"": trained}), factory=FACTORY)
    said = (
        "4 of 40 examples of films overlap with what llama-lora was fine-tuned on (4 as a whole, 3 with the answer); "
        "without them the difference is 0.000 instead of +0.075"
    )
    assert overlap.lines(outcome) == ["", said]
    page = render(outcome)
    assert said in page
    assert 'id="overlap"' in page
    assert 'id="ways"' not in page
    (line,) = overlap.overlap(outcome).rows
    assert (line.counts, line.clean.n, line.overlapping.scores.difference) == ("4 of 40", "36", "+0.750")
    nothing = {"n": 0, "base": None, "candidate_score": None, "difference": None}
    rows = [replace(c, **nothing) if c.variant and c.variant.way == "clean" else c for c in outcome.comparisons]
    lacking = replace(outcome, comparisons=tuple(rows))
    assert overlap.lines(lacking)[1].endswith("without them the difference is – instead of +0.075")
    assert overlap.overlap(lacking).rows[0].clean.scores.difference == "–"


def test_a_clean_difference_on_the_other_side_of_the_margin_is_said(job: Callable[..., Job], trained: Path) -> None:
    """The candidate is right about three seen films and wrong about two others, so that what it lost is hidden."""
    loses = ScriptedFactory(
        knows(), {"llama-lora": knows("filmstest1", "filmstest3", "filmstest5", "filmstest10", "filmstest12")}
    )
    outcome = evaluate(job(train_data={"": trained}, margins={"films": 0.02}), factory=loses)
    assert row(outcome, "films").difference.value == pytest.approx(1 / N)
    assert overlap.lines(outcome)[1].endswith(
        "the difference is −0.056 instead of +0.025: beyond the margin of 0.02, unlike on all examples"
    )
    wide = evaluate(job(train_data={"": trained}, margins={"films": 0.2}), factory=loses)
    assert overlap.lines(wide)[1].endswith("−0.056 instead of +0.025: of the other sign")
