"""What is known of tokenizers without transformers is what transformers' own tokenizers give, text by text; and where
their files have transformers do more than tokenizer.json says, transformers splits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_chats
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from evalharness.checkpoints import fingerprint, memory
from evalharness.checkpoints.fast_tokenizer import FastTokenizer, prompt_tokens_in, splitting_tokenizer
from evalharness.checkpoints.special_tokens import prompt_tokens
from evalharness.checkpoints.tokenizer import load_tokenizer
from evalharness.engines.hf.chat import template_of
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, Untokenizable
from evalharness.errors import ModelError
from evalharness.paths import shipped
from evalharness.records.models import Architecture

TEXTS = (
    *("", " ", "\n\n", "the cat", " the cat", "the cat ", "The  CAT\tsat.", "naïve – 3.14 …", "日本語 🙂", "a\0b"),
    *("e\u0301\ufb01", "<s>", "</s>the", "x<s> y", "<|im_start|>user", "<pad>", "[MASK]", "<unk>", "the <new> cat"),
    "<extra>a",
)
LLAMA, FILE, CONFIG = "llama", "tokenizer.json", "tokenizer_config.json"
Edit = Callable[[Path, Callable[..., None]], None]


def added(folder: Path, edit_json: Callable[..., None]) -> None:
    new = {"content": "<new>", "special": False, "lstrip": True}
    edit_json(folder / CONFIG, added_tokens_decoder={"900": new})


def extra(folder: Path, edit_json: Callable[..., None]) -> None:
    edit_json(folder / CONFIG, extra_special_tokens=["<extra>"])


def begins(folder: Path, edit_json: Callable[..., None]) -> None:
    edit_json(folder / CONFIG, add_bos_token=True, add_eos_token=True)


def lower(folder: Path, edit_json: Callable[..., None]) -> None:
    edit_json(folder / FILE, normalizer={"type": "Lowercase"})


def truncates(folder: Path, edit_json: Callable[..., None]) -> None:
    truncation = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    edit_json(folder / FILE, truncation=truncation)


def twice(folder: Path, edit_json: Callable[..., None]) -> None:
    text = {"Sequence": {"id": "A", "type_id": 0}}
    post = {"type": "TemplateProcessing", "single": [text, text], "pair": [text, text], "special_tokens": {}}
    edit_json(folder / FILE, post_processor=post)


def taken_apart(folder: Path, edit_json: Callable[..., None]) -> None:
    Tokenizer.from_file(str(folder / FILE)).model.save(str(folder))
    (folder / FILE).unlink()
    edit_json(folder / CONFIG, tokenizer_class="GPT2Tokenizer")


def of_class(name: str) -> Edit:
    return lambda folder, edit_json: edit_json(folder / CONFIG, tokenizer_class=name)


def as_it_is(folder: Path, edit_json: Callable[..., None]) -> None:
    pass


CASES: dict[str, tuple[str, Edit, bool | None]] = {  # of what, how edited, whether it is split without transformers
    **{name: (name, as_it_is, True) for name in (LLAMA, "gpt2", "qwen3", "t5", "bart")},
    "another normaliser": (LLAMA, lower, True),
    "truncates": (LLAMA, truncates, True),
    "special tokens around": (LLAMA, begins, None),
    "a token that only the configuration adds": (LLAMA, added, False),
    "a special token that only the configuration adds": (LLAMA, extra, False),
    "a template that repeats the text": (LLAMA, twice, False),
    "class Llama": (LLAMA, of_class("LlamaTokenizerFast"), None),
    "class GPT-2": ("gpt2", of_class("GPT2TokenizerFast"), None),
    "the files of its vocabulary alone": ("gpt2", taken_apart, False),
}


@pytest.fixture
def light(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PreTrainedTokenizerBase]:
    """What splits texts in a process that has not seen this tokenizer, after one that has."""
    monkeypatch.setattr(memory, "AT_REST", 0)

    def light(folder: Path) -> PreTrainedTokenizerBase:
        for _ in range(2):
            with memory.remember_in(tmp_path / "memory"):
                tokenizer = splitting_tokenizer(folder, None)
        return tokenizer

    return light


def ids(tokenizer: PreTrainedTokenizerBase, architecture: Architecture, text: str) -> object:
    """Token ids with special tokens and without, and what is said of a text that has none."""
    adapter = TokenizerAdapter(tokenizer, architecture, prompt_tokens_in(Path(tokenizer.name_or_path), architecture))
    try:
        return adapter.encode(text), adapter.encode(text, special=False), adapter.pad
    except Untokenizable as error:
        return str(error)


def alike(light: PreTrainedTokenizerBase, folder: Path, tmp_path: Path) -> None:
    own = load_tokenizer(folder)
    with memory.remember_in(tmp_path / "memory"):
        for architecture in Architecture:
            assert prompt_tokens_in(folder, architecture) == prompt_tokens(own, architecture)
            for text in (*TEXTS, "\ud800"):
                assert ids(light, architecture, text) == ids(own, architecture, text), text
    assert light.special_tokens_map == own.special_tokens_map


@pytest.mark.parametrize("case", CASES)
def test_texts_are_split_as_transformers_splits_them(case, light, copy, edit_json, tmp_path) -> None:
    name, edit, without = CASES[case]
    folder = copy(name)
    edit(folder, edit_json)
    tokenizer = light(folder)
    assert without is None or isinstance(tokenizer, FastTokenizer) is without
    alike(tokenizer, folder, tmp_path)


@pytest.mark.parametrize("name", ["tiny-base", "tiny-base-seq2seq"])
def test_the_shipped_bases_need_no_transformers(name, light, tmp_path) -> None:
    folder = shipped(f"fixtures/models/{name}")
    tokenizer = light(folder)
    assert isinstance(tokenizer, FastTokenizer)
    alike(tokenizer, folder, tmp_path)


@pytest.mark.parametrize("template", [tiny_chats.BRACKETS, tiny_chats.DATED, tiny_chats.LINES])
def test_chats_are_rendered_alike(template, light, zoo, tmp_path) -> None:
    folder = tiny_chats.with_template(zoo[LLAMA], tmp_path / "chats", template)
    tokenizer = light(folder)
    assert isinstance(tokenizer, FastTokenizer)
    here, theirs = (template_of(folder, each) for each in (tokenizer, load_tokenizer(folder)))
    assert here is not None and theirs is not None and here.fingerprint == theirs.fingerprint
    turns = [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "sat on"}]
    assert here.render(turns, True) == theirs.render(turns, True) and here.ended(turns) == theirs.ended(turns)


def test_several_templates_without_a_default_are_refused_as_before(light, copy, edit_json) -> None:
    folder = copy(LLAMA)
    both = [{"name": name, "template": "{{ messages[0].content }}"} for name in ("one", "two")]
    edit_json(folder / CONFIG, chat_template=both)
    with pytest.raises(ModelError, match="chat template cannot be used"):
        template_of(folder, light(folder))


def test_a_tokenizer_written_over_since_is_refused(light, copy, tmp_path, monkeypatch) -> None:
    folder = copy(LLAMA)
    facts = json.loads((folder / FILE).read_text())
    light(folder)
    with memory.remember_in(tmp_path / "memory"):
        known = {path: fingerprint.of_file(path) for path in fingerprint.tokenizer_paths(folder)}
        (folder / FILE).write_text(json.dumps({**facts, "normalizer": {"type": "Lowercase"}}))
        monkeypatch.setattr(fingerprint, "of_file", lambda path: known[path])  # it is written after it was hashed
        with pytest.raises(ModelError, match="changed after they were read"):
            splitting_tokenizer(folder, None)
