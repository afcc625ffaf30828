"""Lens: its two subspaces on planted languages, and what they do to sentences never seen."""

import pytest
import torch
from cipher import OnCipher, probe_accuracy

from xalign.objectives.kernels.subspaces import language_subspaces, subspace_distance

LENS = ("loss=lens", "loss.pooling=mean", "optimizer.lr=3e-3", "adapter.layers=all")
LANGUAGES = ("en", "fr", "de")


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_what_languages_share_and_what_tells_them_apart_are_found() -> None:
    axes = torch.linalg.qr(drawn(10, 4)).Q.T
    shared, one, other = axes[0], axes[1], axes[2]
    means = torch.stack(
        [5 * shared + 2 * one, 5 * shared - one + 3 * other, 5 * shared - one - 3 * other], dim=1
    )
    specific, found = language_subspaces(means)
    assert abs(float(found @ shared)) == pytest.approx(1)
    inside = specific @ specific.T
    assert torch.allclose(inside @ one, one)
    assert torch.allclose(inside @ other, other)
    assert torch.allclose(inside @ found, torch.zeros(10, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(specific.T @ specific, torch.eye(2, dtype=torch.float64), atol=1e-9)


def test_the_distance_of_subspaces_sees_a_shift_a_turn_and_a_stretch_but_no_scale_of_both() -> None:
    x = drawn(200, 12) * torch.linspace(3, 0.1, 12, dtype=torch.float64)
    assert subspace_distance(x, x, 3) == pytest.approx(0, abs=1e-6)
    shifted, stretched, turned = x + 2, x * torch.tensor([3.0] + 11 * [1.0]), x.flip(1)
    for other in (shifted, stretched, turned):
        assert subspace_distance(x, other, 3) > 0.5
        assert subspace_distance(7 * x, 7 * other, 3) == pytest.approx(subspace_distance(x, other, 3))
    assert subspace_distance(x, x + 1, 3) < subspace_distance(x, x + 3, 3)


def shared_gap(model: OnCipher) -> float:
    """Mean distance of held-out translations in the shared direction, at the last layer."""
    own = model.module.own["lens"].shared_D
    return float(((model.vectors("en", 4) - model.vectors("fr", 4)) @ own).abs().mean())  # type: ignore[operator]


def test_the_shared_gap_closes_and_the_language_stays() -> None:
    lens = OnCipher(LENS, LANGUAGES[1:])
    before = shared_gap(lens)
    assert shared_gap(lens.train(60)) < before / 2
    assert probe_accuracy(lens, LANGUAGES, layer=4) > 0.9
    without = OnCipher((*LENS, "loss.objectives.lens.pull=0"), LANGUAGES[1:]).train(60)
    assert shared_gap(without) > before
