import functools

import pytest
import torch
from torch import Tensor

from xalign.config.choices import Combine
from xalign.training import gradients
from xalign.training.combine import Combined, combine


def test_norm_cosine_and_sum_by_hand() -> None:
    a = [torch.tensor([3.0, 0.0]), None]
    b = [torch.tensor([0.0, 4.0]), torch.tensor([1.0])]
    assert float(gradients.norm(a)) == 3
    assert float(gradients.cosine(a, b)) == 0
    assert float(gradients.cosine(a, a)) == pytest.approx(1)
    total = gradients.add_([a, b])
    assert total[0] is not None
    assert total[0].tolist() == [3, 4]
    assert total[1] is not None
    assert total[1].tolist() == [1]


def clipped(parts: dict[str, gradients.Gradients], how: Combine, clip_norm: float = 1.0) -> Combined:
    weights = dict.fromkeys(parts, 1.0)
    return combine(how, parts, weights, clip_norm=clip_norm, seed=0, statistics=True)


@pytest.mark.parametrize("how", Combine)
def test_clipping_scales_down_but_never_up(how: Combine) -> None:
    large = clipped({"a": [torch.tensor([6.0, 8.0])]}, how)
    assert large.figures["gradient_norm/a"] == 10
    assert large.gradient[0] is not None
    assert large.gradient[0].tolist() == pytest.approx([0.6, 0.8])
    small = clipped({"a": [torch.tensor([0.3, 0.4])]}, how)
    assert small.figures["gradient_norm/a"] == pytest.approx(0.5)
    assert small.gradient[0] is not None
    assert small.gradient[0].tolist() == pytest.approx([0.3, 0.4])
    assert (large.figures["weight/a"], small.figures["weight/a"]) == pytest.approx((0.1, 1.0))


def test_per_objective_clipping_keeps_the_small_gradient_visible() -> None:
    """Sixty times larger, as measured at the start on Gemma 3 270M: clipped apart, neither drowns."""

    def parts() -> dict[str, gradients.Gradients]:
        return {"contrastive": [torch.tensor([1.5, 0.0])], "instruction": [torch.tensor([0.0, 90.0])]}

    together = clipped(parts(), Combine.weighted_sum).gradient
    assert together[0] is not None
    assert float(together[0][0]) < 0.02
    apart = clipped(parts(), Combine.clip_each).gradient
    assert apart[0] is not None
    assert apart[0].tolist() == pytest.approx([1.0, 1.0])


def _table(seed: int, sparse: bool) -> Tensor:
    """A gradient (50, 3) in float64 with some rows given twice, and the like for other seeds."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, 50, (40,), generator=generator)
    values = torch.randn(40, 3, dtype=torch.float64, generator=generator)
    found = torch.sparse_coo_tensor(rows[None], values, (50, 3), check_invariants=True)
    assert len(rows.unique()) < 40
    return found if sparse else found.to_dense()


@pytest.mark.parametrize("kinds", [(True, True), (True, False), (False, True)])
def test_norm_cosine_scale_and_sum_take_sparse_gradients(kinds: tuple[bool, bool]) -> None:
    vector = torch.tensor([1.0, -2.0], dtype=torch.float64)

    def parts(sparse: tuple[bool, bool]) -> tuple[gradients.Gradients, gradients.Gradients]:
        return (
            [_table(0, sparse[0]), vector.clone(), None],
            [_table(1, sparse[1]), None, vector.clone()],
        )

    (a, b), (dense_a, dense_b) = parts(kinds), parts((False, False))
    same = functools.partial(torch.testing.assert_close, rtol=1e-12, atol=1e-14)
    same(gradients.norm(a), gradients.norm(dense_a))
    same(gradients.cosine(a, b), gradients.cosine(dense_a, dense_b))
    gradients.scale_(b, 3.0)
    gradients.scale_(dense_b, 3.0)
    for found, expected in zip(gradients.add_([a, b]), gradients.add_([dense_a, dense_b]), strict=True):
        assert found is not None
        assert expected is not None
        assert not found.is_sparse or found.is_coalesced()
        same(found.to_dense(), expected)


@pytest.mark.parametrize("how", Combine)
@pytest.mark.parametrize("kinds", [(True, True), (True, False), (False, True)])
def test_sparse_gradients_are_clipped_as_dense_ones(kinds: tuple[bool, bool], how: Combine) -> None:
    def parts(sparse: tuple[bool, bool]) -> dict[str, gradients.Gradients]:
        return {"a": [_table(0, sparse[0]), None], "b": [_table(1, sparse[1]), None]}

    found, expected = (clipped(parts(sparse), how, 0.5) for sparse in (kinds, (False, False)))
    assert found.norm == pytest.approx(expected.norm, rel=1e-12)
    assert found.figures == pytest.approx(expected.figures, rel=1e-12)
    (gradient, nothing), (dense, _) = found.gradient, expected.gradient
    assert nothing is None
    assert gradient is not None
    assert dense is not None
    assert not gradient.is_sparse or gradient.is_coalesced()
    torch.testing.assert_close(gradient.to_dense(), dense, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("how", Combine)
def test_clipping_keeps_rows_unique(how: Combine) -> None:
    """So that nothing after it has to join rows again."""
    parameter = torch.nn.Parameter(torch.zeros(50, 3, dtype=torch.float64))
    parameter.grad = _table(0, sparse=True)
    found = clipped({"a": gradients.of([parameter])}, how, 0.1).gradient
    assert found[0] is not None
    assert found[0].is_coalesced()
    assert float(gradients.norm(found)) == pytest.approx(0.1)
