"""Write the atlas's tables between the marks of docs/atlas.md, from its records alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from forecast import lines_of_records
from matching import matched

from evalharness.report.text_table import TextTable, markdown

Document = Mapping[str, Any]
Line = dict[str, Any]
SHORT = {
    "bigbench_language_identification_multiple_choice": "language id.",
    "bigbench_logical_deduction_multiple_choice": "deduction",
    "bigbench_repeat_copy_logic_generate_until": "repeat copy",
    "atlas_mmlu": "mmlu",
}
NONE = "–"


def with_tables(page: str, document: Document) -> str:
    """The page with every table. Raises ValueError for a page without the marks."""
    for name, make in PARTS.items():
        begin, end = f"<!-- made by benchmarks/atlas: {name} -->", "<!-- end -->"
        before, mark, after = page.partition(begin)
        if not mark:
            raise ValueError(f"the page has no mark {begin}")
        page = before + begin + "\n" + "\n".join(make(document)) + "\n" + end + after.partition(end)[2]
    return page


def short(task: str) -> str:
    """The task's name where there is little room."""
    return SHORT.get(task, task)


def signed(value: float | None, digits: int = 2) -> str:
    """The number with its sign, or a dash."""
    return NONE if value is None else f"{value:+.{digits}f}".replace("-", "−")


def with_interval(estimate: Mapping[str, Any] | None, digits: int = 2) -> str:
    """The value and its interval."""
    if not estimate or estimate["value"] is None:
        return NONE
    ends = [signed(estimate[end], digits) for end in ("low", "high")]
    return f"{signed(estimate['value'], digits)} [{', '.join(ends)}]"


def over(values: Sequence[float], digits: int = 2) -> str:
    """The mean, and the smallest and largest of several seeds."""
    if not values:
        return NONE
    rest = f" ({signed(min(values), digits)} … {signed(max(values), digits)})" if len(values) > 1 else ""
    return signed(fmean(values), digits) + rest


def estimated(mine: Sequence[Line], key: str, digits: int = 2) -> str:
    """The mean over seeds, or of one seed the value with its interval over rows."""
    if len(mine) == 1:
        return with_interval(mine[0][key], digits)
    return over([line[key]["value"] for line in mine if line[key]["value"] is not None], digits)


def percent(values: Sequence[float | None]) -> str:
    """The mean share, in percent."""
    there = [value for value in values if value is not None]
    return f"{100 * fmean(there):.0f} %" if there else NONE


def able(document: Document) -> list[str]:
    """The suite's tasks that the base is shown to do better than by guessing."""
    units = document["base"]["units"]
    return [task for task, unit in units.items() if not unit["target"] and not cannot(unit)]


def cannot(unit: Mapping[str, Any]) -> bool:
    """Can the task not show what the base knew?"""
    return "base_at_chance" in unit["flags"] or unit["constant"]


def _state(document: Document) -> Iterator[str]:
    whole = {(way, seed) for way in document["ways"] for seed in document["seeds"]}
    measured = {(line["way"], line["seed"]) for line in document["lines"] if not line["of"]}
    repairs = sum(1 for line in document["lines"] if line["of"])
    yield f"{len(measured & whole)} of {len(whole)} candidates and {repairs} repairs are measured."
    for seed in document["seeds"]:
        missing = [way for way in document["ways"] if (way, seed) not in measured]
        state = f"without {', '.join(missing)}" if len(missing) < len(document["ways"]) else "not begun"
        yield f"Seed {seed}: {state if missing else 'all recipes'}."


def _base(document: Document) -> Iterator[str]:
    rows = []
    for task, unit in document["base"]["units"].items():
        reason = "one answer to nine of ten rows" if unit["constant"] else "not shown to be above chance"
        state = reason if cannot(unit) else "can do it"
        role = "the target" if unit["target"] else "in the suite"
        score = unit["score"]
        ends = NONE if score["low"] is None else f"{score['low']:.3f} … {score['high']:.3f}"
        rows.append((short(task), unit["metric"], f"{unit['n']}", f"{score['value']:.3f}", ends, f"{role}; {state}"))
    columns = ("task", "metric", "rows", "base", "90 % interval", "remarks")
    yield from _lines(TextTable(title="", note="", columns=columns, rows=tuple(rows)))


def _recipes(document: Document) -> Iterator[str]:
    titles = ("recipe", "seeds", "gain on the target", "suite, in margins", "of tasks it can do", "skill kept")
    rows = []
    for way, mine in _by_way(document).items():
        kls = [_kl_text(mine, text) for text in ("neutral", "own outputs")]
        verdicts = {(short(task), unit["verdict"]) for line in mine for task, unit in line["units"].items()}
        lost = sorted(task for task, verdict in verdicts if verdict == "forgotten")
        seeds = ", ".join(str(line["seed"]) for line in mine)
        means = over([_able_mean(line, document) for line in mine])
        skill = percent([line["kept"]["value"] for line in mine])
        cells = (estimated(mine, "gain", 3), estimated(mine, "suite"), means, skill)
        rows.append((way, seeds, *cells, *kls, ", ".join(lost) or NONE))
    columns = (*titles, "KL, neutral text", "KL, own outputs", "forgotten")
    yield from _lines(TextTable(title="", note="", columns=columns, rows=tuple(rows)))


