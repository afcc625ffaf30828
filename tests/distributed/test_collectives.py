"""Sums of gradients over ranks, sparse and dense, against the sum of dense tensors."""

from pathlib import Path

import torch
import torch.multiprocessing as mp
from torch import Tensor, nn

from xalign.distributed import collectives

SHAPE = (20, 3)


def rows(*numbers: int) -> Tensor:
    """A sparse gradient whose rows may come twice."""
    values = torch.tensor([[1.0, n, 10.0 * place] for place, n in enumerate(numbers)], dtype=torch.float64)
    return torch.sparse_coo_tensor(torch.tensor([numbers]), values.view(-1, 3), SHAPE, check_invariants=True)


def full(value: float) -> Tensor:
    return torch.full(SHAPE, value, dtype=torch.float64)


# A column a rank: both sparse and of unequal length, sparse and none, sparse and dense, dense, none at all.
GRADIENTS: list[tuple[Tensor | None, Tensor | None]] = [
    (rows(3, 7, 3, 19), rows(7)),
    (None, rows(0, 5)),
    (rows(2, 2), full(0.5)),
    (full(1.0), full(2.0)),
    (full(4.0), None),
    (None, None),
]


def _rank(rank: int, path: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{path}/meeting", rank=rank, world_size=2
    )
    parameters = [nn.Parameter(torch.zeros(SHAPE, dtype=torch.float64)) for _ in GRADIENTS]
    for parameter, pair in zip(parameters, GRADIENTS, strict=True):
        parameter.grad = pair[rank]
    collectives.sum_gradients(parameters)
    torch.save([p.grad for p in parameters], path / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_gradients_are_summed_over_ranks_whatever_their_layout(tmp_path: Path) -> None:
    mp.spawn(_rank, (tmp_path,), nprocs=2)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert [g.is_sparse for g in found[:-1]] == [True, True, False, False, False]
        assert found[-1] is None
        for gradient, pair in zip(found[:-1], GRADIENTS, strict=False):
            expected = sum(g.to_dense() for g in pair if g is not None)
            assert not gradient.is_sparse or gradient.is_coalesced()
            torch.testing.assert_close(gradient.to_dense(), expected, rtol=0, atol=1e-12)
