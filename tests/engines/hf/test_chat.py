"""Chat templates as models bring them: rendered as lm-eval's HFLM renders them, one name for those that render alike,
refused by name.
"""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path

import pytest
import tiny_chats
from jinja2 import TemplateError
from lm_eval.models.huggingface import HFLM
from transformers import AutoTokenizer

from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.chat import ChatTemplate
from evalharness.engines.hf.factory import FACTORY
from evalharness.errors import ModelError
from evalharness.records.tokenizers import Unrenderable

SYSTEM, ASK = {"role": "system", "content": "Be brief."}, {"role": "user", "content": " What is it?\n"}
ANSWER, BEGUN = {"role": "assistant", "content": " a cat "}, {"role": "assistant", "content": "It is"}


@pytest.fixture
def renderer(zoo, tmp_path):
    count = itertools.count()

    def make(template: str, name: str = "llama"):
        path = tiny_chats.with_template(zoo[name], tmp_path / f"{name}-{next(count)}", template)
        return FACTORY.chat_renderer(recognise(str(path)))

    return make


def oracle(path: Path) -> HFLM:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return HFLM(pretrained=str(path), device="cpu", dtype="float32")


@pytest.mark.parametrize("template", ["LINES", "BRACKETS", "STRICT"])
@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_prompts_equal_lm_evals(template, name, zoo, tmp_path):
    """lm-eval 0.4.13's HFLM.apply_chat_template on the same files, its way with refused system turns included."""
    path = tiny_chats.with_template(zoo[name], tmp_path / name, getattr(tiny_chats, template))
    ours, theirs = FACTORY.chat_renderer(recognise(str(path))), oracle(path)
    conversations = [
        [ASK],
        [SYSTEM, ASK],
        [SYSTEM, ASK, ANSWER, ASK],
        [ASK, BEGUN],
        [SYSTEM, ASK, ANSWER, ASK, BEGUN],
        [ASK, ANSWER],
    ]
    for messages in conversations:
        continued = messages[-1]["role"] == "assistant"
        assert ours.render(messages, continued) == theirs.apply_chat_template(
            messages, add_generation_prompt=not continued
        )


@pytest.mark.parametrize("template", tiny_chats.HABITS)
def test_prompts_equal_transformers(template, zoo):
    """Whatever templates use of Jinja: the same text as `apply_chat_template`, the same conversations refused."""
    tokenizer = AutoTokenizer.from_pretrained(zoo["llama"])
    ours = ChatTemplate(tokenizer, template)
    padded = {"role": "assistant", "content": " <think>\nWhy?\n</think>\n\n Because of it. "}
    conversations = [[ASK], [ASK, ANSWER, ASK], [ASK, padded, ASK, padded], [ASK, BEGUN], [ASK, {**ASK, "content": ""}]]
    for messages in conversations:
        for continued in (False, True, None):
            how = {"add_generation_prompt": continued is False, "continue_final_message": continued is True}
            try:
                theirs = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, **how)
            except (TemplateError, ValueError):
                with pytest.raises(Unrenderable):
                    ours._render(messages, continued)
            else:
                assert ours._render(messages, continued) == theirs


def test_a_refused_conversation_says_why(renderer, zoo, tmp_path):
    with pytest.raises(Unrenderable, match="sides must take turns"):
        renderer(tiny_chats.STRICT).render([ASK, ASK], False)
    path = tiny_chats.with_template(zoo["llama"], tmp_path / "oracle", tiny_chats.STRICT)
    with pytest.raises(TemplateError):
        oracle(path).apply_chat_template([ASK, ASK])


def test_a_start_that_the_template_swallows_is_refused(renderer):
    with pytest.raises(Unrenderable, match="final message"):
        renderer(tiny_chats.LINES.replace("message.content }}", "message.content[:0] }}")).render([ASK, BEGUN], True)


@pytest.mark.parametrize(("template", "takes"), [("LINES", True), ("BRACKETS", False), ("DATED", False)])
def test_whether_the_system_is_heard(template, takes, renderer):
    """Refused or passed over in silence: either way it does not reach the model."""
    ours = renderer(getattr(tiny_chats, template))
    assert ours.takes_system == takes
    assert ("Be brief." in ours.render([SYSTEM, ASK], False)) == takes


