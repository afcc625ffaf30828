"""Low-rank adapters beside frozen weights, through peft (Hu et al. 2022), merged at the end."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.errors import ConfigError
from xalign.config.parts import AdapterConfig
from xalign.models.adapters.base import Adapter

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import nn

    from xalign.models.backbone import Backbone
    from xalign.models.reference import Reference


class Lora(Adapter):
    """Trains two small matrices beside each linear layer; the model before training is had by leaving them
    out."""

    @dataclass(frozen=True, kw_only=True)
    class Config(AdapterConfig):
        r: Annotated[int, Field(gt=0)] = 16
        """Rank of the low-rank adapters."""
        alpha: Annotated[float, Field(gt=0)] = 32.0
        """Scale of the low-rank adapters (the update is alpha / r * B A)."""
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
        """Dropout on the adapters' input. Above 0, results depend on how texts are divided over micro-batches
        and ranks, and a step takes a quarter more time."""
        target_modules: str = "all-linear"
        """Modules that get adapters: peft's `all-linear`, or a regular expression over module names."""

    trains_model = False
    peft: "PeftModel"

    def attach(self, config: AdapterConfig, seed: int) -> None:
        import torch
        from peft import LoraConfig, PeftModel, get_peft_model
        from torch import nn

        from xalign.models.low_rank import LowRankLinear

        assert isinstance(config, self.Config)
        lora = LoraConfig(
            task_type="CAUSAL_LM",
            r=config.r,
            lora_alpha=config.alpha,  # type: ignore[arg-type]  # peft divides; any number will do
            lora_dropout=config.dropout,
            target_modules=config.target_modules,
            exclude_modules=[*self.untrained, *self._not_adaptable()] or None,
        )
        # peft calls this experimental; it is how a layer of one's own is registered.
        lora._register_custom_module({nn.Linear: LowRankLinear})
        torch.manual_seed(seed)
        try:
            peft = get_peft_model(self.backbone.model, lora)
        except ValueError as error:
            raise ConfigError([f"adapter.target_modules={config.target_modules}: {error}"]) from error
        assert isinstance(peft, PeftModel)
        self.peft = peft
        self._require_merging(config.target_modules)
        self._round_others()

    def _round_others(self) -> None:
        """The weights of frozen layers without adapters, once; beside an adapter `LowRankLinear` does it."""
        from peft.tuners.lora import LoraLayer
        from torch import nn

        from xalign.models.rounding import Rounded, round_once

        model = self.backbone.model
        adapted = {m.get_base_layer() for m in model.modules() if isinstance(m, LoraLayer)}
        for module in {*model.modules()} - adapted - {model.get_output_embeddings()}:
            if type(module) is nn.Linear and not module.weight.requires_grad:
                round_once(module, Rounded())

    def _not_adaptable(self) -> list[str]:
        """Names of linear layers whose adapter would compute something else once it is merged."""
        from torch import Tensor, nn

        names: dict[nn.Module, list[str]] = {}
        holders: dict[Tensor, set[nn.Module]] = {}
        model = self.backbone.model
        for name, module in model.named_modules(remove_duplicate=False):
            names.setdefault(module, []).append(name)
            for parameter in module.parameters(recurse=False):
                holders.setdefault(parameter, set()).add(module)
        ends = {model.get_input_embeddings(), model.get_output_embeddings()}  # see `_require_merging`
        found = []
        for module, own in names.items():
            if isinstance(module, nn.Linear):
                mixer = model.get_submodule(own[0].rpartition(".")[0])
                shared = len(own) > 1 or (module not in ends and len(holders[module.weight]) > 1)
                if shared or _in_kernel(mixer, own[0]) or not _is_product(module):
                    found += own
        return found

    def _require_merging(self, target_modules: str) -> None:
        """Adapters of a head or of embeddings that are one matrix would, merged, change both."""
        from peft.tuners.lora import LoraLayer

        model = self.backbone.model
        ends = model.get_input_embeddings(), model.get_output_embeddings()
        weights = [e.get_base_layer().weight if isinstance(e, LoraLayer) else e.weight for e in ends]
        if weights[0] is weights[1] and any(isinstance(e, LoraLayer) for e in ends):
            raise ConfigError(
                [
                    f"adapter.target_modules={target_modules}: matches the head or the embeddings, which are "
                    "one matrix in this model: an adapter of one of them could not be merged; leave them out"
                ]
            )

    def reference(self) -> "Reference":
        from xalign.models.reference import WithoutAdapters

        return WithoutAdapters(self.backbone, self.peft)

    def blend(self, below: float, above: float, before: "Callable[[], Backbone]") -> None:
        """In the adapters themselves, which so are what the merged weights are."""
        import torch
        from peft.tuners.lora import LoraLayer

        makers = self.backbone.makers_of(self.layer)
        with torch.no_grad():
            for module in self.backbone.modules():
                if isinstance(module, LoraLayer):
                    for weight in module.lora_B.parameters():
                        weight.mul_(below if weight in makers else above)

    def merge(self, folder: Path) -> None:
        self.peft.save_pretrained(str(folder), safe_serialization=True)
        self.backbone.model = self.peft.merge_and_unload()

    def whole(self) -> "set[nn.Parameter]":
        from peft.tuners.lora import LoraLayer

        layers = [m for m in self.backbone.modules() if isinstance(m, LoraLayer)]
        return {p for m in layers for part in (m.lora_A, m.lora_B) for p in part.parameters()}


def _in_kernel(mixer: "nn.Module", name: str) -> bool:
    """Whether the layer is a part of a state-space mixer whose weight fused kernels take, and not what it
    computes (peft refuses adapters there, too)."""
    return hasattr(mixer, "A_log") and name.rpartition(".")[2] in ("out_proj", "dt_proj")


def _is_product(layer: "nn.Linear") -> bool:
    """Whether a linear layer computes what its class says: the routers of some mixtures do more."""
    import torch
    from torch import nn

    if type(layer).forward is nn.Linear.forward:
        return True
    with torch.no_grad():
        inputs_2I = torch.randn(2, layer.in_features, generator=torch.Generator().manual_seed(0))
        inputs_2I = inputs_2I.to(layer.weight)
        try:
            found = layer(inputs_2I)
        except Exception:  # it wants more than an input
            return False
        wanted_2O = nn.functional.linear(inputs_2I, layer.weight, layer.bias)
        return isinstance(found, torch.Tensor) and torch.allclose(found, wanted_2O, rtol=1e-4, atol=1e-5)


ADAPTER = Lora
