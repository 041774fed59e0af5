"""How often a gate passes, from how often its units' verdicts come out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from drawn_answers import near

from evalharness.stats.forecast import Rule
from evalharness.stats.gate_forecast import GateOdds, gate
from evalharness.stats.power import odds
from evalharness.stats.redraw import answers


def test_the_gate_passes_as_often_as_its_parts_say() -> None:
    drawings = [answers(400, 0.85, 0.2, 0.5), answers(300, 0.85, 0.2, 0.25)]
    found = gate(drawings, (0.05, 0.05), 0.05, Rule(margin=0.05), 60, np.random.default_rng(1))
    assert found.passes + found.fails + found.undecided == pytest.approx(1) and found.fails < 0.06
    every = math.prod(odds(n, 0.2, 0.0, 0.05, (0.0, 0.05)).retained for n in (400, 300))
    assert near(found.all_retained, every, 60)
    assert found.certifiable is not None and found.certifiable > 0.05 and found.passes < 0.8
    again_at_it = gate(drawings, (0.05, 0.05), found.certifiable, Rule(margin=0.05), 60, np.random.default_rng(2))
    assert near(again_at_it.passes + again_at_it.fails, 0.8, 60, 60)
    assert gate([], (), 0.02, Rule(margin=0.02), 5, np.random.default_rng(1)).passes == 0  # nothing to be sure of


def test_errors_of_shares() -> None:
    told = GateOdds(passes=0.36, fails=0.0, undecided=0.64, all_retained=0.0, certifiable=None, draws=100)
    # √(.36 · .64 / 100), and √(.01 · .99 / 100) where no draw of 100 agreed
    assert told.error(0.36) == pytest.approx(0.048) and told.error(0.0) == pytest.approx(0.00995, abs=1e-5)
