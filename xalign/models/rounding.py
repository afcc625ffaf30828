"""Frozen weights in the arithmetic of training, rounded once instead of anew in every pass."""

from dataclasses import dataclass

import torch
from torch import Tensor


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
