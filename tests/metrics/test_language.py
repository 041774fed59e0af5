"""Which language a text is in, and when that cannot be told."""

from __future__ import annotations

import pytest
from behaviour_answers import IN

from evalharness.errors import TaskError
from evalharness.metrics.build import build
from evalharness.metrics.language import running_text
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec

LANGUAGES = list(IN)


def value(text: str, *references: str, name: str = "answer_language", languages: object = LANGUAGES) -> float:
    metric = build(MetricSpec(id=name, name=name, options={"languages": languages}))
    response = Generation(request_id="", text=text, finish_reason="eos", tokens=1)
    example = Example(id="0", unit="0", prompt="", references=references)
    return metric.row(Prediction(example=example, response=response, text=text))[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_is_told_from_the_others(language: str) -> None:
    assert [other for other in LANGUAGES if value(IN[language], other)] == [language]
    assert value(IN[language], language, languages=[]) == 1  # among all that the library knows, too


@pytest.mark.parametrize(
    "text", ["", "42", "ja", "`eine ganze Menge Text in Code`", "https://example.org/ein/langer/pfad"]
)
def test_too_little_text_is_no_language(text: str) -> None:
    assert value(text, "de") == 0 and value(text, "de", name="no_language") == 1


def test_the_question_again_is_no_answer() -> None:
    question = "Warum geht Brot beim Backen auf?"
    assert running_text(f"{question} Das weiß niemand.", [question]) == "Das weiß niemand."
    assert value(question, "de") == 1 and value(f"{question}\n{question}", "de", question) == 0
    assert value(f"{question} That is a German question about bread.", "de", question) == 0


@pytest.mark.parametrize("languages", ["en", ["en", "xx"], [1]])
def test_languages_that_are_none_are_refused(languages: object) -> None:
    with pytest.raises(TaskError, match="languages"):
        value("text", "en", languages=languages)
