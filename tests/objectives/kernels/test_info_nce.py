"""InfoNCE against a float64 computation written out by hand, loop by loop."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from xalign.config.choices import Centering
from xalign.objectives.kernels import info_nce as module
from xalign.objectives.kernels.info_nce import Negatives, centre, info_nce


def by_hand(x, y, groups, source_keys, target_keys, tau, symmetric, centering, past=None) -> float:  # type: ignore[no-untyped-def]
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

    if past is not None:
        past_x, past_y = past.source.tolist(), past.target.tolist()
        source_keys = source_keys + past.source_keys.tolist()
        target_keys = target_keys + past.target_keys.tolist()

    def one_way(a: list[list[float]], b: list[list[float]]) -> float:
        total = 0.0
        for i in range(n):
            allowed = [
                j
                for j in range(len(b))
                if j == i or (source_keys[i] != source_keys[j] and target_keys[i] != target_keys[j])
            ]
            denominator = sum(math.exp(cosine(a[i], b[j]) / tau) for j in allowed)
            total -= math.log(math.exp(cosine(a[i], b[i]) / tau) / denominator)
        return total

    if past is None:
        past_x = past_y = []
    return (one_way(x, y + past_y) + one_way(y, x + past_x)) / 2 if symmetric else one_way(x, y + past_y)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("centering", Centering)
@pytest.mark.parametrize("duplicates", [False, True])
@pytest.mark.parametrize("queued", [False, True])
def test_equals_hand_computation(
    symmetric: bool, centering: Centering, duplicates: bool, queued: bool
) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(6, 5, generator=generator, dtype=torch.float64) + 2
    y = x + torch.randn(6, 5, generator=generator, dtype=torch.float64) - 3
    groups = [0, 0, 0, 1, 1, 1]
    source_keys = [0, 1, 2, 3, 1, 5] if duplicates else list(range(6))
    target_keys = [0, 1, 2, 2, 4, 5] if duplicates else list(range(6))
    past = past_pairs(4, 5, generator, [1, 9, 9, 8] if duplicates else [6, 7, 8, 9]) if queued else None
    loss, _ = info_nce(
        x,
        y,
        groups_N=torch.tensor(groups),
        source_keys_N=torch.tensor(source_keys),
        target_keys_N=torch.tensor(target_keys),
        tau=0.1,
        symmetric=symmetric,
        centering=centering,
        past=past,
    )
    expected = by_hand(x, y, groups, source_keys, target_keys, 0.1, symmetric, centering, past)
    assert float(loss) == pytest.approx(expected, rel=1e-12)


def past_pairs(count: int, width: int, generator: torch.Generator, keys: list[int]) -> Negatives:
    source, target = (
        F.normalize(torch.randn(count, width, generator=generator, dtype=torch.float64), dim=-1)
        for _ in range(2)
    )
    # Target keys differ from all others but one.
    return Negatives(source, target, torch.tensor(keys), torch.tensor([20, 21, 22, 5])[:count])


def plain(  # type: ignore[no-untyped-def]
    x, y, *, groups_N, source_keys_N, target_keys_N, tau, symmetric, centering, past=None
) -> torch.Tensor:
    """All similarities at once, by autograd."""
    n = len(x)
    if centering is Centering.language:
        same = (groups_N[:, None] == groups_N).to(x.dtype)
        x, y = (v - same / same.sum(1, keepdim=True) @ v for v in (x, y))
    x, y = F.normalize(x, dim=-1), F.normalize(y, dim=-1)
    if past is not None:
        source_keys, target_keys = (
            torch.cat([source_keys_N, past.source_keys]),
            torch.cat([target_keys_N, past.target_keys]),
        )
        all_x, all_y = torch.cat([x, past.source.to(x)]), torch.cat([y, past.target.to(x)])
    else:
        source_keys, target_keys, all_x, all_y = source_keys_N, target_keys_N, x, y
    duplicate = (source_keys_N[:, None] == source_keys) | (target_keys_N[:, None] == target_keys)
    duplicate.fill_diagonal_(False)
    ways = [(x, all_y), (y, all_x)] if symmetric else [(x, all_y)]
    losses = [
        F.cross_entropy((a @ b.T / tau).masked_fill(duplicate, -torch.inf), torch.arange(n), reduction="sum")
        for a, b in ways
    ]
    return torch.stack(losses).mean()


@pytest.mark.parametrize("rows_a_block", [1, 3, 4, 11])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_blocks_equal_all_similarities_at_once(
    rows_a_block: int,
    symmetric: bool,
    queued: bool,
    dtype: torch.dtype,
    tolerance: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(11, 5, generator=generator, dtype=torch.float64)
    y = (x + torch.randn(11, 5, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_()
    x = x.to(dtype).requires_grad_()
    options: dict[str, object] = {
        "groups_N": torch.arange(11) % 3,
        "source_keys_N": torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 0, 9, 10]),
        "target_keys_N": torch.tensor([0, 1, 1, 3, 1, 5, 6, 7, 8, 9, 10]),
        "tau": 0.1,
        "symmetric": symmetric,
        "centering": Centering.language,
    }
    past = None
    if queued:
        past = past_pairs(4, 5, generator, [3, 40, 0, 41])
        past = Negatives(past.source.to(dtype), past.target.to(dtype), past.source_keys, past.target_keys)
    monkeypatch.setattr(module, "BLOCK", rows_a_block * (15 if queued else 11))
    loss, _ = info_nce(x, y, past=past, **options)  # type: ignore[arg-type]
    expected = plain(x.double(), y.double(), past=past, **options)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=tolerance)
    # Scaled, as after the division by N.
    found, reference = torch.autograd.grad(loss / 7, (x, y)), torch.autograd.grad(expected / 7, (x, y))
    for a, b in zip(found, reference, strict=True):
        assert float((a - b).norm() / b.norm()) < tolerance


def test_a_small_loss_and_its_gradient_keep_their_digits() -> None:
    """A softmax that takes the positive as one of all loses them: 1 - p at p near 1."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 640, generator=generator).requires_grad_()
    y = x.detach() + torch.randn(8, 640, generator=generator) / 2
    loss, _ = nce(x, y)
    exact, _ = nce(x.double(), y.double())
    assert 0 < float(exact.detach()) < 1e-4
    assert float(loss.detach()) == pytest.approx(float(exact.detach()), rel=1e-4)
    (found,), (expected,) = torch.autograd.grad(loss, x), torch.autograd.grad(exact, x)
    assert float((found - expected).norm() / expected.norm()) < 1e-4


def test_memory_does_not_grow_with_the_square_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest tensor that any operation makes is a block's, however many pairs there are."""
    monkeypatch.setattr(module, "BLOCK", 4096)
    x, y = torch.randn(512, 8).requires_grad_(), torch.randn(512, 8).requires_grad_()
    with Largest() as largest:
        nce(x, y, groups_N=torch.arange(512) % 4, centering=Centering.language)[0].backward()
    assert largest.elements == 4096


class Largest(TorchDispatchMode):
    """Elements of the largest tensor made inside."""

    elements = 0

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):  # type: ignore[no-untyped-def]
        result = operation(*arguments, **(options or {}))
        for value in result if isinstance(result, tuple) else (result,):
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.numel())
        return result


def test_the_same_without_gradient() -> None:
    x, y = torch.randn(8, 4), torch.randn(8, 4)
    with torch.no_grad():
        loss, hits = nce(x.requires_grad_(), y)
    assert not loss.requires_grad
    expected, expected_hits = nce(x, y)
    assert (loss, hits) == (expected, expected_hits)


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
