"""The table of virtual tokens: from the records to the page."""

from __future__ import annotations

from dataclasses import replace

from evalharness.report.page import render
from evalharness.report.soft_prompts import MOST, soft_prompts


def near(text, cosine=0.5, distance=1.25):
    return {"id": 7, "text": text, "cosine": cosine, "distance": distance}


def with_prompt(run, **facts):
    return replace(
        run, models=tuple(replace(m, soft_prompt=facts if m.name == "prompt-16" else {}) for m in run.models)
    )


def test_rows_say_nearest_tokens_and_which_are_alike(run):
    tokens = [[near(" cat"), near(None)]] * (MOST + 2)
    facts = {"nearest": tokens, "rule": "by a rule", "clusters": [[0, 2], [1], *([n] for n in range(3, MOST + 2))]}
    shown = soft_prompts(with_prompt(run, **facts))
    assert len(shown.rows) == MOST and shown.rule == "by a rule"
    assert shown.rows[0].nearest == (("' cat'", "0.50, 1.25"), ("#7", "0.50, 1.25"))
    assert [row.alike for row in shown.rows[:3]] == ["2", "–", "0"]
    assert shown.reasons == ("prompt-16: 2 more virtual tokens are in results.json",)


def test_a_reason_stands_in_for_rows_and_nothing_for_nothing(run):
    page = render(with_prompt(run, reason="keys and values: it has no nearest tokens"))
    assert "prompt-16: keys and values: it has no nearest tokens." in page and "Nearest tokens" not in page
    assert soft_prompts(run) is None and "virtual tokens" not in render(run)


def test_a_token_is_inert_on_the_page(run):
    facts = {"nearest": [[near("<img src=x onerror=alert(1)>")]], "rule": "r", "clusters": [[0]]}
    page = render(with_prompt(run, **facts))
    assert "<img src=x" not in page and "&lt;img src=x onerror=aler" in page