def test_the_date_stands_still(renderer, zoo, tmp_path):
    """And apart from the date, the prompt is the one that lm-eval makes of a template with that date in it."""
    ours = renderer(tiny_chats.DATED).render([ASK, ANSWER, ASK], False)
    fixed = tiny_chats.DATED.replace("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024")
    assert ours == oracle(tiny_chats.with_template(zoo["llama"], tmp_path / "fixed", fixed)).apply_chat_template(
        [ASK, ANSWER, ASK]
    )
    told = "{{- strftime_now('%A, %-d %B %Y, %H:%M') }}"
    spelled = f"{{%- if strftime_now is defined %}}\n  {told}{{% endif %}}\n {{{{ messages[0].content }}}}"
    assert renderer(spelled).render([ASK], False) == "Friday, 26 July 2024, 00:00  What is it?\n"


def test_leading_white_space_survives_the_stopped_clock(renderer):
    template = "\n  {% if messages %}{{ messages[0].content }}{% endif %}"
    assert renderer(template + "{# strftime_now #}").render([ASK], False) == renderer(template).render([ASK], False)


def test_what_renders_alike_has_one_name(renderer, zoo, tmp_path):
    ours = renderer(tiny_chats.LINES)
    assert renderer(tiny_chats.LINES).fingerprint == renderer(tiny_chats.LINES, "qwen3").fingerprint == ours.fingerprint
    assert renderer(tiny_chats.LINES + " ").fingerprint != ours.fingerprint
    assert (
        renderer(tiny_chats.BRACKETS).fingerprint != renderer(tiny_chats.BRACKETS, "gpt2").fingerprint
    )  # other words for BOS and EOS


def test_adapters_are_spoken_to_as_their_base_unless_they_bring_a_tokenizer(zoo, tmp_path, edit_json):
    base = tiny_chats.with_template(zoo["llama"], tmp_path / "base", tiny_chats.LINES)
    adapter = tiny_chats.with_template(zoo["llama-lora"], tmp_path / "lora", tiny_chats.BRACKETS)
    text = str(adapter)
    assert (
        FACTORY.chat_renderer(recognise(text, base=str(base))).fingerprint
        == FACTORY.chat_renderer(recognise(str(base))).fingerprint
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (adapter / name).write_bytes((base / name).read_bytes())
    own = FACTORY.chat_renderer(recognise(text, base=str(base)))
    assert own.fingerprint != FACTORY.chat_renderer(recognise(str(base))).fingerprint


def test_no_template_is_none_and_a_broken_one_an_error(zoo, tmp_path, renderer):
    assert FACTORY.chat_renderer(recognise(str(zoo["llama"]))) is None
    with pytest.raises(ModelError, match="chat template cannot be used"):
        renderer("{% for message in messages %}")
    with pytest.raises(ModelError, match="nothing pleases me"):
        renderer("{{ raise_exception('nothing pleases me') }}")
    path = tiny_chats.with_template(zoo["llama"], tmp_path / "several", "")
    (path / "chat_template.jinja").unlink()
    config = json.loads((path / "tokenizer_config.json").read_text())
    config["chat_template"] = [
        {"name": "tool_use", "template": tiny_chats.LINES},
        {"name": "rag", "template": tiny_chats.LINES},
    ]
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="multiple chat templates"):
        FACTORY.chat_renderer(recognise(str(path)))
    config["chat_template"][1]["name"] = "default"
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    assert FACTORY.chat_renderer(recognise(str(path))).render([ASK], False).endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize("place", ["jinja", "config", "additional"])
def test_the_template_is_part_of_a_models_identity(place, zoo, tmp_path, edit_json):
    """Wherever tokenizers keep it, a model with another template is another model."""

    def fingerprint(name: str, template: str) -> str:
        path = tiny_chats.with_template(zoo["llama"], tmp_path / name, "unused")
        (path / "chat_template.jinja").unlink()
        if place == "jinja":
            (path / "chat_template.jinja").write_text(template)
        elif place == "config":
            edit_json(path / "tokenizer_config.json", chat_template=template)
        else:
            (path / "additional_chat_templates").mkdir()
            (path / "additional_chat_templates" / "default.jinja").write_text(template)
        return recognise(str(path)).fingerprint

    assert (
        fingerprint("a", tiny_chats.LINES)
        == fingerprint("b", tiny_chats.LINES)
        != fingerprint("c", tiny_chats.BRACKETS)
    )
    assert fingerprint("d", tiny_chats.LINES) != recognise(str(zoo["llama"])).fingerprint
