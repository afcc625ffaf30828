"""A frozen linear layer with a low-rank adapter, in as few passes over memory as the method allows.

Shapes: T tokens, I inputs, O outputs, R rank.
"""

from typing import Any

import torch
from peft.tuners import lora
from torch import Tensor, nn

from xalign.models.few_bits import FewBitsLinear
from xalign.models.rounding import Rounded


class LowRankLinear(lora.Linear):
    """peft's layer, whose plain case (one adapter, no dropout, not merged) is computed by one function.

    peft casts the input to the adapter's float32 and back, scales and adds in passes of their own, and under
    autocast the frozen weight is rounded in every pass: a quarter of the time of the frozen product itself.
    Here the weight is rounded once, and the adapter's product is added where the frozen one was written.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rounded = Rounded()

    def _get_base_layer_device_and_dtype(self, base_layer: nn.Module) -> tuple[torch.device | None, None]:
        # Adapters stay as they are drawn, in float32: peft would round them to the type of a frozen weight.
        device, _ = super()._get_base_layer_device_and_dtype(base_layer)
        return device, None

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        base = self.get_base_layer()
        assert isinstance(base, nn.Linear)
        if not self._is_plain() or base.weight.requires_grad or isinstance(base, FewBitsLinear):
            result: Tensor = super().forward(x, *args, **kwargs)
            return result
        device = x.device.type
        low = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if low else base.weight.dtype
        x, weight_OI = x.to(dtype), self._rounded(base.weight, dtype)
        bias_O = None if base.bias is None else base.bias.to(dtype)
        with torch.autocast(device, enabled=False):
            if self.disable_adapters:
                return nn.functional.linear(x, weight_OI, bias_O)
            (name,) = self.active_adapters
            down_RI, up_OR = self.lora_A[name].weight.to(dtype), self.lora_B[name].weight.to(dtype)
            made = _LowRank.apply(x.flatten(0, -2), weight_OI, bias_O, down_RI, up_OR, self.scaling[name])
            return made.unflatten(0, x.shape[:-1])

    def _is_plain(self) -> bool:
        if self.merged or len(self.active_adapters) != 1 or self.lora_variant:
            return False
        (name,) = self.active_adapters
        return not self.training or not isinstance(self.lora_dropout[name], nn.Dropout)


class _LowRank(torch.autograd.Function):
    """y = x W^T + b + s (x A^T) B^T (Hu et al. 2022, LoRA, equation 3), with no gradient of W and b."""

    @staticmethod
    def forward(
        ctx: Any,
        x_TI: Tensor,
        weight_OI: Tensor,
        bias_O: Tensor | None,
        down_RI: Tensor,
        up_OR: Tensor,
        scale: float,
    ) -> Tensor:
        low_TR = x_TI @ down_RI.T
        y_TO = nn.functional.linear(x_TI, weight_OI, bias_O)
        y_TO.addmm_(low_TR, up_OR.T, alpha=scale)
        ctx.save_for_backward(x_TI, low_TR, weight_OI, down_RI, up_OR)
        ctx.scale = scale
        return y_TO

    @staticmethod
    def backward(ctx: Any, dy_TO: Tensor) -> tuple[Tensor | None, ...]:
        x_TI, low_TR, weight_OI, down_RI, up_OR = ctx.saved_tensors
        dlow_TR = (dy_TO @ up_OR).mul_(ctx.scale)
        dx_TI = None
        if ctx.needs_input_grad[0]:
            dx_TI = dy_TO @ weight_OI
            dx_TI.addmm_(dlow_TR, down_RI)
        ddown_RI = dlow_TR.T @ x_TI
        dup_OR = (dy_TO.T @ low_TR).mul_(ctx.scale)
        return dx_TI, None, None, ddown_RI, dup_OR, None
