"""Floating-point operations of a step, by arithmetic: what the model needs, however it is carried out.

A matrix product of n tokens with m weights takes 2 n m operations forward (Kaplan et al. 2020, section 2.1).
Backward takes 2 n m for the gradient of its inputs, where something that is trained lies before it, and
2 n m for the gradient of its weights, where they are trained; low-rank adapters are two such products. In
full fine-tuning that makes Kaplan's 6 n m. Attention takes 4 t^2 d a block forward for a sequence of t
tokens, d the width of all heads together, and twice that backward (Chowdhery et al. 2022, PaLM, appendix B:
12 L H Q T a token; like there the causal half is not taken off). Norms, activations, softmax, embeddings
and the optimizer are left out: they are bound by memory.

Only what is needed counts: no padding, the blocks below the aligned layer, the head at positions that are
supervised. Padding and work done twice (activation checkpointing, cached negatives) lower the utilisation.
Where queries have another width than values, half of those 4 t^2 d are of the one, half of the other.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from xalign.data.collate import Buckets, Tokens
from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.models.few_bits import FewBitsLinear
from xalign.objectives.base import Work

WITHOUT_PAIRS = frozenset({"linear_attention", "conv", "mamba", "recurrent", "moe", "mlp"})
"""Kinds of blocks in which positions do not meet in pairs. What carries a state along is left out; it is
bound by memory, and how it is computed, in chunks or step by step, decides how many operations it takes."""


@dataclass(frozen=True)
class Cost:
    """Operations of a part of the model: a token, and (`pair_`) two positions that attend to each other."""

    forward: int = 0
    backward: int = 0
    before: int = 0
    """Forward without adapters: the model before training."""
    pair_forward: int = 0
    pair_backward: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Costs:
    """Operations of a model with its adapters, block by block. `outside`: projections around the blocks."""

    blocks: tuple[Cost, ...]
    outside: Cost
    head: Cost
    width: int
    """Size of a hidden state, D."""

    def up_to(self, layer: int) -> Cost:
        """All that runs for the hidden states after block `layer`."""
        return sum(self.blocks[:layer], start=self.outside)


@dataclass(frozen=True)
class Amount:
    """What goes through the blocks: tokens, and pairs of positions in the same sequence (t^2 each)."""

    tokens: int = 0
    pairs: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(self.tokens + other.tokens, self.pairs + other.pairs)


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of one objective in one step."""

    forward: int
    backward: int

    @property
    def total(self) -> int:
        return self.forward + self.backward


def costs_of(backbone: Backbone) -> Costs:
    """The products that a model consists of, found by letting two tokens through it.

    Adapters must be in place, and what is trained be marked so: where a gradient has to go is seen, not
    guessed. Of a mixture's experts those count that a token is sent to; their adapters count as products of
    the token, though peft makes them into weights of all experts in every pass.
    """
    decoder = backbone.decoder
    head = backbone.model.get_output_embeddings()
    assert isinstance(head, nn.Module)
    two_12 = torch.ones(1, 2, dtype=torch.long, device=backbone.device)
    training = backbone.training
    backbone.eval()  # dropout would draw random numbers
    try:
        with torch.enable_grad():
            with _recorded(decoder) as within:
                hidden_12D = backbone.hidden_states(Tokens(two_12, two_12, two_12), backbone.depth)
            with _recorded(head) as of_head, backbone.arithmetic():
                head(hidden_12D)
    finally:
        backbone.train(training)
    parts: dict[str, list[_Product]] = {}
    named = backbone.blocks_name.count(".") + 2
    for product in within:
        # "layers.3.mlp.up_proj" -> "layers.3"; what is outside the list of blocks -> "".
        name = ".".join(product.path.split(".")[:named])
        parts.setdefault(name if name.startswith(f"{backbone.blocks_name}.") else "", []).append(product)
    of_blocks = [parts.get(f"{backbone.blocks_name}.{i}", []) for i in range(backbone.depth)]
    kinds = _kinds(backbone)
    queries = _query_width(backbone)
    return Costs(
        blocks=tuple(
            _cost(own) if kind in WITHOUT_PAIRS else _block(own, queries)
            for own, kind in zip(of_blocks, kinds, strict=True)
        ),
        outside=_cost(parts.get("", [])),
        head=_cost(of_head),
        width=hidden_12D.shape[-1],
    )


def operations(costs: Costs, work: Work, part: Part) -> Operations:
    """What an objective's part of a rank's step takes; without padding, see the module's docstring."""
    amount = amount_of(part.texts)
    run = _run(costs.up_to(work.layer), amount)
    forward = run.forward + work.forward + costs.head.forward * work.positions
    backward = run.backward + work.backward + costs.head.backward * work.positions
    read_before = [(work.reference_layer, amount)]
    if part.beside is not None:
        read_before.append((work.beside_layer, amount_of(part.beside)))
    for layer, read in read_before:
        if layer is not None:
            before = costs.up_to(layer)
            forward += before.before * read.tokens + before.pair_forward * read.pairs
            forward += costs.head.before * work.positions
    return Operations(forward, backward)


def amount_of(batch: Buckets) -> Amount:
    """Tokens and pairs of positions in a batch, without padding."""
    lengths = [length for bucket in batch.buckets for length in lengths_of(bucket).tolist()]
    return Amount(sum(lengths), sum(length**2 for length in lengths))


