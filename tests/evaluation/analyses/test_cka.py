"""Linear CKA against the definitions, summed term by term in float64."""

from itertools import permutations

import numpy as np
import pytest
from made_sentences import sentences

from xalign.base.errors import DataError
from xalign.evaluation.analyses.cka import Cka, linear_cka, unbiased_hsic

RNG = np.random.default_rng(0)


def rotation(size: int) -> np.ndarray:
    return np.linalg.qr(RNG.normal(size=(size, size)))[0]


def naive_unbiased_hsic(k: np.ndarray, m: np.ndarray) -> float:
    """The U-statistic that Song et al. 2012 estimate by (their theorem 2, before it is simplified): the mean
    over all ordered quadruples of different sentences."""
    quadruples = list(permutations(range(len(k)), 4))
    return sum(k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in quadruples) / len(quadruples)


def naive_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al. 2019, equation 4, with H in full."""
    n = len(x)
    h = np.eye(n) - np.ones((n, n)) / n

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        return float(np.trace(k @ h @ m @ h)) / (n - 1) ** 2

    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


@pytest.mark.parametrize("count", [4, 7])
def test_unbiased_hsic_is_the_mean_over_quadruples(count: int) -> None:
    x, y = RNG.normal(size=(count, 3)), RNG.normal(size=(count, 5))
    k, m = x @ x.T, y @ y.T
    assert unbiased_hsic(k, m) == pytest.approx(naive_unbiased_hsic(k, m), rel=1e-9)
    assert unbiased_hsic(k, k) == pytest.approx(naive_unbiased_hsic(k, k), rel=1e-9)


def test_plain_cka_is_the_published_formula() -> None:
    x, y = RNG.normal(size=(9, 4)) + 5, RNG.normal(size=(9, 6)) - 2
    assert linear_cka(x, y, debiased=False) == pytest.approx(naive_cka(x, y), rel=1e-12)
    # By hand: x = (1, -1, 0, 0), y = (1, -1, 1, -1): (x.y)^2 / (|x|^2 |y|^2) = 4 / (2 * 4).
    x, y = np.array([[1.0], [-1], [0], [0]]), np.array([[1.0], [-1], [1], [-1]])
    assert linear_cka(x, y, debiased=False) == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize("debiased", [True, False])
def test_one_up_to_rotation_scale_and_offset_and_not_beyond(debiased: bool) -> None:
    x = RNG.normal(size=(30, 8))
    moved = 7 * x @ rotation(8) + RNG.normal(size=8)
    assert linear_cka(x, moved, debiased=debiased) == pytest.approx(1, abs=1e-9)
    stretched = x * np.array([100, *[1] * 7])
    assert linear_cka(x, stretched, debiased=debiased) < 0.9  # type: ignore[operator]


def test_independent_clouds_are_near_zero_only_where_debiased() -> None:
    pairs = [RNG.normal(size=(2, 100, 640)) for _ in range(10)]
    plain, debiased = ([linear_cka(x, y, debiased=own) for x, y in pairs] for own in (False, True))
    assert np.mean(plain) == pytest.approx(640 / 740, abs=0.01)  # type: ignore[arg-type]
    assert np.mean(debiased) == pytest.approx(0, abs=0.01)  # type: ignore[arg-type]


def test_sentences_that_are_all_alike_have_no_cka() -> None:
    same, other = np.full((5, 3), 1e4, dtype=np.float32), RNG.normal(size=(5, 3))
    assert linear_cka(same, other, debiased=True) is None
    assert linear_cka(other, same, debiased=False) is None


def test_findings_are_of_each_language_and_layer() -> None:
    made = sentences({"de": 6, "fr": 3}, layers=(0, 4))
    # German at layer 4: the pivot's sentences, turned; at layer 0 something else. French has too few pairs.
    pivot, own = made.pairs["de"].T
    made.vectors["mean"][own, 1] = made.vectors["mean"][pivot, 1] @ rotation(made.vectors["mean"].shape[2])
    counted: list[int] = []
    found = Cka("cka").measure(made, 0, counted.append)
    assert (found["languages"], found["sentences"], found["layers"]) == (["de"], [6], [0, 4])
    assert found["values"][0][1] == pytest.approx(1, abs=1e-5)
    assert found["values"][0][0] < 0.9
    assert sum(counted) == 2
    assert Cka("cka").summary(found).startswith("mean over 1 languages highest at layer 4 (1.00), lowest at")
    with pytest.raises(DataError, match="no language has 4 pairs with en"):
        Cka("cka").measure(sentences({"fr": 3}), 0, counted.append)
