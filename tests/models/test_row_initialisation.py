"""Rows for new pieces: each rule against a plain case, and a planted structure that a no-op misses."""

import pytest
import torch

from xalign.models.row_initialisation import mean_rows, nearest_rows, propagated_rows


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_mean_is_of_the_old_pieces_and_counts_a_repeated_one_twice() -> None:
    old = drawn(6, 4)
    rows = mean_rows(old, [[0], [1, 1, 4]])
    assert torch.equal(rows[0], old[0])
    torch.testing.assert_close(rows[1], (2 * old[1] + old[4]) / 3)
    with pytest.raises(ValueError, match="new piece 1"):
        mean_rows(old, [[0], []])


def test_nearest_rows_equal_the_formula_and_skip_pieces_without_vectors() -> None:
    old, vectors, new = drawn(30, 4), drawn(30, 5, seed=1), drawn(3, 5, seed=2)
    vectors[7] = 0
    rows = nearest_rows(old, vectors, new)
    for row, vector in zip(rows, new, strict=True):
        cosine = {i: float(v @ vector / v.norm() / vector.norm()) for i, v in enumerate(vectors) if i != 7}
        near = sorted(cosine, key=lambda i: -cosine[i])[:10]
        weight = torch.tensor([cosine[i] / 0.1 for i in near], dtype=torch.float64).exp()
        torch.testing.assert_close(row, (weight / weight.sum()) @ old[near])
    with pytest.raises(ValueError, match="a new piece"):
        nearest_rows(old, vectors, torch.zeros(1, 5))
    with pytest.raises(ValueError, match="no old piece"):
        nearest_rows(old, torch.zeros(30, 5), new)


def test_a_planted_linear_map_is_recovered_and_copying_is_not_enough() -> None:
    adapted, planted, new = drawn(50, 8), drawn(8, 8, seed=1), drawn(5, 8, seed=2)
    rows = propagated_rows(adapted, adapted @ planted, new)
    torch.testing.assert_close(rows, new @ planted)
    assert (new - new @ planted).norm() > 0.5 * (new @ planted).norm()
