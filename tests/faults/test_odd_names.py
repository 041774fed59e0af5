"""Whatever a task or model is called, its files lie in the run's folder, and no two names share one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import UsageError
from evalharness.records.job_options import make_job
from evalharness.records.measurements import Sample
from evalharness.records.requests import Failure
from evalharness.results import read_samples, write_samples
from evalharness.run.evaluation import evaluate

NAMES = (
    *(
        "../../x",
        "..",
        ".",
        "",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "a_b",
        "C:\\x",
        "x" * 300,
        "x" * 301,
        "$HOME",
        "::error::x",
    ),
    *(
        "CON",
        "nul.txt",
        "Com1",
        "_CON",
        "a.",
        "a..",
        "a ",
        "a",
        " a",
        "a\x00b",
        "a\nb",
        "a\u202eb",
        "é",
        "e\u0301",
        "~",
    ),
)


@pytest.mark.fault(26)
def test_files_of_odd_names(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    record_property("injected", 2 * len(NAMES))
    out = tmp_path / "runs" / "out"
    for name in NAMES:
        for task, model in ((name, "model"), ("task", name)):
            sample = Sample(id=f"{task} of {model}", unit="0", prompt="", output="", reference="", score=None)
            write_samples(out, task, model, [sample])
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.relative_to(out).parts[0] == "samples" and len(path.relative_to(out).parts) == 3 for path in files)
    assert len({str(path).casefold() for path in files}) == 2 * len(NAMES)
    parts = [part for path in files for part in path.relative_to(out).parts[1:]]
    assert not any(
        part.split(".")[0].casefold() in ("con", "nul", "com1") or part.endswith((".", " ")) for part in parts
    )
    for name in NAMES:
        assert read_samples(out, name, "model")[0].id == f"{name} of model"
        assert read_samples(out, "task", name)[0].id == f"task of {name}"


@pytest.mark.fault(26)
@pytest.mark.parametrize(
    ("models", "tasks", "message"),
    [
        (("LoRA", "lora"), ("echo",), r"lora: differs from LoRA by case alone, .* give one of them another name"),
        (("Base",), ("echo",), r"Base: differs from base by case alone"),
        (("lora",), ("echo", "Echo"), r"Echo: differs from echo by case alone, .* leave one of them out"),
    ],
)
def test_names_that_differ_by_case_alone_are_refused_before_anything_is_asked(
    models: tuple[str, ...],
    tasks: tuple[str, ...],
    message: str,
    zoo: dict[str, Path],
    small_world: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "twin.yaml").write_text(
        (small_world / "tasks/echo.yaml").read_text().replace("task: echo", "task: Echo")
    )
    factory = ScriptedFactory(lambda request: Failure(request_id=request.id, reason="deaf"))
    kinds = ("llama-lora", "llama-prompt")
    job = make_job(
        models=tuple(f"{name}={zoo[kind]}" for name, kind in zip(models, kinds, strict=False)),
        base=f"base={zoo['llama']}",
        tasks=tasks,
        include=(small_world / "tasks", tmp_path / "twin.yaml"),
        data_dir=small_world / "data",
        out=tmp_path / "out",
        store=tmp_path / "store.sqlite",
    )
    with pytest.raises(UsageError, match=message):
        evaluate(job, factory=factory)
    assert factory.requests == []
