"""What a notebook holds of a run, and what it does with it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

import evalharness
from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import UsageError
from evalharness.records.comparison import Flag, Level
from evalharness.records.requests import Generation, Ranking, Request, Response
from evalharness.report.svg import COLOURS
from evalharness.results import results_text


def echoes_from(number: int):
    """Echoes where the number at the end of the text is at least this; always "no"."""

    def reply(request: Request) -> Response:
        if hasattr(request, "pairs"):
            return Ranking(request_id=request.id, logprobs=(0.0, -1.0), tokens=(1, 1), greedy=(True, False))
        text = request.prompt[:-2]
        said = text if int(text.split()[-1]) >= number else "?"
        return Generation(request_id=request.id, text=said, finish_reason="stop", tokens=1)

    return reply


@pytest.fixture(scope="module")
def run(zoo, small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> evalharness.Results:
    """`a` is wrong about the first 12 of 30 echoes, `b` about none."""
    out = tmp_path_factory.mktemp("notebook")
    return evalharness.evaluate(
        [f"a={zoo['llama-lora']}", f"b={zoo['llama-prompt']}"],
        base=f"base={zoo['llama']}",
        tasks=["echo", "yes_no"],
        include=small_world / "tasks",
        data_dir=small_world / "data",
        target="yes_no",
        out=out / "run",
        store=out / "store.sqlite",
        factory=ScriptedFactory(echoes_from(0), {"llama-lora": echoes_from(12), "a": echoes_from(12)}),
    )


def test_a_run_is_held_with_where_its_files_lie(run: evalharness.Results) -> None:
    assert isinstance(run, evalharness.Results) and run == evalharness.load(run.folder)
    assert (run.candidates, run.errors) == (("a", "b"), ())
    assert repr(run) == "Results(b undecided, a may not ship; 2 gate units, 0 errors)"
    assert run.gate().exit_code == evalharness.gate(run.folder).exit_code == 3
    assert repr(run.gate()) == "Decision(3 forgotten: a forgotten, b undecided)"
    assert run.gate(candidates=["b"]).exit_code == 4


def test_a_policy_with_other_margins_is_judged_from_what_was_measured(run: evalharness.Results, tmp_path: Path) -> None:
    (tmp_path / "evalharness.toml").write_text('[gate]\nmargins = { echo = 0.9 }\non_inconclusive = "pass"\n')
    assert run.gate(tmp_path / "evalharness.toml").exit_code == 0
    other = replace(run.record, models=(replace(run.models[0], fingerprint="other"), *run.models[1:]))
    with pytest.raises(UsageError, match="what lies here now was measured of other models"):
        evalharness.Results(other, run.folder).gate(tmp_path / "evalharness.toml")
    with pytest.raises(UsageError, match="give the run's folder"):
        evalharness.Results(run.record).gate(tmp_path / "evalharness.toml")


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}


def test_its_first_screen_is_small_whole_and_inert(run: evalharness.Results) -> None:
    shown = run._repr_html_()
    assert "✗" in shown and "a may not ship" in shown and "b is undecided" in shown and len(shown) < 4000
    assert "what the training was for" not in shown
    unsaid = evalharness.compare(run.folder, target="none")
    flagged = [
        replace(row, flags=(*row.flags, Flag.NO_TARGET)) if row.level == Level.SUITE and row.candidate == "b" else row
        for row in unsaid.comparisons
    ]
    page = evalharness.Results(replace(unsaid.record, comparisons=tuple(flagged)))._repr_html_()
    assert "Of b: what the training was for is not said" in page
    hostile = '<img src=x onerror="alert(1)"></div><script>1</script>\u202e'
    rows = tuple(replace(row, candidate=hostile if row.candidate == "a" else row.candidate) for row in run.comparisons)
    models = tuple(replace(row, name=hostile if row.name == "a" else row.name) for row in run.models)
    page = evalharness.Results(replace(run.record, models=models, comparisons=rows))._repr_html_()
    seen = Tags(page)
    assert {*seen.tags} <= {"div", "p", "strong", "ul", "li", "span", "code"}
    assert seen.attributes <= {"style", "aria-hidden"} and "\u202e" not in page and "&lt;img" in page
    many = [replace(row, candidate=f"{row.candidate}{i}") for row in run.comparisons for i in range(40)]
    page = evalharness.Results(replace(run.record, models=(), comparisons=tuple(many)))._repr_html_()
    assert len(page) < 8000 and "And 68 candidates more" in page


def test_its_rows_are_a_table_of_the_numbers_that_it_has(run: evalharness.Results) -> None:
    table = run.to_pandas()
    assert len(table) == len(run.comparisons)
    row = table[(table.candidate == "a") & (table.task == "echo") & table.primary].iloc[0]
    assert (row.base, row.score, row.verdict) == (1.0, 18 / 30, "forgotten")


def test_its_figures_need_no_display_and_are_painted(run: evalharness.Results) -> None:
    before = dict(mpl.rcParams)
    for name, names in ((None, []), ("tradeoff", []), ("forest", ["a", "b"])):
        figure = run.plot(name)
        assert figure._repr_png_().startswith(b"\x89PNG") and len(figure.axes) == 1
        painted = {to_hex(line.get_color()) for line in figure.axes[0].lines}
        painted |= {to_hex(text.get_color()) for text in figure.axes[0].get_xticklabels()}
        assert painted and not painted & {*COLOURS}
        assert [text.get_text() for legend in figure.legends for text in legend.texts] == names
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())
        assert (pixels[0, 0] == 255).all() and pixels.min() < 100
    assert dict(mpl.rcParams) == before and not Gcf.get_all_fig_managers()
    bare = evalharness.Results(replace(run.record, comparisons=()))
    with pytest.raises(UsageError, match="plot: no difference has a margin"):
        bare.plot()
    with pytest.raises(UsageError, match=r"figure: 'forrest' .*'tradeoff' or 'forest'"):
        run.plot("forrest")  # type: ignore[arg-type]


def test_examples_stand_side_by_side_lost_ones_alone(run: evalharness.Results) -> None:
    lost = run.examples("echo", lost=True)
    assert list(lost.candidate) == ["a"] * 12 and set(lost.change) == {"lost"}
    assert (lost.base_output == lost.reference).all() and (lost.candidate_output == "?").all()
    assert (lost.base_score - lost.candidate_score == 1).all()
    every = run.examples("echo")
    assert len(every) == 60 and every.change.value_counts().to_dict() == {"same": 48, "lost": 12}
    assert len(run.examples("echo", candidates="b")) == 30
    with pytest.raises(UsageError, match="no task 'ecko' in the run; did you mean echo"):
        run.examples("ecko")
    with pytest.raises(UsageError, match="no candidate 'c' in the run"):
        run.examples("echo", candidates="c")
    with pytest.raises(UsageError, match="no texts of echo are beside"):
        evalharness.Results(run.record).examples("echo")


def test_what_is_saved_is_loaded_gated_and_compared_as_before(run: evalharness.Results, tmp_path: Path) -> None:
    assert run.save(run.folder) == run.folder
    saved = evalharness.load(run.save(tmp_path / "kept"))
    assert saved == run and saved.examples("echo").equals(run.examples("echo"))
    assert results_text(evalharness.compare(tmp_path / "kept").record) == results_text(run.record)
    with pytest.raises(UsageError, match="is the root of a file system"):
        run.save("/")


def test_a_comparison_without_a_folder_is_saved_with_what_was_measured(tmp_path: Path) -> None:
    right = np.arange(500) < 400
    for name, now in (("base", right), ("lora", right & (np.arange(500) >= 100))):
        pd.DataFrame({"id": np.arange(500), "score": now.astype(int)}).to_csv(tmp_path / f"{name}.csv", index=False)
    results = evalharness.compare([tmp_path / "base.csv", tmp_path / "lora.csv"])
    assert results.folder is None and results.gate().exit_code == 3
    assert evalharness.gate(results.save(tmp_path / "run"), margin=0.5, on_inconclusive="pass").exit_code == 0
    assert evalharness.load(tmp_path / "run") == results


def test_a_plan_is_held_in_words_and_as_its_file(small_world: Path, tmp_path: Path) -> None:
    given = {"include": small_world / "tasks", "data_dir": small_world / "data", "out": tmp_path / "plan"}
    planned = evalharness.plan(tasks=["yes_no"], flips=0.2, limit=5, **given)
    assert re.fullmatch(r"Plan\(.*: 1 gate units; the gate passes \d+% of the time if nothing is lost\)", repr(planned))
    assert "what 1 gate units can decide" in str(planned) and planned._repr_html_().startswith("<pre>")
    document = json.loads((tmp_path / "plan" / "plan.json").read_text())
    assert (document["flips"], document["rows"][0]["units"]) == (0.2, 5)
    with pytest.raises(UsageError, match="nothing to plan"):
        evalharness.plan()
    with pytest.raises(UsageError, match="drift: there is no such option"):
        evalharness.plan("demo", drift=True)  # type: ignore[call-arg]
