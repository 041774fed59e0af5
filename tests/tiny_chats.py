"""Chat templates of different habits, invented for tests, and tiny checkpoints that have them."""

from __future__ import annotations

import shutil
from pathlib import Path

# any turns; the text of each as it stands; a word of its own where the system says nothing
LINES = """{% if messages[0].role != 'system' %}<|im_start|>system
Nothing.<|im_end|>
{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

# begins with BOS, trims every text, ends the model's turns with EOS, has no place for the system
BRACKETS = """{{ bos_token }}{% for message in messages %}
{%- if message.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}
{%- if message.role == 'user' %}[ASK] {{ message.content | trim }} [/ASK]
{%- else %} {{ message.content | trim }}{{ eos_token }}{% endif %}
{%- endfor %}"""

# as BRACKETS, but sides must take turns
STRICT = BRACKETS.replace(
    "{%- endfor %}",
    "{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('sides must take turns') }}{% endif %}"
    "{%- endfor %}",
)

# tells the date; what the system says is left out in silence
DATED = """Today is {{ strftime_now('%d %b %Y') }}.
{% for message in messages if message.role != 'system' %}{{ message.role }}: {{ message.content }}
{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"""


def with_template(base: Path, to: Path, template: str) -> Path:
    """A copy of the checkpoint whose tokenizer has the chat template."""
    shutil.copytree(base, to)
    (to / "chat_template.jinja").write_text(template)
    return to
