"""InfoNCE against a float64 computation written out by hand, loop by loop."""

import math

import pytest
import torch

from xalign.choices import Centering
from xalign.objectives.contrastive import centre, info_nce


def by_hand(x, y, groups, source_keys, target_keys, tau, symmetric, centering) -> float:  # type: ignore[no-untyped-def]
    n = len(x)
    x, y = x.double().tolist(), y.double().tolist()
    if centering is Centering.language:
        for side in (x, y):
            means = {}
            for g in set(groups):
                members = [side[i] for i in range(n) if groups[i] == g]
                means[g] = [sum(column) / len(members) for column in zip(*members, strict=True)]
            side[:] = [[a - b for a, b in zip(side[i], means[groups[i]], strict=True)] for i in range(n)]

    def cosine(a: list[float], b: list[float]) -> float:
        dot = sum(p * q for p, q in zip(a, b, strict=True))
        return dot / math.sqrt(sum(p * p for p in a) * sum(q * q for q in b))

    def one_way(a: list[list[float]], b: list[list[float]]) -> float:
        total = 0.0
        for i in range(n):
            allowed = [
                j
                for j in range(n)
                if j == i or (source_keys[i] != source_keys[j] and target_keys[i] != target_keys[j])
            ]
            denominator = sum(math.exp(cosine(a[i], b[j]) / tau) for j in allowed)
            total -= math.log(math.exp(cosine(a[i], b[i]) / tau) / denominator)
        return total

    return (one_way(x, y) + one_way(y, x)) / 2 if symmetric else one_way(x, y)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("centering", Centering)
@pytest.mark.parametrize("duplicates", [False, True])
def test_equals_hand_computation(symmetric: bool, centering: Centering, duplicates: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(6, 5, generator=generator, dtype=torch.float64) + 2
    y = x + torch.randn(6, 5, generator=generator, dtype=torch.float64) - 3
    groups = [0, 0, 0, 1, 1, 1]
    source_keys = [0, 1, 2, 3, 1, 5] if duplicates else list(range(6))
    target_keys = [0, 1, 2, 2, 4, 5] if duplicates else list(range(6))
    loss, _ = info_nce(
        x,
        y,
        groups_N=torch.tensor(groups),
        source_keys_N=torch.tensor(source_keys),
        target_keys_N=torch.tensor(target_keys),
        tau=0.1,
        symmetric=symmetric,
        centering=centering,
    )
    expected = by_hand(x, y, groups, source_keys, target_keys, 0.1, symmetric, centering)
    assert float(loss) == pytest.approx(expected, rel=1e-12)


def nce(x: torch.Tensor, y: torch.Tensor, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
    n = len(x)
    defaults: dict[str, object] = {
        "groups_N": torch.zeros(n),
        "source_keys_N": torch.arange(n),
        "target_keys_N": torch.arange(n),
        "tau": 0.05,
        "symmetric": True,
        "centering": Centering.none,
    }
    return info_nce(x, y, **{**defaults, **options})  # type: ignore[arg-type]


def test_rows_of_two_ranks_add_up_to_one() -> None:
    x, y = torch.randn(8, 4, dtype=torch.float64), torch.randn(8, 4, dtype=torch.float64)
    whole, hits = nce(x, y)
    first, hits1 = nce(x, y, rows=slice(0, 4))
    second, hits2 = nce(x, y, rows=slice(4, 8))
    torch.testing.assert_close(first + second, whole)
    assert hits1 + hits2 == hits


def test_a_duplicate_is_no_negative() -> None:
    """Two rows with the same target: with the mask their loss is that of the pair alone."""
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    loss, _ = nce(x, x, target_keys_N=torch.tensor([7, 7]))
    assert float(loss) == pytest.approx(0.0, abs=1e-6)
    loss, _ = nce(x, x)
    assert float(loss) == pytest.approx(2 * math.log(2), rel=1e-6)


def test_centring_removes_each_groups_mean_and_ignores_offsets() -> None:
    x = torch.randn(6, 4, dtype=torch.float64)
    groups = torch.tensor([0, 0, 0, 1, 1, 1])
    offset = torch.randn(2, 4, dtype=torch.float64)[groups] * 100
    torch.testing.assert_close(centre(x, groups), centre(x + offset, groups))
    torch.testing.assert_close(centre(x, groups)[:3].mean(0), torch.zeros(4, dtype=torch.float64))
