"""What is asked of the engine vllm in tests: every kind of request, and what is peculiar of each."""

from __future__ import annotations

from evalharness.records.requests import Generate, Profile, Rank, Request, Score

STORY = "Papers write that a bond broker insured quarterly dividends amid protests."
TOPICS = (" arts", " money news", " sports and games")
REQUESTS: tuple[Request, ...] = (
    Rank(pairs=tuple((f"Text: {STORY}\nTopic:", topic) for topic in TOPICS)),
    Rank(pairs=tuple((f"Text: {STORY}\nTopic: ", topic.strip()) for topic in TOPICS)),  # spaces that end a context
    Rank(pairs=(("", "The bank"), ("", " a"))),  # after the prefix token
    Rank(pairs=(("The bank", " said"), ("The bank", " said"))),  # the same twice
    Rank(pairs=(("The bank", ""),)),  # cannot be asked
    Score(text=STORY),
    Score(text=" ".join([STORY] * 40)),  # longer than the window
    Score(text=""),
    Generate(prompt=f"Text: {STORY}\nTopic:", stop=("\n",), max_tokens=12),
    Generate(prompt="The", stop=("\n", " "), max_tokens=20),  # white space stops after the first word only
    Generate(prompt=STORY, stop=(), max_tokens=16),
    Generate(prompt=STORY, stop=(), max_tokens=0),
    Generate(prompt=" ".join([STORY] * 40), stop=(), max_tokens=4),  # does not fit
    Profile(text=STORY, top_k=5),
    Profile(text=" amid protests", top_k=3, context=STORY),
)
