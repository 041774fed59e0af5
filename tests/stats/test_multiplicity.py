"""Holm, Benjamini and Hochberg against statsmodels, and against scipy to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

from evalharness.stats.multiplicity import benjamini_hochberg, holm


@pytest.mark.parametrize("tests", [1, 2, 7, 57])
def test_holm_is_statsmodels(tests: int):
    p_values = np.random.default_rng(tests).random(tests) ** 3
    p_values[-1] = p_values[0]
    assert holm(p_values.tolist()) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


@pytest.mark.parametrize("tests", [1, 2, 7, 57])
def test_benjamini_hochberg_is_statsmodels(tests: int):
    p_values = np.random.default_rng(tests).random(tests) ** 3
    p_values[-1] = p_values[0]
    assert benjamini_hochberg(p_values.tolist()) == pytest.approx(multipletests(p_values, method="fdr_bh")[1].tolist())
    assert benjamini_hochberg(p_values.tolist()) == false_discovery_control(p_values).tolist()


def test_the_order_given_is_kept():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_an_empty_family():
    assert holm([]) == [] and benjamini_hochberg([]) == []
