"""Processes of one thread each, and none at all."""

from __future__ import annotations

import multiprocessing
import os

import pytest
import torch

from evalharness.experiments.workers import one_thread_each


def test_one_process_is_the_callers_own_with_one_thread() -> None:
    before = torch.get_num_threads()
    with one_thread_each(1) as executor:
        assert executor.submit(os.getpid).result() == os.getpid() and torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_processes_have_one_thread_and_end_with_an_error() -> None:
    with pytest.raises(KeyboardInterrupt), one_thread_each(2) as executor:
        assert executor.submit(torch.get_num_threads).result() == 1
        assert executor.submit(os.getpid).result() != os.getpid()
        raise KeyboardInterrupt
    for child in multiprocessing.active_children():
        child.join(30)
    assert not multiprocessing.active_children()
