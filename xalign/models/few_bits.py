"""Frozen matrices in 4 or 8 bits, beside which adapters are trained in float32 (Dettmers et al. 2023, QLoRA).

nf4: 64 weights in a row share a scale, which is itself in 8 bits (QLoRA, section 3; bitsandbytes' kernels).
int8: each row of a matrix has a scale (Dettmers et al. 2022, LLM.int8, section 2.1). Embeddings and head stay
as they are. The model that is computed, in training and in evaluation, is that of the dequantised weights.

bitsandbytes' own layers are not taken: where gradients are off, they round the scales anew (nf4, on some
CPUs) or what goes into a product (int8), so that the model before training would be another than the trained
one; they round biases for good, and hold activations where the plan of memory does not see them.

Shapes: O outputs, I inputs.
"""

import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from xalign.config.choices import Quantization

log = logging.getLogger(__name__)


def kernels() -> Any:
    """bitsandbytes' functions."""
    from bitsandbytes import functional

    return functional


class FewBitsLinear(nn.Linear):
    """A frozen linear layer that makes its matrix from few bits when it is run, and again for gradients."""

    @classmethod
    def of(cls, layer: nn.Linear) -> "FewBitsLinear":
        """The layer with its matrix in few bits; the bias is the same parameter."""
        with torch.device("meta"):
            made = cls(layer.in_features, layer.out_features, bias=layer.bias is not None)
        made.bias = layer.bias
        made.weight = nn.Parameter(made.store(layer.weight.detach()), requires_grad=False)
        return made.train(layer.training)

    def store(self, weight_OI: Tensor) -> Tensor:
        """The numbers that stand for a matrix; scales become buffers."""
        raise NotImplementedError

    def matrix(self, dtype: torch.dtype) -> Tensor:
        """The matrix (O, I) that is computed with."""
        raise NotImplementedError

    def forward(self, input: Tensor) -> Tensor:
        device = input.device.type
        low = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if low else input.dtype
        with torch.autocast(device, enabled=False):
            bias_O = None if self.bias is None else self.bias.to(dtype)
            made: Tensor = _Product.apply(input.to(dtype), self, bias_O)
        return made


class Nf4Linear(FewBitsLinear):
    """Two weights a byte, each one of 16 numbers that are equally frequent in a normal distribution."""

    def store(self, weight_OI: Tensor) -> Tensor:
        packed, state = kernels().quantize_4bit(
            weight_OI.contiguous(), compress_statistics=True, quant_type="nf4"
        )
        parts = {"absmax": state.absmax, "code": state.code, "offset": state.offset}
        nested = {"nested_absmax": state.state2.absmax, "nested_code": state.state2.code}
        for name, value in (parts | nested).items():
            self.register_buffer(name, value)
        self.sizes = int(state.blocksize), int(state.state2.blocksize)
        kept: Tensor = packed
        return kept

    def matrix(self, dtype: torch.dtype) -> Tensor:
        own = kernels()
        size, nested_size = self.sizes
        nested = own.QuantState(
            self.nested_absmax, code=self.nested_code, blocksize=nested_size, dtype=torch.float32
        )
        state = own.QuantState(
            self.absmax, torch.Size((self.out_features, self.in_features)), self.code, size, "nf4",
            torch.float32, self.offset, nested,
        )  # fmt: skip
        made: Tensor = own.dequantize_4bit(self.weight, state)
        return made.to(dtype)


class Int8Linear(FewBitsLinear):
    """A byte a weight: whole numbers from -127 to 127, times the scale of the row."""

    def store(self, weight_OI: Tensor) -> Tensor:
        scale_O1 = weight_OI.abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 127
        self.register_buffer("scale", scale_O1)
        return (weight_OI / scale_O1).round().to(torch.int8)

    def matrix(self, dtype: torch.dtype) -> Tensor:
        scale_O1: Any = self.scale
        return (self.weight * scale_O1).to(dtype)


class _Product(torch.autograd.Function):
    """y = x W^T + b; keeps nothing, as W, which x's gradient needs, is made again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FewBitsLinear, bias_O: Tensor | None) -> Tensor:
        ctx.layer = layer
        return linear(x, layer.matrix(x.dtype), bias_O)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, None, None]:
        return (dy @ ctx.layer.matrix(dy.dtype) if ctx.needs_input_grad[0] else None), None, None


KINDS: dict[Quantization, type[FewBitsLinear]] = {Quantization.nf4: Nf4Linear, Quantization.int8: Int8Linear}


def quantise(model: PreTrainedModel, kind: Quantization) -> PreTrainedModel:
    """The model with the matrices of its decoder in few bits, in place; nothing of it is trained afterwards.

    Routers, experts and whatever else is no plain linear layer stay as they are, and so does the head.
    """
    model.requires_grad_(False)
    before = sum(p.nbytes for p in model.parameters())
    decoder = model.get_decoder()
    for name, module in list(decoder.named_modules()):
        if type(module) is nn.Linear:
            parent, _, child = name.rpartition(".")
            setattr(decoder.get_submodule(parent), child, KINDS[kind].of(module))
    after = sum(t.nbytes for t in (*model.parameters(), *(scale for _, scale in scales(model))))
    log.info("matrices in %s: %.2f GB of weights, which were %.2f GB", kind, after / 1e9, before / 1e9)
    return model


def few_bits(model: nn.Module) -> list[FewBitsLinear]:
    """The layers of a model whose matrices are in few bits."""
    return [module for module in model.modules() if isinstance(module, FewBitsLinear)]


def scales(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """By name, what is held of such matrices besides their numbers, which are parameters."""
    for name, module in model.named_modules():
        if isinstance(module, FewBitsLinear):
            yield from module.named_buffers(name, recurse=False)
