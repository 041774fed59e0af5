"""Peaks of memory that are measured anew."""

from __future__ import annotations

import mmap
import resource
import sys
from pathlib import Path

import pytest

from evalharness import peak_memory

MIB = 2**20


def taken(size: int) -> None:
    """Take so much memory from the system, past the heap, which may have room of what was freed before."""
    with mmap.mmap(-1, size) as block:
        for place in range(0, size, mmap.PAGESIZE):
            block[place] = 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets the mark be set again")
def test_the_peak_of_one_piece_of_work_is_its_own() -> None:
    taken(96 * MIB)
    assert peak_memory.process_peak() >= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // 2
    if not peak_memory.reset():
        pytest.skip("this system does not let the mark be set again")
    before = int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
    assert peak_memory.process_peak() < before + 32 * MIB
    taken(64 * MIB)
    assert 56 * MIB < peak_memory.process_peak() - before < 80 * MIB


def test_no_device_is_none_and_not_0() -> None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        assert peak_memory.device_peak() is None
