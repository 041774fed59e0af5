"""Rows that share a link, directly or through others, are one cluster."""

from __future__ import annotations

from evalharness.tasks.clusters import clusters


def test_a_cluster_is_named_by_its_first_row() -> None:
    assert clusters(["a", "b", "a", "c", "b"]) == [0, 1, 0, 3, 1]
    assert clusters([]) == []


def test_links_of_two_kinds_join_what_neither_joins_alone() -> None:
    links = [("unit 1", "x"), ("unit 2", "y"), ("unit 1", "y"), ("unit 3", "z"), ("unit 4", "x")]
    assert clusters(links) == [0, 0, 0, 3, 0]
