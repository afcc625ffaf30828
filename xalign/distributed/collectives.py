"""The few collective operations that exact data parallelism needs. Without a process group: identities.

The convention everywhere: a rank's loss is the sum over its own rows divided by the GLOBAL count, and
gradients are summed over ranks. N ranks then equal one rank on the same global batch.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.nn.functional import all_gather
from torch.distributed.tensor import DTensor

from xalign.base.errors import XalignError

T = TypeVar("T")


def active() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def is_sharded(model: nn.Module) -> bool:
    """Whether gathering makes the ranks depend on each other's passes."""
    return isinstance(model, FSDPModule)


def rank() -> int:
    return dist.get_rank() if active() else 0


def world_size() -> int:
    return dist.get_world_size() if active() else 1


def gather_rows(rows_nD: Tensor) -> Tensor:
    """Rows of all ranks in rank order, (n * ranks, D), with gradient back to the rank that made them.

    Gathering without gradient and putting the own rows back would divide the contrastive gradient by
    the number of ranks, which silently changes the balance of the losses.
    """
    if not active():
        return rows_nD
    if rows_nD.requires_grad:
        gathered: tuple[Tensor, ...] = all_gather(rows_nD.contiguous())
        return torch.cat(gathered)
    parts = [torch.empty_like(rows_nD) for _ in range(world_size())]
    dist.all_gather(parts, rows_nD.contiguous())
    return torch.cat(parts)


def global_sum(value: float) -> float:
    """Sum of a number over all ranks."""
    if not active():
        return value
    total = torch.tensor(value, dtype=torch.float64)
    if dist.get_backend() == "nccl":
        total = total.cuda()
    dist.all_reduce(total)
    return float(total)


def summed(value: Tensor) -> Tensor:
    """Sum of a scalar over all ranks, detached."""
    if not active():
        return value
    total = value.detach().to("cuda" if dist.get_backend() == "nccl" else value.device, copy=True)
    dist.all_reduce(total)
    return total


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor that is sharded over ranks; any other as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def maxima(values: Sequence[float]) -> list[float]:
    """The greatest of each number over all ranks, in one operation."""
    if not active():
        return list(values)
    greatest = torch.tensor(values, dtype=torch.float64)
    if dist.get_backend() == "nccl":
        greatest = greatest.cuda()
    dist.all_reduce(greatest, op=dist.ReduceOp.MAX)
    return [float(value) for value in greatest]


def of_first(make: Callable[[], T]) -> T:
    """What `make` gives or, if it is the user's to mend, raises on the first rank: on every rank."""
    if not active():
        return make()
    found: list[Any] = [None, None]
    if rank() == 0:
        try:
            found[0] = make()
        except XalignError as error:
            found[1] = error
    dist.broadcast_object_list(found, src=0)
    if found[1] is not None:
        raise found[1]
    value: T = found[0]
    return value


def gather_lists(own: list[T]) -> list[T]:
    """The lists of all ranks one after the other, on every rank."""
    if not active():
        return own
    parts: list[list[T]] = [[] for _ in range(world_size())]
    dist.all_gather_object(parts, own)
    return [value for part in parts for value in part]


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Add up the gradients of all ranks; a parameter without one on some rank counts as zero there.

    One without a gradient on any rank stays without, as on a single rank. Gradients that are sparse wherever
    there are any stay sparse, with one entry a row; the others are summed in place. Those of sharded
    parameters were summed as they were made.
    """
    if not active():
        return
    parameters = [p for p in parameters if not isinstance(p, DTensor)]
    if not parameters:
        return
    kinds = torch.tensor([_kind(p.grad) for p in parameters], device=parameters[0].device)
    dist.all_reduce(kinds, op=dist.ReduceOp.MAX)
    dense = []
    for p, kind in zip(parameters, kinds.tolist(), strict=True):
        if kind == _SPARSE:
            p.grad = _summed_rows(p)
        elif kind == _DENSE:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
            elif p.grad.is_sparse:
                p.grad = p.grad.to_dense()
            dense.append(p.grad)
    if not dense:
        return
    flat = torch.cat([g.reshape(-1) for g in dense])
    dist.all_reduce(flat)
    for gradient, part in zip(dense, flat.split([g.numel() for g in dense]), strict=True):
        gradient.copy_(part.view_as(gradient))


_NONE, _SPARSE, _DENSE = range(3)


def _kind(gradient: Tensor | None) -> int:
    return _NONE if gradient is None else _SPARSE if gradient.is_sparse else _DENSE


def _summed_rows(table_VD: nn.Parameter) -> Tensor:
    """The sum over ranks of a table's sparse gradients, as a sparse tensor with one entry a row."""
    if table_VD.grad is None:
        rows, values = torch.empty(0, dtype=torch.long, device=table_VD.device), table_VD.detach()[:0]
    else:
        own = table_VD.grad.coalesce()
        rows, values = own.indices()[0], own.values()
    counts = torch.zeros(world_size(), dtype=torch.long, device=rows.device)
    counts[rank()] = len(rows)
    dist.all_reduce(counts)
    # All ranks send equally many rows; what fills up is cut off again.
    longest = int(counts.max())
    missing = longest - len(rows)
    all_rows = gather_rows(torch.cat([rows, rows.new_zeros(missing)]))
    all_values = gather_rows(torch.cat([values, values.new_zeros(missing, values.shape[1])]))
    real = (torch.arange(longest, device=rows.device) < counts[:, None]).flatten()
    joined = torch.sparse_coo_tensor(
        all_rows[real][None], all_values[real], table_VD.shape, check_invariants=False
    )
    return joined.coalesce()
