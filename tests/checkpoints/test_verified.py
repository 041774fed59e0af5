"""A checkpoint is verified once while nothing changes, and again after any change that verification sees."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from evalharness import checkpoints
from evalharness.checkpoints import fingerprint, memory
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verified import verify_once
from evalharness.errors import ModelError

NOWHERE = "evalharness.checkpoints.nowhere:verify"  # whoever verifies would fail


@pytest.fixture
def look(zoo: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[str, ...]]:
    """The notices about `full`, a copy of its base but for its template, as one process after the other finds them."""
    shutil.copytree(zoo["llama"], tmp_path / "full")
    (tmp_path / "full" / "chat_template.jinja").write_text("{{ messages[0].content }}")
    monkeypatch.setattr(memory, "AT_REST", 0)

    def look() -> tuple[str, ...]:
        monkeypatch.setattr(fingerprint, "_digests", {})
        with memory.remember_in(tmp_path / "memory"):
            return verify_once(recognise(str(tmp_path / "full"), base=str(zoo["llama"])))

    return look


def test_an_unchanged_checkpoint_is_not_verified_again(look, monkeypatch) -> None:
    first = look()
    assert len(first) == 1 and "chat template" in first[0]
    monkeypatch.setitem(checkpoints.REGISTRY, "verify", NOWHERE)
    assert look() == first


def test_weights_written_in_place_with_size_and_time_restored_are_verified_again(look, tmp_path) -> None:
    look()
    path = tmp_path / "full" / "model.safetensors"
    stat, tensors = path.stat(), load_file(path)
    tensors["model.norm.weight"] = np.full_like(tensors["model.norm.weight"], np.nan)
    save_file(tensors, path, metadata={"format": "pt"})
    assert path.stat().st_size == stat.st_size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    for _ in range(2):  # a refusal is not remembered
        with pytest.raises(ModelError, match=r"NaN or infinite values in model\.norm\.weight"):
            look()


def test_what_training_recorded_is_looked_at_again(look, tmp_path) -> None:
    look()
    (tmp_path / "full" / "training.json").write_text(json.dumps({"base": "x", "base_weights": "0" * 64}))
    assert any("records another base" in notice for notice in look())


def test_another_version_of_a_library_verifies_again(look, monkeypatch) -> None:
    look()
    monkeypatch.setattr("evalharness.checkpoints.conclusions._versions", lambda: ["transformers 99"])
    monkeypatch.setitem(checkpoints.REGISTRY, "verify", NOWHERE)
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        look()