def lengths_of(tokens: Tokens) -> Tensor:
    """Tokens of every text in a batch (texts,)."""
    if tokens.texts is not None:
        return tokens.texts[tokens.texts >= 0].bincount()
    return tokens.attention_mask.sum(1)


def _run(cost: Cost, amount: Amount) -> Operations:
    return Operations(
        cost.forward * amount.tokens + cost.pair_forward * amount.pairs,
        cost.backward * amount.tokens + cost.pair_backward * amount.pairs,
    )


@dataclass(frozen=True)
class _Product:
    """A matrix product as it ran."""

    path: str
    weights: int
    inputs: int
    trained: bool
    reached: bool
    """Whether a gradient goes on to its inputs."""
    adapter: bool = False


@contextmanager
def _recorded(module: nn.Module) -> Iterator[list[_Product]]:
    """The products of a module that run inside, in order."""
    found: list[_Product] = []

    def record(path: str, layer: nn.Module, given: Sequence[Tensor]) -> None:
        def add(weight: Tensor, reached: bool, adapter: bool = False) -> None:
            weights = round(weight.numel() * used)
            found.append(_Product(path, weights, inputs.shape[-1], weight.requires_grad, reached, adapter))

        inputs = given[0]
        # Adapters are asked of the layer, not of the modules in it: one function may do the work of them all.
        adapted = list(_adapted(layer))
        matrices = _matrices(adapted[-1].get_base_layer() if adapted else layer, inputs)
        used = _share_of_experts(matrices, given)
        for weight in matrices:
            add(weight, inputs.requires_grad)
        for own in adapted:
            for name in own.active_adapters:
                for part, reached in ((own.lora_A, inputs.requires_grad), (own.lora_B, True)):
                    if name in part:  # embeddings have theirs elsewhere
                        add(next(part[name].parameters()), reached, adapter=True)

    def hook(path: str) -> Callable[..., None]:
        def run(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: object) -> None:
            given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
            if given:
                record(path, layer, given)

        return run

    hooks = []
    within = "\n"  # path of the adapted layer whose parts are passed over
    for path, layer in module.named_modules():
        if not path.startswith(within):
            if isinstance(layer, LoraLayer):
                within = f"{path}." if path else ""
            hooks.append(layer.register_forward_hook(hook(path), with_kwargs=True))
    try:
        yield found
    finally:
        for handle in hooks:
            handle.remove()


def _matrices(layer: nn.Module, inputs: Tensor) -> list[Tensor]:
    """Weights that a module multiplies its input with: of a linear layer, a router, all experts (E, O, I).

    Embeddings look rows up; convolutions, like norms, are left out.
    """
    if isinstance(layer, FewBitsLinear):  # two of its weights may be one number
        return [torch.empty(layer.out_features, layer.in_features, device="meta")]
    if isinstance(layer, nn.Linear | Conv1D):
        return [layer.weight]
    # What transformers has no layer of torch's for; the others' matrices are no products.
    if type(layer).__module__.startswith("torch.") or not inputs.is_floating_point():
        return []
    own = [p for name, p in layer.named_parameters(recurse=False) if "bias" not in name]
    return [p for p in own if p.ndim in (2, 3) and min(p.shape) > 1]


def _share_of_experts(matrices: Sequence[Tensor], given: Sequence[Tensor]) -> float:
    """Share of a layer's weights that a token meets: in a mixture, those of the experts chosen for it.

    transformers gives experts the numbers of the chosen ones (tokens, chosen) after the tokens; where it
    gives none, all are run.
    """
    stacked = [weight for weight in matrices if weight.ndim == 3]
    if not stacked or len(given) < 2 or given[1].is_floating_point():
        return 1.0
    return float(given[1].shape[-1] / stacked[0].shape[0])


def _adapted(layer: object) -> Iterator[LoraLayer]:
    """The adapters of a layer: experts have one around another, each for one of their weights."""
    while isinstance(layer, LoraLayer):
        yield layer
        layer = layer.base_layer


def _cost(products: list[_Product]) -> Cost:
    return Cost(
        forward=sum(2 * p.weights for p in products),
        backward=sum(2 * p.weights * (p.trained + p.reached) for p in products),
        before=sum(2 * p.weights for p in products if not p.adapter),
    )


def _block(products: list[_Product], queries: int | None) -> Cost:
    # What the attention puts out is what its last product takes in.
    output = next((p for p in reversed(products) if "att" in p.path and not p.adapter), None)
    if output is None:
        return _cost(products)
    width = output.inputs + (queries or output.inputs)
    return _cost(products) + Cost(pair_forward=2 * width, pair_backward=4 * width * output.reached)


def _kinds(backbone: Backbone) -> Sequence[str | None]:
    """What the config says of each block; None where it says nothing."""
    found = getattr(backbone.model.config.get_text_config(), "layer_types", None)
    return found if found and len(found) == backbone.depth else [None] * backbone.depth


def _query_width(backbone: Backbone) -> int | None:
    """Width of all heads' queries where it is not that of their values (latent attention: DeepSeek-AI 2024,
    DeepSeek-V2, section 2.1.3)."""
    config = backbone.model.config.get_text_config()
    values = config.to_dict()  # asking for a value that differs from layer to layer raises
    parts = [values.get(name) for name in ("qk_nope_head_dim", "qk_rope_head_dim")]
    sizes = [part for part in parts if isinstance(part, int)]
    return int(config.num_attention_heads) * sum(sizes) if len(sizes) == len(parts) else None
