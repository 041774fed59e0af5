"""The batch plan: bounded, complete, the same for equal lengths; and halving when memory does not suffice."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evalharness.engines.hf import batches
from evalharness.engines.hf.batches import (
    TOO_LARGE,
    BatchLimits,
    Refusal,
    in_batches,
    out_of_memory,
    plan,
    rows_in_batches,
)

ONE_BATCH = BatchLimits(8, 1000)


def read(some, output):
    return output


@given(st.lists(st.integers(1, 60), max_size=50), st.integers(1, 9), st.integers(1, 200))
def test_every_index_once_within_the_bounds(lengths, rows, tokens):
    batches = plan(lengths, BatchLimits(rows, tokens))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) <= rows and (len(batch) == 1 or len(batch) * longest <= tokens)
    flat = [lengths[i] for batch in batches for i in batch]
    assert flat == sorted(flat, reverse=True)


def test_equals_keep_their_order():
    assert plan([3, 5, 3, 5, 3], BatchLimits(2, 100)) == [[1, 3], [0, 2], [4]]


@pytest.mark.fault(12)
@pytest.mark.parametrize("fits", [1, 2, 3, 8])
def test_halving_answers_all_in_order(fits, monkeypatch):
    asked, recovered = [], []
    monkeypatch.setattr(batches, "free_memory", lambda: recovered.append(True))

    def forward(some):
        asked.append(list(some))
        if len(some) > fits:
            raise MemoryError
        return [10 * i for i in some]

    assert in_batches(range(8), [1] * 8, ONE_BATCH, forward, read) == [10 * i for i in range(8)]
    batch_of = {i: [some for some in asked if i in some] for i in range(8)}
    assert all(len(tries) - 1 <= math.log2(8) for tries in batch_of.values())  # retries of one row
    assert len(recovered) == sum(len(some) > fits for some in asked)
    assert [some[0] for some in asked if len(some) <= fits] == sorted(some[0] for some in asked if len(some) <= fits)


@pytest.mark.fault(12)
def test_what_never_fits_is_refused():
    def forward(some):
        raise RuntimeError("CUDA out of memory")

    assert in_batches([4, 7], [1, 1], ONE_BATCH, forward, read) == [
        Refusal(reason=TOO_LARGE),
        Refusal(reason=TOO_LARGE),
    ]


def test_a_row_that_breaks_the_model_costs_no_other_its_answer():
    def forward(some):
        if 5 in some:
            raise RuntimeError("shape mismatch\nat line 7")
        return [10 * i for i in some]

    results = in_batches(range(8), [1] * 8, ONE_BATCH, forward, read)
    assert results.pop(5) == Refusal(reason="the model failed: RuntimeError: shape mismatch")
    assert results == [10 * i for i in range(8) if i != 5]


def test_rows_come_in_the_order_of_their_lengths():
    rows = rows_in_batches([2, 9, 4], BatchLimits(2, 100), lambda batch: torch.tensor([[i, 10.0 * i] for i in batch]))
    assert rows.tolist() == [[0, 0], [1, 10], [2, 20]]


@pytest.mark.fault(12)
def test_rows_for_which_memory_does_not_suffice_together_are_asked_apart():
    asked = []

    def ask(batch):
        asked.append(batch)
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.tensor([[i, 10.0 * i] for i in batch])

    assert rows_in_batches([2, 9, 4, 3, 7], ONE_BATCH, ask).tolist() == [[i, 10 * i] for i in range(5)]
    assert asked == [[1, 4, 2, 3, 0], [1, 4, 2], [1, 4], [2], [3, 0]]
    for error in (MemoryError(), ValueError("a bug")):

        def fail(batch, error=error):
            raise error

        with pytest.raises(type(error)):
            rows_in_batches([1, 1], ONE_BATCH, fail)


def test_our_own_mistakes_are_not_the_models():
    def forward(some):
        raise TypeError("a bug")

    with pytest.raises(TypeError):
        in_batches([1, 2], [1, 1], ONE_BATCH, forward, read)


@pytest.mark.fault(12)
def test_which_errors_are_about_memory():
    assert out_of_memory(
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        )
    )
    assert not out_of_memory(RuntimeError("device-side assert triggered")) and not out_of_memory(
        ValueError("out of memory")
    )
