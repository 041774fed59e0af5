"""Every branch is read once, in rows within the budget, behind headers that hold no scored position."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evalharness.engines.hf.packed_rows import MOST_FILLED, even_rows, packed_row
from evalharness.engines.hf.trie import LEAST_HEADER, STEP, Branch, groups, prefix_length

token = st.integers(0, 2)
text = st.lists(token, min_size=1, max_size=60).map(tuple)
shared = st.lists(token, max_size=80).map(tuple)


@st.composite
def drawn_branches(draw):
    heads = draw(st.lists(shared, min_size=1, max_size=3))
    texts = {draw(st.sampled_from(heads)) + draw(text) for _ in range(draw(st.integers(1, 25)))}
    return [Branch(fed, draw(st.integers(0, len(fed) - 1))) for fed in sorted(texts)]


@given(text, text)
def test_common_is_the_first_place_where_they_differ(one, other):
    length = prefix_length(one, other)
    assert one[:length] == other[:length]
    assert length == min(len(one), len(other)) or one[length] != other[length]


@given(drawn_branches(), st.integers(1, 120))
def test_a_plan_reads_every_branch_once_within_its_budget(branches, budget):
    plan = groups(branches, budget)
    assert sorted(i for group in plan for row in group.rows for i in row) == list(range(len(branches)))
    for group in plan:
        assert len(group.header) % STEP == 0
        if group.header:
            assert len(group.header) - group.above >= LEAST_HEADER
        for row in group.rows:
            some = [branches[i] for i in row]
            assert all(branch.fed[: len(group.header)] == group.header for branch in some)
            assert all(branch.first >= len(group.header) for branch in some)
            laid = packed_row(some, len(group.header))
            assert len(laid.tokens[0]) <= budget or len(row) == 1


@given(drawn_branches(), st.integers(1, 120))
def test_the_group_above_is_the_nearest_whose_header_it_continues(branches, budget):
    open_headers = [()]
    for group in groups(branches, budget):
        while len(open_headers[-1]) > group.above:
            open_headers.pop()
        assert group.header[: group.above] == open_headers[-1]
        open_headers.append(group.header)


@given(drawn_branches(), st.integers(0, 40))
def test_a_token_of_a_row_sees_its_own_branch_up_to_itself(branches, depth):
    some = [branch for branch in branches if len(branch.fed) > depth and branch.fed[:depth] == branches[-1].fed[:depth]]
    row = packed_row(some, depth)
    tokens, positions = row.tokens[0], row.positions[0]
    seen = np.tri(len(tokens), dtype=bool) if row.visible is None else row.visible
    for branch, path in zip(some, row.paths, strict=True):
        assert [tokens[place] for place in path] == list(branch.fed[depth:])
        assert [positions[place] for place in path] == list(range(depth, len(branch.fed)))
        for k, place in enumerate(path):
            assert sorted(seen[place].nonzero()[0]) == sorted(path[: k + 1])
    distinct = {branch.fed[:end] for branch in some for end in range(depth + 1, len(branch.fed) + 1)}
    assert len(tokens) == len(distinct)


@given(drawn_branches())
def test_rows_of_a_length_hold_a_branch_each_and_cost_little_more_than_one_row(branches):
    rows = even_rows(branches)
    packed = len(packed_row(branches, 0).tokens[0])
    width = max(len(branch.fed) for branch in branches)
    assert (rows is None) == (len(branches) == 1 or width * len(branches) > MOST_FILLED * packed)
    if rows is not None:
        places = [(number, place) for number, branch in enumerate(branches) for place in range(len(branch.fed))]
        flat = [divmod(int(place), width) for path in rows.paths for place in path]
        assert flat == places and all(len(row) == width for row in (*rows.tokens, *rows.positions))
        assert [rows.tokens[row][place] for row, place in flat] == [
            token for branch in branches for token in branch.fed
        ]
        assert all(rows.positions[row][place] == place for row, place in flat)


def test_texts_that_share_nothing_lie_in_rows_by_length():
    lengths = [40, 61, 20, 60, 41, 21, 22]
    texts = sorted((100 + i, *range(length - 1)) for i, length in enumerate(lengths))
    (group,) = groups([Branch(fed, len(fed) - 1) for fed in texts], 125)
    assert [[len(texts[i]) for i in row] for row in group.rows] == [[61, 60], [41, 40, 22, 21], [20]]


def test_a_header_is_read_once_and_what_forks_again_has_one_of_its_own():
    """Few-shot header, then two passages with twenty questions each."""
    header, passages = tuple(range(100)), [(7,) * 60, (8,) * 60]
    texts = sorted(header + passage + (20 + i, 9, 9, 9) for passage in passages for i in range(20))
    plan = groups([Branch(fed, len(fed) - 1) for fed in texts], 50)
    assert [(len(group.header), group.above) for group in plan] == [(96, 0), (160, 96), (160, 96)]
    assert [len(group.rows) for group in plan] == [0, 2, 2]


def test_a_first_word_that_all_questions_share_makes_no_other_header():
    header = tuple(range(96))
    for first in ((50,), (50, 51, 52), ()):
        texts = sorted(header + first + (60 + i, 9, 9) for i in range(30))
        assert [group.header for group in groups([Branch(fed, len(fed) - 1) for fed in texts], 40)] == [header]
