"""Identify served models by their greedy answers to fixed prompts of many kinds."""

from __future__ import annotations

from collections.abc import Iterator

from evalharness.records.probe_answers import ProbeAnswer as ProbeAnswer
from evalharness.records.probe_answers import ProbeAnswers as ProbeAnswers

TOKENS = 8  # new tokens of each answer
LEAST_CHANGE = 1e-4  # nats by which a log-probability of the same weights may always differ
TIES = 8  # answers of the same weights that may always part at a near tie

PROMPTS = (  # a change makes every served model a new one
    # facts
    "The largest planet of the solar system is",
    "Water boils at a temperature of",
    "The author of the play Hamlet is",
    "A spider has",
    "The opposite of hot is",
    "In the year 1969, two people walked on",
    "The chemical symbol of iron is",
    "Question: Which animal gives wool?\nAnswer:",
    # numbers
    "12 + 29 =",
    "7 * 8 =",
    "3, 6, 9, 12, 15,",
    "Half of one hundred and fifty is",
    "If Ben has four pears and eats one, he has",
    "9999 is followed by",
    "The square root of 81 is",
    "One dozen eggs and another dozen eggs are",
    # code and markup
    "def add(a, b):\n    return",
    "for (int i = 0; i <",
    '{"name": "Ada", "age":',
    "SELECT name FROM users WHERE",
    "import numpy as",
    "<ul>\n  <li>one</li>\n  <li>",
    "$ git commit -m",
    "x = [n * n for n in range(5)]\nprint(x)\n#",
    # stories and sentences
    "Once upon a time there was a small fox who",
    "She opened the letter, read the first line and",
    "It had rained all night, and in the morning",
    "The train was late because",
    "My grandmother always said that",
    "Dear Mr Brown,\n\nthank you for",
    "He looked at the empty chair and",
    "The storm came closer;",
    # judgements
    "The film was far too long and dull. In one word, it was",
    "Great food and friendly people! I would come back. Sentiment:",
    "Is a tomato heavier than a car? Answer yes or no:",
    "Premise: All birds here are black. Hypothesis: One bird here is white. Label:",
    "Which is better for cutting bread, a spoon or a knife? A",
    "Is this sentence correct? 'They was at home.'",
    "True or false: the moon is made of cheese.",
    "The trophy does not fit into the bag because it is too big. What is too big? The",
    # other languages and translation
    "English: good morning\nFrench:",
    "Der schnelle Hund läuft durch den",
    "El gato duerme en la",
    "La capitale de l'Italie est",
    "English: thank you\nGerman:",
    "Москва — столица",
    "日本の首都は",
    "O rato roeu a roupa do",
    # lists and forms
    "Monday, Tuesday, Wednesday,",
    "red, orange, yellow, green,",
    "1. Wash the apples.\n2. Peel them.\n3.",
    "Ingredients:\n- flour\n- eggs\n-",
    "A, B, C, D,",
    "Name: John\nCity: Oslo\nCountry:",
    "| city | river |\n| Paris | Seine |\n| London |",
    "TODO:\n[x] buy milk\n[ ]",
    # conversation, and texts that are odd for tokenizers
    "User: Hello! Who are you?\nAssistant:",
    "User: Tell me a joke.\nAssistant: Why did",
    "Teacher: What is a verb?\nPupil: A verb is",
    "Summarise: The council met on Tuesday and agreed to mend the bridge. Summary:",
    "zzz zzz zzz",
    "!!! ??? ...",
    "ThE qUiCk BrOwN",
    "🙂 🙂",
)


def same(one: ProbeAnswers, other: ProbeAnswers) -> bool:
    """Return whether two models' answers to the probes may come from the same weights.

    Log-probabilities may differ by LEAST_CHANGE, or by twice as much as they do on one server when it is asked again. A
    few texts may differ from a token on at which two tokens are as near as that. Without log-probabilities all texts
    must be equal that were equal when one server was asked twice.
    """
    if (one.with_logprobs, one.by_chat) != (other.with_logprobs, other.by_chat):
        return False
    if len(one.answers) != len(other.answers):
        return False
    tolerance, unsteady = tolerance_of(one, other), {*one.unsteady, *other.unsteady}
    pairs = list(zip(one.answers, other.answers, strict=True))
    if not one.with_logprobs:
        return all(_like(*pair, tolerance) for place, pair in enumerate(pairs) if place not in unsteady)
    parted = sum(a.tokens != b.tokens for a, b in pairs)
    return parted <= max(TIES, 2 * len(unsteady)) and all(_like(*pair, tolerance) for pair in pairs)


def same_at(before: ProbeAnswers, place: int, answer: ProbeAnswer) -> bool:
    """Return whether a new answer to one prompt may come from the weights that gave the answers `before`."""
    if not before.with_logprobs and place in before.unsteady:
        return True
    return _like(before.answers[place], answer, tolerance_of(before, before))


def tolerance_of(one: ProbeAnswers, other: ProbeAnswers) -> float:
    """Return by how many nats a log-probability of the same weights may differ."""
    return max(LEAST_CHANGE, 2 * max(one.noise, other.noise))


def differences(one: ProbeAnswer, other: ProbeAnswer) -> Iterator[float]:
    """Yield the differences of the log-probabilities up to and with the first token that differs, because both tokens
    were the likeliest there.
    """
    for a, b, there, here in zip(one.tokens, other.tokens, one.logprobs, other.logprobs, strict=False):
        yield abs(there - here)
        if a != b:
            return


def _like(one: ProbeAnswer, other: ProbeAnswer, tolerance: float) -> bool:
    if one.prompt_tokens != other.prompt_tokens:
        return False
    if not (one.tokens and other.tokens):
        return one.text == other.text
    return max(differences(one, other), default=0.0) <= tolerance
