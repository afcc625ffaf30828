"""An objective's gradient on a step's part: forward, backward, a micro-batch at a time, over all ranks.

It leaves in the parameters' `.grad` the gradient of this rank's share of the loss over the global batch.
Summed over ranks, N ranks equal one on the same batch; what a micro-batch holds makes no difference either.
One objective's activations are gone before the next begins.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from xalign.base.phases import phases
from xalign.data.collate import Buckets, Tokens
from xalign.data.step import Part
from xalign.distributed import collectives
from xalign.distributed.collectives import is_sharded
from xalign.models.backbone import Backbone
from xalign.objectives.base import BatchObjective, Objective, Rows, SumObjective
from xalign.objectives.passes import Pass
from xalign.training.gradcache import cached_backward
from xalign.training.sharding import in_step

Figures = dict[str, float]


def accumulate(objective: Objective, run: Pass, part: Part) -> tuple[float, Figures]:
    """The objective's loss on the global batch, and figures for the log; its gradients are this rank's.

    Raises:
        ModelError: a batch objective's vectors depend on no trained parameter.
    """
    texts = part.texts
    if is_sharded(run.backbone):
        texts = in_step(texts)
        part = replace(part, beside=None if part.beside is None else in_step(part.beside))
    match objective:
        case SumObjective():
            share, figures = _positions(objective, run, part, texts)
        case BatchObjective():
            share, figures = _batch(objective, run, part, texts)
        case _:
            raise TypeError(f"{type(objective).__name__} is neither a SumObjective nor a BatchObjective")
    return collectives.global_sum(float(share)), {
        k: collectives.global_sum(float(v)) for k, v in figures.items()
    }


def _positions(
    objective: SumObjective, run: Pass, part: Part, texts: Buckets
) -> tuple[Tensor, Mapping[str, float | Tensor]]:
    chosen = objective.positions(run, part)
    # None of the passes that only keep step with other ranks.
    chosen += [torch.zeros_like(t.content_mask, dtype=torch.bool) for t in texts.buckets[len(chosen) :]]
    count = collectives.global_sum(sum(int(mask_BT.sum()) for mask_BT in chosen))
    run = replace(run, scale=1 / max(count, 1))
    shares = []
    for tokens, mask_BT in zip(texts.buckets, chosen, strict=True):
        with phases("forward"):
            loss = objective.summed(run, tokens, mask_BT) * run.scale
        with phases("backward"):
            loss.backward()
        _between_passes(run.backbone)
        shares.append(loss.detach())
    return torch.stack(shares).sum(), {}


def _batch(
    objective: BatchObjective, run: Pass, part: Part, texts: Buckets
) -> tuple[Tensor, Mapping[str, float | Tensor]]:
    ranks, rank, sides = collectives.world_size(), collectives.rank(), part.sides
    own = len(texts.order) // sides
    rows = Rows(
        count=own * ranks,
        own=slice(rank * own, (rank + 1) * own),
        numbers={name: collectives.gather_rows(values) for name, values in part.numbers.items()},
    )

    def represent(chunk: list[Tokens]) -> Tensor:
        with phases("forward"):
            return torch.cat([objective.represent(run, tokens) for tokens in chunk])

    def loss_of(vectors: Tensor) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        gathered = [collectives.gather_rows(side) for side in vectors[texts.order].chunk(sides)]
        loss, figures = objective.loss(gathered, rows)
        if objective.separable or ranks == 1:
            return loss, figures
        # Every rank has computed the whole: of each its part, so that the sum over ranks is the whole again.
        return loss / ranks, {name: float(value) / ranks for name, value in figures.items()}

    return cached_backward(texts.chunks(), represent, loss_of)


def _between_passes(backbone: Backbone) -> None:
    if is_sharded(backbone):
        backbone.forget_rounded_head()  # the next pass gathers it anew
