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


# what templates of known models use of Jinja
HABITS = (
    LINES,
    BRACKETS,
    STRICT,
    """{%- set ns = namespace(last=messages|length - 1, open=true) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.open and message.role == "user" and not(message.content.startswith('<a>')) %}
        {%- set ns.open = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- set thought = '' %}
    {%- if '</think>' in content %}
        {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {{- ('<think>' + thought.strip('\\n') if loop.index0 > ns.last else '') + content }}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>' }}{%- endif %}
{%- endif %}
""",
    """{{- bos_token }}
{%- if tools is not none and tools %}{{- tools | tojson(indent=4) }}{% endif %}
{%- macro turn(role, content) -%}
    <|start_header_id|>{{ role }}<|end_header_id|>

{{ content | trim }}<|eot_id|>
{%- endmacro %}
{% for message in messages %}
    {% if message['role'] not in ['user', 'assistant'] %}{% continue %}{% endif %}
    {% if loop.index > 3 %}{% break %}{% endif %}
    {{ turn(message.role, message['content']) }}
    {% generation %}{{ (loop.previtem | default(message)).role | upper ~ loop.length }}{% endgeneration %}

{% endfor %}
""",
    """{% if (messages | length) % 2 == 0 %}{{ raise_exception("odd" ~ messages | length) }}{% endif %}
{{ messages | map(attribute='role') | join(', ') }}
{{ messages | selectattr('role', 'equalto', 'user') | list | tojson }}
{% for role, turns in messages | groupby('role') %}{{ role.title() }}: {{ turns | length }}; {% endfor %}
{{ messages | tojson(ensure_ascii=true, indent=2, separators=(',', ' : '), sort_keys=true) }}
{{ dict(a=1, **messages[0]) | dictsort }}{{ "%s has %05d" | format(messages[0].role, 7) }}
{{ '{0:>9}|{1!r}'.format('ab', 'c') }}
{{ undefined_thing }}{{ messages[7] | default('-') }}{{ none }}{{ true }}{{ 1.50 }}{{ 2 ** 5 }}{{ 7 // 2 }}
{% set text %}{{ messages[0].content | replace('What', 'Which') | indent(2, first=true) }}{% endset %}{{ text | e }}
{{ messages[0].items() | list }}{{ (messages[0].keys() | list)[0] }}{{ 'x' * 3 }}{{ [1, 2] + [3] }}{{ '<b>' | safe }}
""",
)


def with_template(base: Path, to: Path, template: str) -> Path:
    """A copy of the checkpoint whose tokenizer has the chat template."""
    shutil.copytree(base, to)
    (to / "chat_template.jinja").write_text(template)
    return to
