"""Refuse a local tokenizer that is not the server's, and a server whose answers repeat the prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evalharness.engines.openai.prompt_scores import Prompt, Unsound, count_in, text_in
from evalharness.engines.openai.tokens import PATH, PromptSplitter, server_tokens
from evalharness.engines.openai.writing import prompt_content
from evalharness.errors import ModelError
from evalharness.openai_api.client import ApiClient
from evalharness.openai_api.replies import ApiFailure
from evalharness.openai_api.served_model import CHAT, COMPLETIONS

FEW = 4  # new tokens, too few for any of TEXTS
MOST_AROUND = 4  # special tokens that a server may put around a text
TEXTS = (  # of many kinds, because two tokenizers may split a simple sentence into equally many tokens
    "Is water wet? Answer yes or no: yes, it is. Is the moon made of green cheese? Answer: no",
    "def fibonacci(n):\n    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)",
    "Der schnelle Hund läuft 1234567 Meter durch den Wald; 東京は日本の首都です。",
    "Internationalisation\t\tof antidisestablishmentarianism, 3.14159 <|x|> ZzYyXx!",
)


def check_tokenizer(api: ApiClient, model: str, splitter: PromptSplitter, directory: Path) -> None:
    """Compare a tokenizer on this machine with the server's tokens of a few texts. Raises ModelError if they differ."""
    plain = [splitter.token_ids(text) for text in TEXTS]
    served = server_tokens(api, model, TEXTS)
    differs = any(theirs is not None and theirs != ours for theirs, ours in zip(served, plain, strict=True))
    counts = [*_counts(api, model)] if all(theirs is None for theirs in served) else []
    around = {count - len(ours) for count, ours in zip(counts, plain, strict=False) if count is not None}
    if differs or len(around) > 1 or any(not 0 <= more <= MOST_AROUND for more in around):
        source = f"by {PATH}" if differs else "by the prompt_tokens of its answers"
        what = f"{directory} holds another tokenizer than this model's: {source}, the server splits texts otherwise"
        raise ModelError(f"{api.url}#{model}", what, "name the directory of the served model (tokenizer=DIR)")


def _counts(api: ApiClient, model: str) -> Iterator[int | None]:
    """Yield how many tokens each of TEXTS has as a prompt; None if the server does not say."""
    for text in TEXTS:
        answer = api.try_post(COMPLETIONS, {"model": model, "prompt": text, "max_tokens": 1, "temperature": 0})
        count = None if isinstance(answer, ApiFailure) else count_in(answer, "prompt_tokens")
        yield count if count and count > 0 else None


def check_new_text(api: ApiClient, model: str, prompts: Sequence[Prompt], *, chat: bool) -> None:
    """Raise ModelError if answers begin with the prompt, the first of TEXTS, which FEW new tokens cannot hold."""
    for prompt in prompts:
        body = {"model": model, **prompt_content(prompt, chat), "max_tokens": FEW, "temperature": 0}
        answer = api.try_post(CHAT if chat else COMPLETIONS, body)
        try:
            text = "" if isinstance(answer, ApiFailure) else text_in(answer)
        except Unsound:
            continue
        if TEXTS[0] in text:
            fix = "have the server answer with new text alone (return_full_text: false, or no echo)"
            raise ModelError(f"{api.url}#{model}", "its answers begin with the prompt", fix)
