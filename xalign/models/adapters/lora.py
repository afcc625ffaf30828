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
            exclude_modules=[*self.untrained, *self._otherwise_linear()] or None,
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

    def _otherwise_linear(self) -> list[str]:
        """Names of linear layers that compute more than a product, as the routers of some mixtures do."""
        from torch import nn

        modules = self.backbone.model.named_modules()
        linear = [(name, module) for name, module in modules if isinstance(module, nn.Linear)]
        return [name for name, module in linear if type(module).forward is not nn.Linear.forward]

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


ADAPTER = Lora
