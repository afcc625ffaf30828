"""What training holds in memory, by part, and the largest micro-batch that fits beside it.

Activations are measured, in a pass over a few texts; the rest is counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xalign.base.decisions import Decisions
from xalign.base.hardware import free_memory
from xalign.config.choices import OptimizerKind, StrategyName
from xalign.config.schema import Config
from xalign.data.collate import PACKED, Arrangement, arrange
from xalign.models.adapters import ADAPTERS
from xalign.models.backbone import Backbone
from xalign.models.few_bits import few_bits, scales
from xalign.models.reference import Reference
from xalign.objectives.base import Objective
from xalign.objectives.kernels.vocabulary import LOGITS_AT_ONCE
from xalign.performance.automatic import choose_micro_batch
from xalign.performance.flops import Costs, costs_of

RESERVE = 0.25
"""Share of the free memory left alone: gradients of activations, buffers, other programs."""

STATE = {
    OptimizerKind.adamw: 8.0,
    OptimizerKind.adamw_8bit: 2.1,
    OptimizerKind.adamw_bf16: 4.0,
    OptimizerKind.adafactor: 0.1,
}
"""Bytes of state a trained parameter: moments in float32, in 8 bits with scales, in bf16, by rows and
columns."""


@dataclass(frozen=True)
class Memory:
    """Bytes that training holds, by part; `token`: of activations a token, by objective."""

    weights: int
    reference: int
    """Copies of what is trained, as it was before training."""
    rounded: int
    gradients: int
    optimizer: int
    logits: int
    token: dict[str, float]

    @property
    def to_come(self) -> int:
        """What is not there yet when the model is loaded, without activations."""
        return self.rounded + self.gradients + self.optimizer + self.logits

    def activations(self, tokens: dict[str, float]) -> int:
        """Of the objective that holds the most, at so many tokens at a time."""
        return round(max(self.token[name] * number for name, number in tokens.items()))


def micro_batch_of(
    config: Config,
    backbone: Backbone,
    objectives: Mapping[str, Objective],
    reference: Reference | None,
    decisions: Decisions,
) -> int:
    """`trainer.micro_batch`, or the most tokens that fit; the backbone has its adapters and arithmetic."""
    memory = memory_of(config, backbone, costs_of(backbone), objectives, reference)
    most = {name: objective.needs.tokens for name, objective in objectives.items()}
    return fitting_micro_batch(config, memory, most, room_of(config, backbone), decisions)


def room_of(config: Config, backbone: Backbone) -> int:
    """Bytes that are free for one rank. Ranks share a machine's memory, but have a GPU each."""
    shared_by = 1 if backbone.device.type == "cuda" else config.trainer.devices
    return free_memory(backbone.device) // shared_by


def memory_of(
    config: Config,
    backbone: Backbone,
    costs: Costs,
    objectives: Mapping[str, Objective],
    reference: Reference | None,
) -> Memory:
    """Memory by part, for a model with its adapters; activations by a pass over a few texts."""
    own = [p for o in objectives.values() if o.own is not None for p in o.own.parameters() if p.requires_grad]
    trained = [*(p for p in backbone.parameters() if p.requires_grad), *own]
    needs = {name: objective.needs for name, objective in objectives.items()}
    # A product takes two operations a weight.
    products = (costs.up_to(backbone.depth) + costs.head).forward // 2
    # Sharded, each rank keeps its part of what is trained; of adapters all.
    sharded = config.strategy.name is StrategyName.fsdp and ADAPTERS.load(config.adapter.method).trains_model
    shares = config.ranks // config.strategy.replicate if sharded else 1
    # Each objective's are kept until they are clipped and joined.
    gradients = sum(gradient_bytes(backbone, n.layer, head=n.head) for n in needs.values())
    gradients += sum(p.nbytes for p in own)
    if config.optimizer.kind is not OptimizerKind.adamw:
        gradients = max(gradients, sum(p.nbytes for p in trained))  # the others' are made dense
    layers = {n.layer for n in needs.values()}
    activations = {layer: activation_bytes(backbone, layer) for layer in sorted(layers)}
    return Memory(
        weights=_held([*backbone.parameters(), *own, *(scale for _, scale in scales(backbone))]),
        reference=_held(reference.copies()) if reference is not None else 0,
        rounded=_rounded(backbone, products),
        gradients=gradients // shares,
        optimizer=round(sum(p.numel() for p in trained) * STATE[config.optimizer.kind] / shares),
        logits=4 * LOGITS_AT_ONCE[backbone.device.type] if any(n.head for n in needs.values()) else 0,
        token={name: activations[n.layer] for name, n in needs.items()},
    )


def _held(tensors: Sequence[Tensor]) -> int:
    """Bytes of the tensors, those that share memory counted once."""
    held = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(held.values())


def _rounded(backbone: Backbone, products: int) -> int:
    """Bytes of rounded copies of the weights of products; of those in few bits one matrix is made at a time,
    in float32 first."""
    sizes = [layer.in_features * layer.out_features for layer in few_bits(backbone)]
    kept = (products - sum(sizes)) * backbone.compute_dtype.itemsize if backbone.computes_low else 0
    return kept + max(sizes, default=0) * (
        4 + (backbone.compute_dtype.itemsize if backbone.computes_low else 0)
    )


def gradient_bytes(backbone: Backbone, layer: int, head: bool) -> int:
    """Bytes of the dense gradients of an objective on blocks [:layer] and, if so, the head.

    A sparse gradient of the table of embeddings is next to nothing beside them.
    """
    table = backbone.model.get_input_embeddings()
    rows, output = set(table.parameters()), set(backbone.model.get_output_embeddings().parameters())
    sparse = isinstance(table, nn.Embedding) and table.sparse
    dense = (output if head else set()) | (set() if sparse else rows)
    above = {p for block in backbone.blocks[layer:] for p in block.parameters()}
    none = above | ((rows | output) - dense)
    return sum(p.nbytes for p in backbone.parameters() if p.requires_grad and p not in none)


def activation_bytes(backbone: Backbone, layer: int) -> float:
    """Bytes a token that blocks [:layer] keep for the backward pass.

    The difference between four texts and two, so that what does not grow with them, such as rounded
    weights, does not count.
    """
    length = min(PACKED, backbone.context or PACKED)
    saved = [_saved(backbone, layer, rows, length) for rows in (4, 2)]
    return max(1.0, (saved[0] - saved[1]) / (2 * length))


def _saved(backbone: Backbone, layer: int, rows: int, length: int) -> int:
    ids_BT = backbone.probe_ids(rows, length)
    tokens = arrange(backbone.tokenizer, ids_BT.tolist(), arrangement=Arrangement()).to(backbone.device)
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if not tensor.is_leaf or not tensor.requires_grad:
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # with its graph it would hold, in a circle, all that is noted here

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        kept = [backbone.hidden_states(bucket, layer) for bucket in tokens.buckets]
    del kept
    return sum(saved.values())


def fitting_micro_batch(
    config: Config, memory: Memory, most: Mapping[str, int], free: int, decisions: Decisions
) -> int:
    """`trainer.micro_batch`, or the most tokens that fit into `free` bytes beside all else.

    `most` are the tokens of a step and rank, by objective.
    """
    return choose_micro_batch(
        config.trainer.micro_batch,
        max(most.values()),
        decisions,
        room=max(0, free - memory.to_come),
        token=max(memory.token.values()),
        reserve=RESERVE,
    )
