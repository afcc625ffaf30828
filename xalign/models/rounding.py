"""Weights that stay as they are, in the arithmetic of the matrix products: rounded once, not in every pass.

Autocast rounds the weight of a linear layer anew whenever it is run, unless it is trained: where texts are
short, that is a third of the time. The numbers are the same.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class Rounded:
    """Keeps the latest rounding of a weight; made again where the weight has changed."""

    made_of: tuple[object, ...] = ()
    value: Tensor | None = None

    def __call__(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """The weight in `dtype`, without gradient; itself where it has that dtype."""
        weight = weight.detach()
        if weight.dtype is dtype:
            return weight
        # torch counts changes in place here, and nowhere else.
        now = (weight.data_ptr(), weight._version, weight.device, dtype)
        if self.value is None or self.made_of != now:
            self.made_of, self.value = now, weight.to(dtype)
        return self.value

    def forget(self) -> None:
        """Give its memory back."""
        self.made_of, self.value = (), None


class RoundedLinear(nn.Linear):
    """A linear layer of which autocast does not round the weight again. It gives the weight no gradient."""

    rounded: Rounded

    def forward(self, input: Tensor) -> Tensor:
        device = input.device.type
        if not torch.is_autocast_enabled(device):
            return super().forward(input)
        weight_OI = self.rounded(self.weight, torch.get_autocast_dtype(device))
        return nn.functional.linear(input, weight_OI, self.bias)


def round_once(layer: nn.Linear, rounded: Rounded) -> None:
    """Make a plain linear layer, whose weight is not going to be trained, a `RoundedLinear`, in place."""
    assert type(layer) is nn.Linear
    layer.__class__ = RoundedLinear
    layer.rounded = rounded  # type: ignore[assignment]


def unround(model: nn.Module) -> None:
    """Plain layers again, in place of every `RoundedLinear` of a model."""
    for layer in model.modules():
        if isinstance(layer, RoundedLinear):
            layer.__class__ = nn.Linear  # type: ignore[assignment]
            del layer.rounded


@contextmanager
def rounding_once(layers: Mapping[nn.Linear, Rounded]) -> Iterator[None]:
    """`round_once` inside, plain layers again afterwards."""
    for layer, rounded in layers.items():
        round_once(layer, rounded)
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Linear
            del layer.rounded
