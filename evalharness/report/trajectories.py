"""Draw how much of each task's skill is left after every stage of a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from evalharness.records.comparison import Estimate
from evalharness.report import wording
from evalharness.report.marks import colour_of, frame, mark, names_beside, quiet_grid
from evalharness.report.stages import Stages, StageTask
from evalharness.report.svg import NAMES, Drawing, inline, style
from evalharness.stats.enums import Verdict

LOW, HIGH = -0.25, 1.6  # of skill retained: beyond it lines leave the figure
CHARACTERS = 70  # of stage names side by side; more are turned


@dataclass(frozen=True, slots=True, kw_only=True)
class _StageSkill:
    """The share of a task's skill that remains after one stage. `forgotten`: the task is shown to be
    forgotten there.
    """

    stage: int
    skill: Estimate
    forgotten: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _TaskLine:
    """One task's lines in the figure. `parts`: its points before it was taught, relative to the base's skill, and its
    points since, relative to the skill after the stage that taught it.
    """

    name: str
    parts: tuple[tuple[_StageSkill, ...], ...]

    @property
    def points(self) -> Iterator[_StageSkill]:
        return (point for part in self.parts for point in part)


def trajectories(stages: Stages) -> str:
    """Return the SVG element; empty if no task's skill can be followed."""
    lines = [line for task in stages.columns if (line := _line(task)) is not None]
    if not lines:
        return ""
    names = [wording.one_line(name, 24) for name in (stages.base, *stages.stages)]
    turned = sum(len(name) for name in names) > CHARACTERS
    bottom = 0.28 if turned else 0.1
    with style():
        height = max(4.6, 0.24 * len(lines) + 1.2) + 0.9 * turned
        figure, axes = frame((9.4, height), (0.075, bottom, 0.70, 0.95 - bottom))
        for number, line in enumerate(lines):
            _draw(axes, number, line)
        _finish(axes, lines, names, turned)
        names_beside(axes, [line.name for line in lines])
    tips = {
        f"task-{number}-{point.stage}": _tip(line, point, names[point.stage])
        for number, line in enumerate(lines)
        for point in line.points
    }
    return inline(Drawing(figure, "trajectories", "Skill retained over the stages", "; ".join(tips.values()), tips))


def _line(task: StageTask) -> _TaskLine | None:
    """Return the lines of one task; None if the models that knew it had no skill above chance: then nothing can be
    followed.
    """
    points = [
        _StageSkill(stage=number, skill=cell.retained, forgotten=cell.state == Verdict.FORGOTTEN)
        for number, cell in enumerate(task.cells, 1)
        if cell.retained is not None
    ]
    before = tuple(point for point in points if point.stage < task.learned)
    since = tuple(point for point in points if point.stage > task.learned)
    parts = ((0, before), (task.learned, since))
    whole = Estimate(value=1.0)
    return (
        _TaskLine(
            name=task.name, parts=tuple((_StageSkill(stage=start, skill=whole), *part) for start, part in parts if part)
        )
        if points
        else None
    )


def _tip(line: _TaskLine, point: _StageSkill, stage: str) -> str:
    skill = f"{wording.plain(point.skill.value, 2)}{', forgotten' if point.forgotten else ''}"
    return f"{wording.one_line(line.name, 40)} after {stage}: {skill}"


def _draw(axes: Axes, number: int, line: _TaskLine) -> None:
    colour = colour_of(number)
    for part in line.parts:
        x, y = [point.stage for point in part], [point.skill.value for point in part]
        axes.plot(x, y, color=colour, linewidth=1.3, alpha=0.8, zorder=2)
    for point in line.points:
        stage, skill = point.stage, point.skill
        if skill.low is not None and skill.high is not None:
            axes.plot([stage, stage], [skill.low, skill.high], color=colour, linewidth=0.7, alpha=0.55, zorder=1)
        gid, at = f"task-{number}-{stage}", (stage, skill.value)
        mark(axes, at, number, scale=1.2, edge=1.2, gid=gid, hollow=not point.forgotten)


def _finish(axes: Axes, lines: Sequence[_TaskLine], names: Sequence[str], turned: bool) -> None:
    skills = [point.skill for line in lines for point in line.points]
    values = [value for skill in skills for value in (skill.value, skill.low, skill.high) if value is not None]
    axes.set_ylim(max(LOW, min(-0.06, *values)), min(HIGH, max(1.1, *values) + 0.04))
    axes.set_xlim(-0.2, len(names) - 0.8)
    axes.axhline(1, color=NAMES["muted"], linewidth=0.9, zorder=0)
    axes.axhline(0, color=NAMES["muted"], linewidth=0.9, zorder=0)
    quiet_grid(axes)
    angle, side = (40, "right") if turned else (0, "center")
    axes.set_xticks(range(len(names)), names, rotation=angle, ha=side, rotation_mode="anchor")
    axes.set_ylabel("skill retained  (1: all of it, 0: at chance)", fontsize=8.5)