def _able_mean(line: Line, document: Document) -> float:
    """The mean change in margins over the tasks that the base can do."""
    values = [line["units"][task]["in_margins"] for task in able(document)]
    return fmean(value for value in values if value is not None)


def _families(document: Document) -> Iterator[str]:
    by_way = _by_way(document)
    families = list(dict.fromkeys(family for mine in by_way.values() for line in mine for family in line["families"]))
    rows = [
        (way, *(percent([line["families"][family]["kept"]["value"] for line in mine]) for family in families))
        for way, mine in by_way.items()
    ]
    yield from _lines(TextTable(title="", note="", columns=("recipe", *families), rows=tuple(rows)))


def _tasks(document: Document) -> Iterator[str]:
    tasks = [task for task, unit in document["base"]["units"].items() if not unit["target"]]
    marks = {task: "" if task in able(document) else " †" for task in tasks}
    rows = []
    for way, mine in _by_way(document).items():
        cells = []
        for task in tasks:
            units = [line["units"][task] for line in mine if task in line["units"]]
            values = [unit["difference"]["value"] for unit in units if unit["difference"]["value"] is not None]
            lost = sum(unit["verdict"] == "forgotten" for unit in units)
            cells.append(f"{signed(fmean(values), 3) if values else NONE}{f' ({lost} ✗)' if lost else ''}")
        rows.append((way, *cells))
    columns = ("recipe", *(short(task) + marks[task] for task in tasks))
    yield from _lines(TextTable(title="", note="", columns=columns, rows=tuple(rows)))


def _repairs(document: Document) -> Iterator[str]:
    columns = ("candidate", "λ", "gain: before", "after", "suite: before", "after", "KL, neutral text, after")
    rows = []
    for line in document["lines"]:
        if line["of"] and line["lambda"] is None:
            rows.append((line["of"], NONE, NONE, NONE, NONE, NONE, line["reason"]))
        elif line["of"]:
            gains = [with_interval(each["gain"], 3) for each in (line["before"], line)]
            suites = [with_interval(each["suite"]) for each in (line["before"], line)]
            rows.append((line["of"], f"{line['lambda']:g}", *gains, *suites, _kl_text([line], "neutral")))
    yield from _lines(TextTable(title="", note="", columns=columns, rows=tuple(rows)))


def _matched(document: Document) -> Iterator[str]:
    pairs = ("full", "lora")
    rows = [
        (signed(row["gain"], 3), ", ".join(map(str, row["seeds"])), *(over(row[method]) for method in pairs))
        for row in matched(document["lines"], pairs)
    ]
    if not rows:
        yield "Nothing is compared yet: no seed has two rates or more of both methods that reach a common gain."
        return
    columns = ("gain on the target", "seeds", *(f"suite at that gain, {method}" for method in pairs))
    yield from _lines(TextTable(title="", note="", columns=columns, rows=tuple(rows)))


def _digests(document: Document) -> Iterator[str]:
    yield f"Base: `{document['base']['fingerprint'][:16]}`. " + ", ".join(
        f"{name} {version}" for name, version in sorted(document["packages"].items())
    )
    yield ""
    keys = ("digest", "fingerprint", "signature")
    columns = ("line", "its digest", "candidate", "signature of its run")
    rows = [
        (line["name"], *(f"`{line[key][:16]}`" if key in line else NONE for key in keys)) for line in document["lines"]
    ]
    yield from _lines(TextTable(title="", note="", columns=columns, rows=tuple(rows)))


def _by_way(document: Document) -> dict[str, list[Line]]:
    """The candidates by recipe, seeds ascending, repairs aside."""
    lines = [line for line in document["lines"] if not line["of"]]
    return {way: mine for way in document["ways"] if (mine := [line for line in lines if line["way"] == way])}


def _kl(mine: Sequence[Line], text: str) -> list[float]:
    values = [line["drift"][text]["kl"]["value"] for line in mine if text in line["drift"]]
    return [value for value in values if value is not None]


def _kl_text(mine: Sequence[Line], text: str) -> str:
    values = _kl(mine, text)
    several = f" ({min(values):.3f} … {max(values):.3f})" if len(values) > 1 else ""
    return f"{fmean(values):.3f}{several}" if values else NONE


def _lines(table: TextTable) -> Iterator[str]:
    """The table alone, as Markdown."""
    return iter(list(markdown(table))[4:]) if table.rows else iter(("Nothing is measured yet.",))


PARTS = {
    "state": _state,
    "base": _base,
    "recipes": _recipes,
    "tasks": _tasks,
    "families": _families,
    "matched": _matched,
    "repairs": _repairs,
    "forecast": lines_of_records,
    "digests": _digests,
}
