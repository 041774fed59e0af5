"""Stop strings are noticed at the token that completes them, as by decoding the whole text after every token."""

from __future__ import annotations

import random

import pytest

from evalharness.engines.hf.endings import Endings
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.records.requests import Generate

STOPS = ["\n", " ", "e", "th", "at on", "é", "日", "\n\n", " ,", "yes"]


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "t5"])
def test_a_stop_string_is_noticed_where_the_whole_text_has_it(architecture, tiny):
    tokenizer = TokenizerAdapter(tiny.make_tokenizer(architecture))
    texts = ["the cat sat on\n\n a mat , yes", "née \u65e5\u672c the", "\n \n the  end\n"]
    chance = random.Random(0)
    for number in range(60):
        text = chance.choice(texts) + " ".join(chance.choices(tiny.WORDS, k=4))
        new = [*tokenizer.encode(text, special=False), *chance.choices(range(len(tokenizer.tokenizer)), k=3)]
        stop = tuple(chance.sample(STOPS, k=2))
        request = Generate(prompt="", stop=stop, max_tokens=99, stop_at_once=number % 2 == 0)
        endings = Endings(tokenizer=tokenizer, ends=frozenset(), own_stops=(), least=(None, None))
        whole = [request.answer_in(tokenizer.decode(new[: i + 1]))[1] for i in range(len(new))]
        first = whole.index(True) if True in whole else len(new) - 1
        assert [endings.stopped(request, new[: i + 1]) for i in range(first + 1)] == whole[: first + 1]
