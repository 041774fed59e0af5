"""Templates: what they may do, and what stops the ones that do too much. Results against a plain Jinja environment set
up as lm-eval's.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.utils import apply_template

from evalharness.tasks.templates import TemplateProblem, compile_template, render

ROW = {"q": "What?", "options": ["a", "b", "c"], "n": 3, "nested": {"x": [1, 2]}, "empty": ""}


@pytest.mark.parametrize(
    "source",
    [
        "{{q}}\n",
        "{{options | join(', ')}}{{ n + 1 }}{{ 'x' * n }}{{ '%02d' % n }}{{ q ~ n ~ '!' }}",
        (
            "{% for o in options %}{{ loop.index }}/{{ loop.length }}{{ 'ABC'[loop.index0] }}. {{ o }}"
            "{% if not loop.last %}\n{% endif %}{% endfor %}"
        ),
        "{% for k, v in nested.items() if v %}{{k}}={{v | map('string') | list}}{% else %}none{% endfor %}",
        "{% set ns = namespace(t='') %}{% for o in options %}{% set ns.t = ns.t ~ o %}{% endfor %}{{ ns.t }}",
        (
            "{{options.index('b')}}{{nested['x'][1]}}{{q | replace('W', 'w') | trim | length}}"
            "{{['x','y'] | reverse | list}}"
        ),
        "{% for i in range(3) %}{% for j in range(i) %}{{i}}{{j}} {% endfor %}{% endfor %}",
        "{{q | regex_replace('[A-Z]', '_')}}{% if empty %}no{% else %}yes{% endif %}{{ '{{' }}",
        "{%- macro two(x) -%}{{x}}{{x}}{%- endmacro -%}{{ two(q) }}",
        "{{ q | center(9) }}|{{ q | indent(2, true) }}|{{ '%5s' | format(q) }}|{{ '{0:>9}'.format(q) }}",
        "{% for x in [nested, options] recursive %}{{ x }}{% if x is mapping %}{{ loop(x.x) }}{% endif %}{% endfor %}",
        "{{ options | batch(2) | list }}{{ options | slice(2) | list }}",
        "{{ q | wordwrap(2) }}{{ nested | tojson(indent=2) }}",
        "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{% set j = joiner(', ') %}{{ j() }}1{{ j() }}2",
        "{% filter upper %}x{{ q }}{% endfilter %}{% set x | trim %} {{ q }} {% endset %}{{ x }}{{ (1, q) }}",
        "{{ {q: [n, 2.5]} }}",
        "{% macro two(x) %}{{ caller(x) }}{{ caller(n) }}{% endmacro %}{% call(x) two(q) %}{{ x }}!{% endcall %}",
        r"{{ q | regex_replace('(W)(h)', '\\2\\1') }}{{ q | regex_replace('t|(z)', '[\\1\\g<0>]') }}",
        "{{ options[::-1] }}{{ 'a' in options }}{{ (n, n) in [(n, n)] }}",
        "{{ 7 // 2 }}{{ 7 % 4 }}{{ 2 ** 5 }}{{ -n }}{{ 1 / n }}",
    ],
)
def test_renders_what_lm_eval_renders(source: str) -> None:
    assert render(source, ROW) == apply_template(source, ROW)


def test_an_empty_cell_is_false_and_never_the_text_none() -> None:
    row = {**ROW, "q": None}
    assert render("{% if q %}yes{% else %}no{% endif %}{{ q is none }}", row) == "noTrue"
    assert render("{{ 'asked' if q else 'not asked' }}", row) == "not asked"
    for source in (
        "{{q}}",
        "{{q | trim}}",
        "{{ 'x' ~ q }}",
        "{{ q | length }}",
        "{{ [1, 2] | join(q) }}",
        "{% for x in q %}{% endfor %}",
    ):
        with pytest.raises(TemplateProblem) as caught:
            render(source, row)
        assert (caught.value.what, caught.value.column) == ("'q' is null", "q"), source


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.text() | st.integers() | st.lists(st.text(max_size=5)),
        min_size=3,
        max_size=3,
    )
)
def test_values_are_never_read_as_templates(row: dict[str, object]) -> None:
    source = "{{a}}|{{b}}|{{c}}\n"
    assert render(source, row) == apply_template(source, row)


@pytest.mark.parametrize(
    ("source", "column"),
    [
        ("{{missing}}", "missing"),
        ("{{nested.y}}", "y"),
        ("{{missing | length}}", "missing"),
        ("{% for x in gone %}{% endfor %}", "gone"),
    ],
)
def test_a_missing_column_is_named(source: str, column: str) -> None:
    with pytest.raises(TemplateProblem) as caught:
        render(source, ROW)
    assert caught.value.column == column


@pytest.mark.fault(24)
@pytest.mark.parametrize(
    "source",
    [
        "{{ q.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ options.append('x') }}",
        "{{ nested.update({'x': 1}) }}",
        "{{ self.__init__.__globals__ }}",
        "{% for i in range(1000000) %}{% endfor %}",
        "{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}",
        "{% for a in q * 100 %}{% for b in q * 100 %}{% for c in q * 100 %}{% endfor %}{% endfor %}{% endfor %}",
        "{{ 'x' * 1000000000 }}",
        "{{ 1000000000 * 'x' }}",
        "{{ [0] * 1000000000 }}",
        "{{ 9 ** (9 ** 9) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ q.ljust(1000000000) }}",
        "{% set ns = namespace(t='x') %}{% for i in range(60) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
        "{% set ns = namespace(t='x') %}{% for i in range(60) %}{% set ns.t = ns.t + ns.t %}{% endfor %}",
        "{% for i in range(90000) %}{{ 'x' * 1000 }}{% endfor %}",
        "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
        "{{ 1 / 0 }}",
        "{{ q + 1 }}",
        "{{ options[7].x }}",
        "{{ q | regex_replace('(', '') }}",
        "{% include 'x' %}",
        "{{ '(' * 90000 }}{{ options.index('zzz') }}",
    ],
)
def test_what_does_too_much_or_fails_is_stopped(source: str) -> None:
    with pytest.raises(TemplateProblem):
        render(source, ROW)


@pytest.mark.parametrize(
    "source", ["{{q", "{% for %}", "{{ q | random }}", "{% for %}" * 30, "{{ '" + "x" * 200_000 + "' }}"]
)
def test_what_does_not_parse_or_is_removed_is_stopped_before_any_row(source: str) -> None:
    with pytest.raises(TemplateProblem):
        compile_template(source)
