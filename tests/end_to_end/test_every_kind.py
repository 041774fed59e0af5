"""Every kind of checkpoint through one run with the real engine: full weights, adapters in layers, soft prompts, a
prefix, and a placebo.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from safetensors.torch import load_file, save_file

from evalharness.engines.adapter_check import Proof
from evalharness.records.job import Job
from evalharness.records.job_options import make_job
from evalharness.report.references import noise_text
from evalharness.run.evaluation import evaluate
from evalharness.store import Store

ADAPTERS = {"LORA": "lora", "IA3": "ia3", "PROMPT_TUNING": "prompt", "P_TUNING": "p-tuning", "PREFIX_TUNING": "prefix"}
MakeJob = Callable[..., Job]


@pytest.fixture
def job(zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> MakeJob:
    def make(*models: Path, **changes: object) -> Job:
        place = {
            "out": tmp_path / "out",
            "store": tmp_path / "store.sqlite",
            "base": f"base={zoo['llama']}",
            "limit": 6,
        }
        data = {"tasks": ("yes_no", "echo"), "include": (small_world / "tasks",), "data_dir": small_world / "data"}
        return make_job(models=tuple(map(str, models)), **{**place, **data, **changes})

    return make


def full(base: Path, directory: Path) -> Path:
    shutil.copytree(base, directory)
    tensors = {name: 1.3 * tensor for name, tensor in load_file(base / "model.safetensors").items()}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def test_all_of_them_in_one_run_on_one_base(
    job: MakeJob, tiny: ModuleType, zoo: dict[str, Path], tmp_path: Path
) -> None:
    adapters = [
        tiny.make_adapter(zoo["llama"], tmp_path / name, tiny.adapter_config(kind, "llama"))
        for kind, name in ADAPTERS.items()
    ]
    results = evaluate(job(full(zoo["llama"], tmp_path / "whole"), *adapters, placebo=True))
    assert [(m.name, m.kind) for m in results.models] == [
        ("base", "base"),
        ("whole", "full"),
        *((name, name) for name in ADAPTERS.values()),
        ("placebo", "placebo"),
    ]
    assert results.errors == ()
    told = json.loads((tmp_path / "out" / "run.json").read_text())
    assert told["loads"] == {str(zoo["llama"]): 1, str(tmp_path / "whole"): 1}
    assert noise_text(results).startswith("engine noise 0: ")
    answers = {m.name: (tmp_path / f"out/samples/echo/{m.name}.jsonl").read_bytes() for m in results.models}
    assert answers["placebo"] == answers["base"]
    assert len(set(answers.values())) == len(answers) - 1  # every candidate answers in its own way

    page = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.*") if path.name != "run.json"}
    again = evaluate(job(tmp_path / "whole", *adapters, placebo=True))
    assert again == results
    assert {name: (tmp_path / "out" / name).read_bytes() for name in page} == page
    assert "loads" not in json.loads((tmp_path / "out" / "run.json").read_text())


def test_a_merge_is_measured_and_moves_more_in_fewer_bits(
    job: MakeJob, tiny: ModuleType, zoo: dict[str, Path], tmp_path: Path
) -> None:
    """In float32 a merge only rounds; in bfloat16 the sum of weight and adapter keeps eight bits."""
    adapter, proofs = tiny.make_adapter(zoo["llama"], tmp_path / "tuned", tiny.lora(r=8)), {}
    for dtype in ("bfloat16", "float32"):
        run_job = job(adapter, dtype=dtype, limit=3)
        results = evaluate(run_job)
        with Store(run_job.output.store) as store:
            proof = store.proof(results.models[1].fingerprint, results.signature["engine"]["fingerprint"])
        assert proof is not None
        proofs[dtype] = Proof.from_stored(proof)
    assert len({proof.positions for proof in proofs.values()}) == 1 and proofs["float32"].positions > 4
    assert proofs["float32"].changed_tokens == 0
    assert 0 < 100 * (proofs["float32"].merged or 0) < (proofs["bfloat16"].merged or 0)


def test_an_adapter_of_a_quantised_base_is_compared_with_that(
    job: MakeJob, tiny: ModuleType, zoo: dict[str, Path], tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    adapter = tiny.make_adapter(zoo["llama"], tmp_path / "tuned", tiny.lora())
    (adapter / "training.json").write_text(json.dumps({"precision": "nf4"}))
    results = evaluate(job(adapter, placebo=True))
    assert [m.name for m in results.models] == ["base", "tuned", "unquantised", "placebo"]
    assert results.signature["precision"] == "nf4"
    assert noise_text(results).startswith("engine noise 0: ")
