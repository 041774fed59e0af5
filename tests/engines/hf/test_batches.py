"""The batch plan: bounded, complete, the same for equal lengths; and halving when memory does not suffice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.engines.hf.batches import TOO_LARGE, Refused, answered, out_of_memory, plan


@given(st.lists(st.integers(1, 60), max_size=50), st.integers(1, 9), st.integers(1, 200))
def test_every_index_once_within_the_bounds(lengths, rows, tokens):
    batches = plan(lengths, rows, tokens)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) <= rows and (len(batch) == 1 or len(batch) * longest <= tokens)
    flat = [lengths[i] for batch in batches for i in batch]
    assert flat == sorted(flat, reverse=True)


def test_equals_keep_their_order():
    assert plan([3, 5, 3, 5, 3], 2, 100) == [[1, 3], [0, 2], [4]]


@pytest.mark.parametrize("fits", [1, 2, 3, 8])
def test_halving_answers_all_in_order(fits):
    asked, recovered = [], []

    def ask(some):
        asked.append(len(some))
        if len(some) > fits:
            raise MemoryError
        return [10 * i for i in some]

    assert list(answered(range(8), ask, lambda: recovered.append(True))) == [(i, 10 * i) for i in range(8)]
    assert len(recovered) == sum(size > fits for size in asked)


def test_what_never_fits_is_refused():
    def ask(some):
        raise RuntimeError("CUDA out of memory")

    assert list(answered([4, 7], ask, lambda: None)) == [(4, Refused(TOO_LARGE)), (7, Refused(TOO_LARGE))]


def test_a_row_that_breaks_the_model_costs_no_other_its_answer():
    def ask(some):
        if 5 in some:
            raise RuntimeError("shape mismatch\nat line 7")
        return [10 * i for i in some]

    found = dict(answered(range(8), ask, lambda: None))
    assert found.pop(5) == Refused("the model failed: RuntimeError: shape mismatch")
    assert found == {i: 10 * i for i in range(8) if i != 5}


def test_our_own_mistakes_are_not_the_models():
    def ask(some):
        raise TypeError("a bug")

    with pytest.raises(TypeError):
        list(answered([1, 2], ask, lambda: None))


def test_which_errors_are_about_memory():
    assert out_of_memory(
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        )
    )
    assert not out_of_memory(RuntimeError("device-side assert triggered")) and not out_of_memory(
        ValueError("out of memory")
    )
