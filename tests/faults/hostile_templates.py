"""Jinja templates that try to compute, keep or put out without end, in the ways that Jinja offers."""

from __future__ import annotations

LOOP = "{% for i in range(100000) %}"
GROW = "{% set ns = namespace(x='ab', l=[1], d={}, t=(1,)) %}{% for i in range(90) %}"
END = "{% endfor %}"

ENDLESS = {
    "multiplied text": "{{ 'x' * 1000000000 }}",
    "multiplied text, turned round": "{{ 1000000000 * 'x' }}",
    "multiplied list": "{{ [0] * 1000000000 }}",
    "multiplied again and again": f"{GROW}{{% set ns.x = ns.x * 9 %}}{END}{{{{ ns.x }}}}",
    "lists multiplied in lists": f"{GROW}{{% set ns.l = [ns.l * 9] * 9 %}}{END}{{{{ ns.l }}}}",
    "squared numbers": "{% set ns = namespace(n=9) %}" + f"{LOOP}{{% set ns.n = ns.n * ns.n %}}{END}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "power of a power": "{{ (10 ** 60) ** 4000000 }}",
    "power again and again": "{% set ns = namespace(n=9) %}" + f"{LOOP}{{% set ns.n = ns.n ** 9 %}}{END}",
    "doubled by ~": f"{GROW}{{% set ns.x = ns.x ~ ns.x %}}{END}",
    "doubled by +": f"{GROW}{{% set ns.x = ns.x + ns.x %}}{END}",
    "list +": f"{GROW}{{% set ns.l = ns.l + ns.l %}}{END}",
    "tuple +": f"{GROW}{{% set ns.t = ns.t + ns.t %}}{END}",
    "lists in lists": f"{GROW}{{% set ns.l = [ns.l, ns.l] %}}{END}{{{{ ns.l }}}}",
    "tuples in tuples": f"{GROW}{{% set ns.t = (ns.t, ns.t) %}}{END}{{{{ {{ns.t: 1}} }}}}",
    "mappings in mappings": f"{GROW}{{% set ns.d = {{'a': ns.d, 'b': ns.d}} %}}{END}{{{{ ns.d }}}}",
    "dict() in dict()": f"{GROW}{{% set ns.d = dict(a=ns.d, b=ns.d) %}}{END}{{{{ ns.d | tojson }}}}",
    "namespaces in namespaces": (
        f"{{% set top = namespace(at=0) %}}{{% set top.at = top %}}"
        f"{LOOP}{{% set n = namespace(a=top.at, b=top.at) %}}{{% set top.at = n %}}{END}{{{{ top.at }}}}"
    ),
    "equal lists in lists": (
        "{% set ns = namespace(a=[1], b=[1]) %}"
        f"{LOOP}{{% set ns.a = [ns.a, ns.a] %}}{{% set ns.b = [ns.b, ns.b] %}}{END}{{{{ ns.a == ns.b }}}}"
    ),
    "kept texts": f"{GROW}{{% set ns.l = ns.l + ['y' * 3000000] %}}{END}",
    "set blocks": "{% set a %}" + "x" * 999 + "{% endset %}" + "{% set a %}{{ a }}{{ a }}{% endset %}" * 40,
    "own text in a macro": "{% macro m() %}" + "x" * 9999 + "{% endmacro %}"
    f"{{% set ns = namespace(l=[]) %}}{LOOP}{{% set ns.l = [m()] + ns.l[:100] %}}{END}",
    "own text in a set block": f"{{% set a %}}{LOOP}{'x' * 9999}{END}{{% endset %}}",
    "filter block": f"{{% filter upper %}}{LOOP}{'x' * 9999}{END}{{% endfilter %}}",
    "recursive macro": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(1) }}",
    "macro that calls itself twice": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
    "{{ f(60) }}",
    "recursive block": "{% block a %}x{{ self.a() }}{{ self.a() }}{% endblock %}",
    "call block": "{% macro f(n) %}{% if n %}{% call f(n - 1) %}{{ caller() }}{% endcall %}{{ f(n - 1) }}"
    "{% endif %}{% endmacro %}"
    "{% call f(60) %}x{% endcall %}",
    "recursive loop": "{% for x in [[1, 2]] recursive %}{{ loop([[x, x], [x, x]]) }}{% endfor %}",
    "nested loops": f"{LOOP}{LOOP}{LOOP}{END}{END}{END}",
    "nested loops with a condition": f"{{% for i in range(90000) if i < 0 %}}{END}" * 3
    + f"{LOOP}{LOOP}{{% if i %}}{{% endif %}}{END}{END}",
    "ranges in a list": f"{LOOP}{{% set x = range(100000) | list %}}{END}",
    "loop over a text": f"{{% for a in 'x' * 4000000 %}}{{% for b in 'y' * 4000000 %}}{END}{END}",
    "loop over a text as a list": f"{LOOP}{{% set x = ('x' * 4000000) | list %}}{END}",
    "sum of lists": "{{ ([range(1000) | list] * 250) | sum(start=[]) | length }}",
    "map over ranges": f"{LOOP}{{{{ range(100000) | map('string') | join }}}}{END}",
    "select": f"{LOOP}{{{{ range(100000) | select('odd') | list | length }}}}{END}",
    "filter replace": "{{ ('a' * 1000000) | replace('a', 'b' * 100000) }}",
    "filter replace, named": "{{ ('a' * 1000000) | replace(old='a', new='b' * 100000) }}",
    "filter join": "{{ range(100000) | join('x' * 1000000) }}",
    "filter join of a generator": "{{ range(100000) | map('string') | join(d='x' * 1000000) }}",
    "filter center": "{{ 'x' | center(1000000000) }}",
    "filter indent": "{{ ('x\\n' * 100000) | indent(1000000) }}",
    "filter indent by a text": "{{ ('x\\n' * 100000) | indent('y' * 1000000) }}",
    "filter wordwrap": "{{ ('x ' * 1000000) | wordwrap(1, wrapstring='y' * 1000000) }}",
    "filter batch": "{{ [1] | batch(1000000000, 'x') | list }}",
    "filter slice": "{{ [1] | slice(1000000000) | list }}",
    "filter format": "{{ '%1000000000d' | format(1) }}",
    "filter round": "{{ 5 | round(-1000000000) }}",
    "filter round up": "{{ 5.5 | round(1000000000, 'ceil') }}",
    "filter tojson": "{{ [[[[1]]]] | tojson(indent=1000000000) }}",
    "filter truncate": "{{ ('x' * 2000000) | truncate(1000, end='y' * 4000000) }}{{ 'x' * 4000000 }}",
    "filter urlize": "{{ ('http://a.b ' * 100000) | urlize(rel='x' * 1000000) }}",
    "method replace": "{{ ('a' * 1000000).replace('a', 'b' * 100000) }}",
    "method join": "{{ ('x' * 1000000).join(['a'] * 100000) }}",
    "method join of a generator": "{{ ('x' * 1000000).join(range(100000) | map('string')) }}",
    "method translate": "{{ ('a' * 1000000).translate({97: 'b' * 1000000}) }}",
    "method translate by a list": "{{ ('\\x00' * 1000000).translate(['b' * 1000000]) }}",
    "method center": "{{ 'x'.center(1000000000) }}",
    "method ljust": "{{ 'x'.ljust(1000000000) }}",
    "method zfill": "{{ 'x'.zfill(1000000000) }}",
    "method expandtabs": "{{ ('\\t' * 1000000).expandtabs(1000000) }}",
    "method format": "{{ '{:1000000000}'.format(1) }}",
    "method format, places": "{{ '{:.1000000000f}'.format(1.5) }}",
    "method format, inner width": "{{ '{:{w}}'.format(1, w=1000000000) }}",
    "method format, inner digits": "{{ '{:{w}{w}{w}}'.format(1, w=999) }}",
    "method format, many": "{{ ('{0}' * 1000000).format('x' * 1000000) }}",
    "method format_map": "{{ '{a:{w}}'.format_map({'a': 1, 'w': 1000000000}) }}",
    "format width": "{{ '%1000000000d' % 1 }}",
    "format width of a name": "{{ '%(a)1000000000d' % {'a': 1} }}",
    "format width of a bracketed name": "{{ '%((a))1000000000d' % {'(a)': 1} }}",
    "format width given": "{{ '%*d' % (1000000000, 1) }}",
    "format places": "{{ '%.1000000000f' % 1.5 }}",
    "format, many": "{{ ('%(a)s' * 1000000) % {'a': 'x' * 1000000} }}",
    "bytes": "{{ ('a' * 1000000).encode().replace('a'.encode(), ('b' * 100000).encode()) }}",
    "bytes of a number": "{{ (1).to_bytes(1000000000, 'big') }}",
    "number of a text": "{{ ('f' * 4000000) | int(base=16) + 1 }}",
    "slices": f"{{% set x = 'x' * 4000000 %}}{LOOP}{{% if x[::-1] == x %}}{{% else %}}{{% endif %}}{END}",
    "search": "{% set x = 'x' * 4000000 %}{% set y = 'x' * 2000000 ~ 'y' %}"
    f"{LOOP}{{% if y in x %}}{{% endif %}}{END}",
    "many compiled": "{{ 'x' | upper }}" * 40_000,
    "deep": "{{ " + "(" * 9_000 + "1" + ")" * 9_000 + " }}",
    "deep loops": "{% for i in [1] %}" * 200 + "{% endfor %}" * 200,
    "long sum": "{{ " + "+".join(["1"] * 30_000) + " }}",
    "range": "{% for i in range(1000000000) %}{% endfor %}",
    "much put out": f"{LOOP}{{{{ 'x' * 1000 }}}}{END}",
    "much put out by pieces": f"{LOOP}{LOOP}x{END}{END}",
}

