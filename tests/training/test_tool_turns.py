"""Tools in conversations: shown by the model's chat template as transformers shows them, or refused."""

from __future__ import annotations

import json

import pytest
from command_line import exit_code
from training.conftest import tokenizer

from evalharness.engines.hf.chat import ChatTemplate
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.errors import DataError
from evalharness.records.models import Architecture
from evalharness.training.encode import Encoder
from evalharness.training.example_file import read_examples

TEMPLATE = (
    "{% if tools %}{% for tool in tools %}{{ tool | tojson }} </s> {% endfor %}{% endif %}"
    "{% for m in messages %}{{ m.role }} {% if m.tool_calls %}{% for call in m.tool_calls %}"
    "{{ call.function.name }} {{ call.function.arguments | tojson }} {% endfor %}{% endif %}{{ m.content }} </s> "
    "{% endfor %}{% if add_generation_prompt %}assistant {% endif %}"
)
PLAIN = (
    "{% for m in messages if m.role != 'tool' %}{{ m.role }} {{ m.content }} </s> {% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
CALL = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": {"word": "good"}}}
MESSAGES = [
    {"role": "user", "content": "is it good"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "it is good", "tool_call_id": "1"},
    {"role": "assistant", "content": "yes"},
]


def written(tmp_path, messages, tools=None):
    path = tmp_path / "talks.jsonl"
    path.write_text(json.dumps({"messages": messages} | ({"tools": tools} if tools else {})) + "\n")
    return path


def encoder(template):
    words = tokenizer()
    words.chat_template = template
    return Encoder(TokenizerAdapter(words, Architecture.CAUSAL), chat=ChatTemplate(words, template)), words


@pytest.mark.parametrize("as_json", [False, True])
def test_tools_and_calls_are_shown_as_transformers_shows_them(tmp_path, as_json):
    """Against apply_chat_template(tools=…); both turns of the assistant are learned, tools and their answers given."""
    call = {**CALL, "function": {"name": "look_up", "arguments": '{"word": "good"}'}} if as_json else CALL
    messages = [MESSAGES[0], {**MESSAGES[1], "tool_calls": [call]}, *MESSAGES[2:]]
    read = read_examples(written(tmp_path, messages, json.dumps(TOOLS) if as_json else TOOLS))
    assert read.forms == {"messages with tools": 1}
    ours, words = encoder(TEMPLATE)
    (row,) = ours.encode(read.examples[0])
    theirs = [{**message, "content": message["content"] or ""} for message in MESSAGES]
    wanted = words.apply_chat_template(theirs, tools=TOOLS, tokenize=False)
    assert list(row.ids) == words(wanted)["input_ids"]
    called = words.apply_chat_template(theirs[:2], tools=TOOLS, tokenize=False)
    asked = words.apply_chat_template(theirs[:1], tools=TOOLS, tokenize=False, add_generation_prompt=True)
    answered = words.apply_chat_template(theirs[:3], tools=TOOLS, tokenize=False, add_generation_prompt=True)
    learned = [len(words(text)["input_ids"]) for text in (asked, called, answered)]
    places = [place for place, label in enumerate(row.labels) if label != -100]
    assert places == [*range(learned[0], learned[1]), *range(learned[2], len(row.ids))]


@pytest.mark.parametrize(
    ("messages", "tools", "message"),
    [
        (MESSAGES, TOOLS, "it does not show tools"),
        (MESSAGES[:2], None, "it does not show the calls of tools"),
        ([MESSAGES[0], MESSAGES[2], MESSAGES[3]], None, "it does not show what tools answer"),
    ],
)
def test_a_template_that_does_not_show_them_is_refused(tmp_path, messages, tools, message):
    read = read_examples(written(tmp_path, messages, tools))
    with pytest.raises(DataError, match=message):
        encoder(PLAIN)[0].encode(read.examples[0])


def test_which_form_was_recognised_is_said_and_recorded(given, place, capsys):
    rows = [{"instruction": "is it", "output": "good"}] * 2 + [{"prompt": "it is", "completion": " bad"}]
    file = place / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert exit_code("train", "--method", "lora", "--train-file", file, *given) == 0
    out, err = capsys.readouterr()
    said = "mine.jsonl, rows by form: Alpaca 2, prompt/completion 1"
    assert f"read:        {said}\n" in out and f"read: {said}\n" in err
    (source,) = json.loads((place / "candidate" / "training.json").read_text())["data"]["sources"]
    assert source["forms"] == {"Alpaca": 2, "prompt/completion": 1}


def test_sharegpt_is_recognised(tmp_path):
    path = tmp_path / "talks.json"
    path.write_text(json.dumps([{"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]}]))
    assert read_examples(path).forms == {"ShareGPT": 1}
