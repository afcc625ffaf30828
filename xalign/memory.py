"""What training holds in memory, by part, and the largest micro-batch that fits beside it.

Activations are measured, in a pass over a few texts; the rest is counted.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xalign.choices import AdapterMethod, OptimizerKind, StrategyName
from xalign.config import Config
from xalign.data.collate import PACKED, Arrangement, arrange
from xalign.flops import Costs, costs_of
from xalign.hardware import free_memory
from xalign.models.backbone import Backbone
from xalign.objectives.vocabulary import LOGITS_AT_ONCE
from xalign.training.decisions import Decisions, choose_micro_batch

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


def micro_batch_of(config: Config, backbone: Backbone, layer: int, decisions: Decisions) -> int:
    """`trainer.micro_batch`, or the most tokens that fit; the backbone has its adapters and arithmetic."""
    memory = memory_of(config, backbone, costs_of(backbone), layer)
    return fitting_micro_batch(config, memory, room_of(config, backbone), decisions)


def room_of(config: Config, backbone: Backbone) -> int:
    """Bytes that are free for one rank. Ranks share a machine's memory, but have a GPU each."""
    shared_by = 1 if backbone.device.type == "cuda" else config.trainer.devices
    return free_memory(backbone.device) // shared_by


def memory_of(config: Config, backbone: Backbone, costs: Costs, layer: int) -> Memory:
    """Memory by part, for a model with its adapters; activations by a pass over a few texts."""
    trained = [p for p in backbone.parameters() if p.requires_grad]
    depth = backbone.depth
    depths = {"contrastive": layer, "instruction": depth, "retention": depth}
    weights = config.loss.contrastive_weight, config.loss.instruction_weight, config.loss.retention_weight
    depths = {name: depths[name] for name, weight in zip(depths, weights, strict=True) if weight > 0}
    # A product takes two operations a weight.
    products = (costs.up_to(backbone.depth) + costs.head).forward // 2
    # Sharded, each rank keeps its part of what is trained; of adapters all.
    sharded = config.strategy.name is StrategyName.fsdp and config.adapter.method is not AdapterMethod.lora
    shares = config.trainer.devices * config.trainer.nodes if sharded else 1
    held = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in backbone.parameters()}
    # Each objective's are kept until they are clipped and joined.
    gradients = sum(gradient_bytes(backbone, at, head=name != "contrastive") for name, at in depths.items())
    if config.optimizer.kind is not OptimizerKind.adamw:
        gradients = max(gradients, sum(p.nbytes for p in trained))  # the others' are made dense
    return Memory(
        weights=sum(held.values()),
        rounded=products * backbone.compute_dtype.itemsize if backbone.computes_low else 0,
        gradients=gradients // shares,
        optimizer=round(sum(p.numel() for p in trained) * STATE[config.optimizer.kind] / shares),
        logits=4 * LOGITS_AT_ONCE[backbone.device.type] if {*depths} - {"contrastive"} else 0,
        token={name: activation_bytes(backbone, at) for name, at in depths.items()},
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
    return max(1.0, (_saved(backbone, layer, 4) - _saved(backbone, layer, 2)) / (2 * PACKED))


def _saved(backbone: Backbone, layer: int, rows: int) -> int:
    ids_BT = torch.randint(5, 250, (rows, PACKED), generator=torch.Generator().manual_seed(0))
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


def fitting_micro_batch(config: Config, memory: Memory, free: int, decisions: Decisions) -> int:
    """`trainer.micro_batch`, or the most tokens that fit into `free` bytes beside all else."""
    trainer = config.trainer
    most = {
        "contrastive": 2 * trainer.batch_size * trainer.max_length,
        "instruction": trainer.instruction_batch_size * trainer.instruction_max_length,
        "retention": trainer.retention_batch_size * trainer.retention_max_length,
    }
    return choose_micro_batch(
        trainer.micro_batch,
        max(most[name] for name in memory.token),
        decisions,
        room=max(0, free - memory.to_come),
        token=max(memory.token.values()),
        reserve=RESERVE,
    )
