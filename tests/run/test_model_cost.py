"""What one model's answers cost, as run.json and the report show it."""

from __future__ import annotations

from evalharness.report.facts import fact_tables
from evalharness.run.model_cost import ModelCost


def test_rates_are_of_answers_that_were_computed_and_peaks_the_highest_of_all_turns() -> None:
    cost = ModelCost(stored=5, computed=3, seconds=9.0)
    cost.add_answers(2.0, {"prompt_tokens": 300, "answer_tokens": 10})
    cost.add_answers(3.0, {"prompt_tokens": 200, "answer_tokens": 40})
    for process, device in ((900, None), (800, 70), (850, 60)):
        cost.add_peaks(process, device)
    row = cost.facts(with_peaks=True)
    assert (row["prompt_tokens_per_second"], row["answer_tokens_per_second"]) == (100.0, 10.0)
    assert (row["peak_process_bytes"], row["peak_device_bytes"], row["seconds"]) == (900, 70, 9.0)


def test_what_was_not_measured_is_null_and_shown_as_such() -> None:
    stored, uncounted = ModelCost(stored=5), ModelCost(computed=5)
    uncounted.add_answers(2.0, {"answer_tokens": 4})
    rows = {"stored": stored.facts(with_peaks=True), "uncounted": uncounted.facts(with_peaks=True)}
    assert rows["stored"]["answer_tokens_per_second"] is None and rows["stored"]["peak_process_bytes"] is None
    assert (rows["uncounted"]["prompt_tokens_per_second"], rows["uncounted"]["answer_tokens_per_second"]) == (None, 2.0)
    (table,) = fact_tables({"models": rows})
    titles = ("stored", "computed", "seconds", "prompt tokens per second", "answer tokens per second")
    assert table.columns == (*titles, "peak process bytes", "peak device bytes")
    assert [fact.text for fact in table.rows[0][1]] == ["5", "0", "0 s", "–", "–", "–", "–"]
