"""Peaks of memory that are measured anew."""

from __future__ import annotations

import resource
import sys

import pytest

from evalharness import peak_memory

MIB = 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets the mark be set again")
def test_the_peak_of_one_piece_of_work_is_its_own() -> None:
    large = bytearray(96 * MIB)
    assert peak_memory.process_peak() >= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // 2
    del large
    if not peak_memory.reset():
        pytest.skip("this system does not let the mark be set again")
    before = peak_memory.resident()
    assert before is not None and peak_memory.process_peak() < before + 32 * MIB
    small = bytearray(64 * MIB)
    del small
    assert 56 * MIB < peak_memory.process_peak() - before < 80 * MIB


def test_no_device_is_none_and_not_0() -> None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        assert peak_memory.device_peak() is None
