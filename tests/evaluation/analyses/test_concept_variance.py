"""Variance of sentences on planted collapse."""

import numpy as np
import pytest
from made_sentences import sentences

from xalign.evaluation.analyses.concept_variance import ConceptVariance, variance_of


def test_by_hand() -> None:
    # About the mean (2, 0): 1 and 1; squared lengths 1 and 9.
    assert variance_of(np.array([[1.0, 0], [3, 0]])) == (1.0, pytest.approx(1 / 5))
    assert variance_of(np.zeros((3, 2))) == (0.0, None)


def test_collapse_shows_at_its_layer_and_in_its_language() -> None:
    made = sentences({"de": 6, "fr": 6}, layers=(0, 4))
    vectors = made.vectors["mean"]
    collapsed = made.pairs["de"][:, 1]
    mean = vectors[collapsed, 1].mean(0) + 5
    vectors[collapsed, 1] = mean + 0.01 * (vectors[collapsed, 1] - mean)
    found = ConceptVariance("concept_variance").measure(made, 0, lambda done: None)
    by_language = dict(zip(found["languages"], found["values"], strict=True))
    assert set(by_language) == {"en", "de", "fr"}
    assert by_language["de"][1] < 0.01
    assert min(by_language["de"][0], *by_language["fr"], *by_language["en"]) > 0.3
    raw = dict(zip(found["languages"], found["variance"], strict=True))
    assert raw["de"][1] < 1e-3 * raw["de"][0]


def test_scale_changes_the_variance_and_not_its_share() -> None:
    x = np.random.default_rng(0).normal(size=(20, 5)) + 1
    (raw, share), (scaled, same) = variance_of(x), variance_of(3 * x)
    assert scaled == pytest.approx(9 * raw)
    assert same == pytest.approx(share)
