"""Lesson 4: the cones of random networks against what theory says of networks without end (P23)."""

from __future__ import annotations

import numpy as np
import pytest

from engine.analysis.gap import l2m
from engine.lessons.cone import ACTIVATIONS, BIAS, LAYERS, cones, outputs


def arc_cosine(cosine: float) -> float:
    """Return what one ReLU layer without end makes of a cosine (Cho and Saul 2009)."""
    angle = np.arccos(cosine)
    return (np.sin(angle) + (np.pi - angle) * cosine) / np.pi


def test_one_relu_layer_makes_a_cosine_of_1_over_pi_and_two_of_494():
    found = cones("ReLU", bias=False).within
    assert found[0] == pytest.approx(0, abs=1e-12)
    assert found[1] == pytest.approx(1 / np.pi, abs=0.01)
    assert found[2] == pytest.approx(0.494, abs=0.01)


def test_relu_follows_theory_through_all_layers_and_its_golden_values():
    wanted = [0.0]
    for _ in range(LAYERS):
        wanted.append(arc_cosine(wanted[-1]))
    for seed in (0, 7):
        assert cones("ReLU", bias=False, seed=seed).within == pytest.approx(wanted, abs=0.05)
    assert cones("ReLU", bias=False).within[[5, 10]] == pytest.approx([0.759, 0.867], abs=0.05)


def test_without_a_bias_linear_and_odd_networks_make_no_cone():
    for activation in ("linear", "tanh"):
        assert np.abs(cones(activation, bias=False).within).max() < 0.02


def test_biases_add_up_in_a_linear_network_and_narrow_every_cone():
    layers = np.arange(LAYERS + 1)
    shared = layers * BIAS**2
    assert cones("linear", bias=True).within == pytest.approx(shared / (1 + shared), abs=0.06)
    for activation in ACTIVATIONS:
        assert cones(activation, bias=True).within[-1] > cones(activation, bias=False).within[-1] + 0.01


def test_two_seeds_lie_in_two_cones():
    found = cones("ReLU", bias=False, seed=3)
    x, y = (outputs("ReLU", bias=False, seed=seed)[5] for seed in (3, 4))
    assert found.apart[5] == pytest.approx(l2m(x, y)) and found.apart[0] == 0
    cosines = x @ y.T
    assert found.between[5] == pytest.approx(cosines[~np.eye(len(x), dtype=bool)].mean())
    assert found.between[5] == pytest.approx(1 / np.pi, abs=0.05) and found.within[5] > 0.7