BACKTRACKING = {  # by lm-eval's filter, in task templates only
    "regex": "{{ ('a' * 40 ~ 'b') | regex_replace('(a+)+$', 'x') }}",
    "regex of alternatives": "{{ ('a' * 40 ~ 'b') | regex_replace('(a|a)*$', 'x') }}",
    "regex with a long text put in": "{{ ('a' * 100000) | regex_replace('a', 'b' * 1000000) }}",
    "regex with groups put in": "{{ ('a' * 100000) | regex_replace('(.*)', '\\\\1' * 10000) }}",
}

EXECUTED = (
    "{{ q.__class__.__mro__ }}",
    "{{ ''.__class__.__base__.__subclasses__() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('true') }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ '{0.__class__.__base__}'.format(q) }}",
    "{{ '{a.__class__}'.format_map({'a': q}) }}",
    "{{ q | attr('__class__') }}",
    "{{ [q] | map(attribute='__class__') | list }}",
    "{{ (q.format).__globals__ }}",
    "{{ range.__self__ }}",
    "{{ raise_exception.__globals__ }}{{ strftime_now.__globals__ }}{{ q.__class__() }}",
    "{% macro m() %}{% endmacro %}{{ m.__call__.__globals__ }}",
    "{% for x in [1] %}{{ loop.__init__.__globals__ }}{% endfor %}",
    "{% include '/etc/passwd' %}",
    "{% import '/etc/passwd' as p %}{{ p }}",
    "{% extends '/etc/passwd' %}",
    "{{ [].append(1) }}{{ {}.update({'a': 1}) }}",
)
