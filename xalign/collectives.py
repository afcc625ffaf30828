"""The few collective operations that exact data parallelism needs. Without a process group: identities.

The convention everywhere: a rank's loss is the sum over its own rows divided by the GLOBAL count, and
gradients are summed over ranks. N ranks then equal one rank on the same global batch.
"""

from collections.abc import Iterable
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather

T = TypeVar("T")


def active() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


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


def gather_lists(own: list[T]) -> list[T]:
    """The lists of all ranks one after the other, on every rank."""
    if not active():
        return own
    parts: list[list[T]] = [[] for _ in range(world_size())]
    dist.all_gather_object(parts, own)
    return [value for part in parts for value in part]


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Add up the gradients of all ranks in place; a parameter without one counts as zero."""
    if not active():
        return
    parameters = list(parameters)
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    flat = torch.cat([p.grad.reshape(-1) for p in parameters if p.grad is not None])
    dist.all_reduce(flat)
    start = 0
    for p in parameters:
        assert p.grad is not None
        p.grad.copy_(flat[start : start + p.numel()].view_as(p))
        start += p.numel()
