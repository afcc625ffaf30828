"""Fully sharded data parallelism (FSDP2, ZeRO stage 3): every rank keeps its part of each large matrix.

Matrices of the model are sharded, block by block; a block's are gathered while it runs, and their gradients
are summed into the shards as the backward pass goes (Rajbhandari et al. 2020, ZeRO, section 5; Zhao et al.
2023, PyTorch FSDP). Norms, biases and low-rank adapters are whole on every rank: they are a thousandth of the
model, their gradients are summed as without sharding, and they stay in float32 where matrices are gathered in
bf16. So a run with adapters shards only what is frozen, and its checkpoints are those of any other run.

Gathering is a collective operation: all ranks have to run the same blocks equally often. Ranks whose texts
are shorter have fewer passes to make: `in_step` gives them empty ones.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
    register_fsdp_forward_method,
)

from xalign.config.training import StrategyConfig
from xalign.data.collate import IGNORED, Buckets, Tokens
from xalign.distributed import collectives
from xalign.models.backbone import Backbone

ENTRANCES = ("hidden_states", "represent_all_layers", "represent_layers")
"""Methods of the backbone that run blocks, and nothing else does: through them embeddings are gathered."""


def mesh_of(device_type: str, replicate: int) -> DeviceMesh:
    """All ranks, as FSDP2 wants them: in a row or, with `replicate` copies of the model, in as many rows,
    each of neighbours that share one out (hybrid sharding; Zhao et al. 2023, PyTorch FSDP, section 3.2.2).
    """
    ranks = collectives.world_size()
    if replicate == 1:
        return init_device_mesh(device_type, (ranks,), mesh_dim_names=("shard",))
    return init_device_mesh(
        device_type, (replicate, ranks // replicate), mesh_dim_names=("replicate", "shard")
    )


def shard(
    backbone: Backbone,
    mesh: DeviceMesh,
    config: StrategyConfig,
    whole: AbstractSet[nn.Parameter] = frozenset(),
) -> None:
    """Replace the model's matrices by this rank's shards of them, in place; `whole`: those of adapters, say,
    that every rank keeps.

    In bf16 the blocks' matrices are rounded before they are gathered, which is what autocast would make of
    them afterwards: half the bytes travel, and no copy is kept. Embeddings and head are gathered as they are;
    they stay until the backward pass, so that the head can be used outside of any forward method.
    """
    for module in backbone.modules():
        if isinstance(module, nn.Embedding):
            module.sparse = False  # shards are summed as dense matrices
    whole = whole | {p for p in backbone.parameters() if p.ndim < 2}
    device = torch.device(mesh.device_type)
    for parameter in whole:
        parameter.data = parameter.data.to(device, torch.float32)
    on_gpu = mesh.device_type == "cuda"
    common: dict[str, Any] = {
        "mesh": mesh,
        "ignored_params": whole,
        "offload_policy": CPUOffloadPolicy(pin_memory=on_gpu) if config.cpu_offload else OffloadPolicy(),
    }
    precision = MixedPrecisionPolicy(
        param_dtype=backbone.compute_dtype if backbone.computes_low else None,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,
    )
    for block in backbone.blocks:
        fully_shard(block, mp_policy=precision, reshard_after_forward=config.reshard_after_forward, **common)
    fully_shard(backbone, **common)
    assert isinstance(backbone, FSDPModule)
    # Losses are divided by global counts already: gradients are summed over ranks, not averaged.
    for module in backbone.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    backbone.float()  # this rank's shards, of weights that came as they are stored
    backbone.to_run_on = None
    for entrance in ENTRANCES:
        register_fsdp_forward_method(backbone, entrance)


def in_step(batch: Buckets) -> Buckets:
    """The batch with as many buckets as the rank that has most, and the same ends of micro-batches."""
    own = [tokens.input_ids.numel() for tokens in batch.buckets]
    every = collectives.gather_lists([own])
    (micro_batch, *_) = collectives.gather_lists([batch.micro_batch])
    count = max(map(len, every))
    sizes = tuple(max(row[i] for row in every if i < len(row)) for i in range(count))
    empty = _empty(batch.buckets[0])
    return Buckets(batch.buckets + (empty,) * (count - len(own)), batch.order, micro_batch, sizes)


def _empty(like: Tokens) -> Tokens:
    """One text of one token that counts for nothing, in a bucket of its own."""
    ids_11 = like.input_ids[:1, :1]
    zeros_11 = torch.zeros_like(ids_11)
    packed = like.texts is not None
    return Tokens(
        ids_11,
        torch.ones_like(ids_11),
        zeros_11,
        labels=None if like.labels is None else zeros_11 + IGNORED,
        texts=zeros_11 if packed else None,
        positions=zeros_11 if packed else None,
    )


@contextmanager
def gathered(backbone: Backbone, config: StrategyConfig) -> Iterator[None]:
    """Inside, the whole model is there and needs no other rank; sharded again afterwards."""
    if not isinstance(backbone, FSDPModule):
        yield
        return
    blocks: list[nn.Module] = backbone.blocks
    parts = [part for part in (backbone, *blocks) if isinstance(part, FSDPModule)]
    backbone.forget_rounded_head()  # gathering does not count as a change
    backbone.set_reshard_after_forward(False)
    for part in parts:
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(config.reshard_after_forward, recurse=False)
        # The root keeps what it gathered until the backward pass.
        backbone.set_reshard_after_forward(False, recurse=False)
        backbone.forget_rounded_head()
