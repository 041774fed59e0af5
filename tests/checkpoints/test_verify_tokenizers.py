"""Tokenizers that do not fit their weights or their base are refused; allowed differences are notices."""

from __future__ import annotations

import json
from importlib.metadata import distributions

import pytest
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.errors import MissingPackageError, ModelError


def test_no_tokenizer(copy):
    folder = copy("llama")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ModelError, match="no tokenizer"):
        verify(recognise(str(folder)))


def test_a_tokenizer_that_cannot_be_read(copy):
    folder = copy("llama")
    (folder / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(ModelError, match="tokenizer cannot be read"):
        verify(recognise(str(folder)))


def test_a_tokenizer_with_code(copy, edit_json):
    folder = copy("llama")
    edit_json(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})
    with pytest.raises(ModelError, match="remote code is never run"):
        verify(recognise(str(folder)))


def test_tokens_outside_the_embeddings(copy, tiny):
    folder = copy("llama")
    tokenizer = tiny.make_tokenizer("llama")
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match=r"outside the embedding matrix of \d+ rows: '<pad>' \(\d+\)"):
        verify(recognise(str(folder)))


def test_an_added_pad_token_is_a_notice(copy, tiny, zoo):
    folder = copy("llama", "tuned")
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = tiny.make_tokenizer("llama")
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (notice,) = verify(recognise(str(folder), base=str(zoo["llama"])))
    assert notice.startswith("tuned: tokens added to its base's tokenizer: '<pad>' (")


@pytest.mark.parametrize("name", ["llama", "llama-lora"])
def test_token_ids_that_moved_are_refused(name, copy, zoo):
    folder = copy(name, "tuned")
    value = json.loads((zoo["llama"] / "tokenizer.json").read_text())
    vocabulary = value["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (folder / "tokenizer.json").write_text(json.dumps(value))
    (folder / "tokenizer_config.json").write_text((zoo["llama"] / "tokenizer_config.json").read_text())
    with pytest.raises(ModelError, match=r"token ids moved against its base .*'a' from \d+ to \d+, 'b' from"):
        verify(recognise(str(folder), base=str(zoo["llama"])))


def test_a_tokenizer_that_splits_otherwise_is_a_notice(copy, zoo):
    folder = copy("llama", "tuned")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    value = json.loads(tokenizer.to_str())
    value["model"]["merges"] = value["model"]["merges"][:20]
    (folder / "tokenizer.json").write_text(json.dumps(value))
    (notice,) = verify(recognise(str(folder), base=str(zoo["llama"])))
    assert "splits text otherwise" in notice


@pytest.mark.parametrize(
    ("template", "own"), [(None, "TEXT"), ("$A </s>", "TEXT </s>"), ("<s> <s> $A", "<s> <s> TEXT")]
)
def test_other_special_tokens_around_a_text_are_a_notice(template, own, copy, zoo, special_tokens):
    (notice,) = verify(recognise(str(special_tokens("llama", template)), base=str(zoo["llama"])))
    assert notice.endswith(f"makes `{own}` of a text; prompts of base and candidates are `<s> TEXT`")


def test_special_tokens_that_the_base_lacks_rows_for_are_refused(zoo, copy, edit_json):
    """The base that is named begins its texts with a token that the candidate's embeddings do not have."""
    folder, larger = copy("llama", "tuned"), copy("llama", "larger")
    value = json.loads((larger / "tokenizer.json").read_text())
    value["added_tokens"].append({**value["added_tokens"][0], "id": 5000, "content": "<begin>"})
    (larger / "tokenizer.json").write_text(json.dumps(value))
    edit_json(larger / "tokenizer_config.json", bos_token="<begin>")
    with pytest.raises(ModelError, match="which it has no rows for"):
        verify(recognise(str(folder), base=str(larger)))


@pytest.mark.parametrize(
    ("own", "base", "words"),
    [("b", "", "has none"), ("", "a", "has no chat template"), ("b", "a", "another than its base")],
)
def test_a_chat_template_of_its_own_is_a_notice(own, base, words, zoo, copy):
    folder, under = copy("qwen3", "tuned"), copy("qwen3", "under")
    for place, text in ((folder, own), (under, base)):
        if text:
            (place / "chat_template.jinja").write_text(text)
    (notice,) = verify(recognise(str(folder), base=str(under)))
    assert "chat template" in notice and words in notice


def test_another_end_token_is_a_notice(zoo, copy, edit_json):
    folder = copy("llama", "tuned")
    edit_json(folder / "tokenizer_config.json", eos_token="<unk>")
    (notice,) = verify(recognise(str(folder), base=str(zoo["llama"])))
    assert notice == "tuned: its eos_token is '<unk>', its base's '</s>'"


def test_a_tokenizer_that_cannot_split(copy, zoo, edit_json):
    folder = copy("llama")
    edit_json(folder / "tokenizer_config.json", model_max_length={})
    with pytest.raises(ModelError, match=r"its tokenizer cannot (split a text|be read)"):
        verify(recognise(str(folder), base=str(zoo["llama"])))


def test_token_ids_of_an_encoder_decoder_that_moved(copy, zoo):
    folder = copy("t5", "tuned")
    value = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = value["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (folder / "tokenizer.json").write_text(json.dumps(value))
    with pytest.raises(ModelError, match=r"token ids moved against its base .*'a' from"):
        verify(recognise(str(folder), base=str(zoo["t5"])))


@pytest.mark.parametrize(
    ("file", "content", "packages"),
    [
        ("tokenizer.model", b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02", ["sentencepiece", "protobuf"]),
        ("spiece.model", b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02", ["sentencepiece", "protobuf"]),
        ("tokenizer.model", b"IQ== 0\nIg== 1\n", ["tiktoken"]),
    ],
)
def test_a_tokenizer_that_only_other_packages_read(file, content, packages, copy, edit_json):
    """They are named, and not only whichever of them was tried last."""
    if any(any(distributions(name=name)) for name in packages):
        pytest.skip("is installed here")
    folder = copy("llama")
    (folder / "tokenizer.json").unlink()
    (folder / file).write_bytes(content)
    kind = "T5Tokenizer" if file == "spiece.model" else "LlamaTokenizer"
    edit_json(folder / "tokenizer_config.json", tokenizer_class=kind)
    words = f"its tokenizer is {file} alone, and {' and '.join(packages)} to read it with .* not installed; "
    with pytest.raises(MissingPackageError, match=f"{words}pip install {' '.join(packages)}"):
        verify(recognise(str(folder)))


def test_a_tokenizer_without_a_word(copy, edit_json):
    """transformers makes one where the class looks for other files than are there."""
    folder = copy("llama")
    (folder / "tokenizer.json").rename(folder / "vocab.txt")
    edit_json(folder / "tokenizer_config.json", tokenizer_class="LlamaTokenizer")
    with pytest.raises(ModelError, match="its tokenizer_class LlamaTokenizer reads none of the vocabulary's files"):
        verify(recognise(str(folder)))
