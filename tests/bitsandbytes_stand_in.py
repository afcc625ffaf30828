"""bitsandbytes' two kernels of nf4 in torch, where the package itself is not installed."""

import sys
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor

from xalign.models import few_bits, loading

CODE = torch.tensor([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023,
    1.0,
])  # fmt: skip
"""Dettmers et al. 2023 (QLoRA), appendix E."""

NESTED = torch.linspace(-1, 1, 256)


class QuantState:
    def __init__(
        self,
        absmax: Tensor,
        shape: Any = None,
        code: Any = None,
        blocksize: int = 0,
        quant_type: str = "",
        dtype: Any = None,
        offset: Any = None,
        state2: Any = None,
    ) -> None:
        self.absmax, self.shape, self.code, self.blocksize = absmax, shape, code, blocksize
        self.dtype, self.offset, self.state2 = dtype, offset, state2


def _nearest(values: Tensor, code: Tensor) -> Tensor:
    return (values[:, None] - code).abs().argmin(1).to(torch.uint8)


def quantize_4bit(weight: Tensor, compress_statistics: bool, quant_type: str) -> tuple[Tensor, QuantState]:
    assert compress_statistics
    assert quant_type == "nf4"
    blocks = weight.reshape(-1, 64)
    largest = blocks.abs().amax(1)
    offset = largest.mean()
    nested_largest = (largest - offset).abs().amax().reshape(1).clamp(min=1e-12)
    nested = QuantState(nested_largest, code=NESTED, blocksize=256)
    state = QuantState(
        _nearest((largest - offset) / nested_largest, NESTED), weight.shape, CODE, 64, "nf4", weight.dtype,
        offset, nested,
    )  # fmt: skip
    numbers = _nearest((blocks / largest[:, None]).flatten(), CODE).reshape(-1, 2)
    return (numbers[:, :1] << 4) | numbers[:, 1:], state


def dequantize_4bit(packed: Tensor, state: QuantState) -> Tensor:
    numbers = torch.cat([packed >> 4, packed & 15], dim=1).flatten().long()
    largest = NESTED[state.absmax.long()] * state.state2.absmax + state.offset
    return (CODE[numbers].reshape(-1, 64) * largest[:, None]).reshape(state.shape)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let xalign find the package, or this; peft, which would look for more in it, finds neither."""
    if find_spec("bitsandbytes") is None:
        monkeypatch.setattr(few_bits, "kernels", lambda: sys.modules[__name__])
        monkeypatch.setattr(loading, "find_spec", lambda name: object())
