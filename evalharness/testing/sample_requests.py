"""List the requests that test an engine: prompts of many kinds, texts, and requests that no model can answer."""

from __future__ import annotations

from evalharness.records.requests import Generate, Profile, Rank, Request, Score

PROMPTS = (
    "The cat sat on the",
    "Question: Is snow white?\nAnswer:",
    "One two three four five",
    "The weather is fine today, and so we",
    "Once there was a small boat. It",
    "Name a colour:",
)
BEGINNINGS = ("Snow is white.", "A king has two small dogs.", "7, 5, 3")
UNICODE = (
    "Der Hund lief über die Straße, naïve",
    "日本語のテキスト",
    "A smile 😀 and a family 👩‍👩‍👧",
    "مرحبا بالعالم",
    "e\u0301 is two code points",
)
CHOICES = ((" yes", " no"), (" mat", " roof of the barn", " 7"), (" dog",), (" 😀", " é", "\nno"))
WORD = " one"
NEW = 12  # most tokens of a text
SURROGATE = "half of a pair \ud83d"  # no valid Unicode text


def rankings(prompts: tuple[str, ...] = PROMPTS) -> list[Request]:
    """Return requests with several continuations after every prompt, of one token and of many."""
    every = [(prompt, CHOICES[i % len(CHOICES)]) for i, prompt in enumerate(prompts)]
    return [Rank(pairs=tuple((prompt, choice) for choice in choices)) for prompt, choices in every]


def generations(prompts: tuple[str, ...] = PROMPTS, new: int = NEW) -> list[Generate]:
    """Return requests for texts that only their length or an end token ends."""
    return [Generate(prompt=prompt, stop=(), max_tokens=new) for prompt in prompts]


def texts() -> list[Request]:
    """Return requests to score whole texts."""
    return [Score(text=f"{prompt}.") for prompt in PROMPTS[:3]]


def profiles() -> list[Request]:
    """Return requests for the distribution of every token of a text, alone and after a context."""
    alone: list[Request] = [Profile(text=f"{prompt}.", top_k=3) for prompt in PROMPTS[:2]]
    return [*alone, Profile(text=" The cat sat on a mat.", top_k=2, context=PROMPTS[0])]


def of_every_type(answers: tuple[type[Request], ...]) -> list[Request]:
    """Return requests of these types, mixed as in a block."""
    by_type: list[list[Request]] = [rankings(), [*generations()], texts(), profiles()]
    longest = max(map(len, by_type))
    mixed = [requests[i] for i in range(longest) for requests in by_type if i < len(requests)]
    return [request for request in mixed if isinstance(request, answers)]


def unanswerable() -> list[Request]:
    """Return requests that no or few models can answer: invalid texts, empty prompts, an empty continuation."""
    ranks = [Rank(pairs=((PROMPTS[0], ""),)), Rank(pairs=((SURROGATE, " yes"),)), Rank(pairs=(("", " yes"),))]
    generates = [Generate(prompt=prompt, stop=(), max_tokens=2) for prompt in (SURROGATE, "")]
    return [*ranks, *generates, Score(text=SURROGATE)]


def of_words(count: int) -> str:
    """Return a text of so many words."""
    return (WORD * count).strip()
