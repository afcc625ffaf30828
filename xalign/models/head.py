"""From final hidden states to logits: what a model does besides a product, found by trying.

Shapes: S positions, D hidden size, V vocabulary.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

TOLERANCE = 1e-5
"""Relative difference that float32 rounding makes."""

ROWS = 4096
"""Of a head in lower precision, words whose logits are looked at."""

LARGE = 10.0
"""Size of the hidden states that are tried: so large that a bound on the logits shows."""


@dataclass(frozen=True)
class HeadForm:
    """logits = cap * tanh(scale * (W h + b) / cap), or without cap and tanh where `softcap` is None."""

    scale: float = 1.0
    softcap: float | None = None

    def __call__(self, product: Tensor) -> Tensor:
        product = product * self.scale if self.scale != 1.0 else product
        return self.softcap * torch.tanh(product / self.softcap) if self.softcap else product


def form_of_head(model: PreTrainedModel, decoder_name: str) -> HeadForm | None:
    """The form of a model's head; None: another one, to be run as the model runs it (`own_logits`).

    Cohere, Granite and MiniCPM scale their logits, Gemma and xLSTM bound them; the names of these values in
    configs are many, so that they are taken from what the model computes.
    """
    head = model.get_output_embeddings()
    weight = getattr(head, "weight", None)
    if not isinstance(head, nn.Linear) or not isinstance(weight, Tensor) or weight.is_meta:
        return None
    with torch.no_grad(), _in_float32(head):
        weight, generator = head.weight, torch.Generator().manual_seed(0)
        hidden_SD = torch.randn(4, weight.shape[1], generator=generator).to(weight) * LARGE
        try:
            own_SV = own_logits(model, decoder_name, hidden_SD)
        except Exception:  # whatever a model's own code raises where its decoder is not
            return None
        product_SV = linear(hidden_SD, weight, head.bias)
        if own_SV.shape != product_SV.shape:
            return None
        forms = {}
        for cap in (None, *_caps(model.config.get_text_config())):
            near = own_SV.abs() < (0.9 * cap if cap else math.inf)
            x, y = product_SV[near], own_SV[near]
            y = y if cap is None else cap * torch.atanh(y / cap)
            form = HeadForm(_exact(float((x @ y) / (x @ x).clamp(min=1e-12)), model.config), cap)
            forms[form] = float((form(product_SV) - own_SV).norm() / own_SV.norm().clamp(min=1e-12))
        best = min(forms, key=lambda form: forms[form])
        return best if forms[best] <= TOLERANCE else None


@contextmanager
def _in_float32(head: nn.Linear) -> Iterator[None]:
    """Inside, the first rows of a head that is kept in lower precision, which would hide its form."""
    kept = [(p, p.data) for p in head.parameters() if p.dtype != torch.float32]
    for parameter, values in kept:
        parameter.data = values[:ROWS].float()
    try:
        yield
    finally:
        for parameter, values in kept:
            parameter.data = values


def own_logits(model: PreTrainedModel, decoder_name: str, hidden_SD: Tensor) -> Tensor:
    """Logits (S, V) as the model's own forward pass makes them of final hidden states."""
    with _given(model, decoder_name, hidden_SD[None]):
        ids_1S = torch.zeros(1, len(hidden_SD), dtype=torch.long, device=hidden_SD.device)
        logits_SV: Tensor = model(input_ids=ids_1S, use_cache=False).logits[0]
    return logits_SV


class _Output(BaseModelOutputWithPast):
    """What else a model looks for in its decoder's output is not there."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


class _Given(nn.Module):
    """Stands in the place of a decoder, whose output is known."""

    def __init__(self, part: nn.Module, hidden_1SD: Tensor) -> None:
        super().__init__()
        self.__dict__["part"] = part
        self.__dict__["output"] = _Output(last_hidden_state=hidden_1SD)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["part"], name)

    def forward(self, *args: object, **options: object) -> _Output:
        output: _Output = self.__dict__["output"]
        return output


@contextmanager
def _given(model: PreTrainedModel, name: str, hidden_1SD: Tensor) -> Iterator[None]:
    within, _, own = name.rpartition(".")
    holder, part = model.get_submodule(within), model.get_submodule(name)
    # By the table of parts: an attribute's setter may refuse what is no part of the model's kind.
    holder._modules[own] = _Given(part, hidden_1SD)
    try:
        yield
    finally:
        holder._modules[own] = part


def _numbers(config: PreTrainedConfig) -> dict[str, float]:
    values = {**config.to_dict(), **config.get_text_config().to_dict()}
    own = {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {name: float(value) for name, value in own.items() if 0 < abs(value) < math.inf}


def _caps(config: PreTrainedConfig) -> list[float]:
    return [
        v for name, v in _numbers(config).items() if "cap" in name and ("logit" in name or "soft" in name)
    ]


def _exact(ratio: float, config: PreTrainedConfig) -> float:
    """The number in the config that a measured ratio is, but for rounding; itself where there is none."""
    candidates = [1.0, *(form for v in _numbers(config).values() for form in (v, 1 / v))]
    nearest = min(candidates, key=lambda value: abs(value - ratio))
    return nearest if abs(nearest - ratio) <= 1e-5 * abs(ratio) else ratio
