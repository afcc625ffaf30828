"""Low-rank adapters beside frozen weights, through peft, merged at the end: LoRA (Hu et al. 2022), and what
an option makes of it: DoRA (Liu et al. 2024), rsLoRA (Kalajdzievski 2023), PiSSA (Meng et al. 2024), others.
"""

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.errors import ConfigError
from xalign.config.choices import StrategyName
from xalign.config.parts import AdapterConfig, Positive
from xalign.config.problems import one_of
from xalign.models.adapters.base import Adapter
from xalign.models.adapters.new_rows import problems_of_rows

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from torch import Tensor, nn

    from xalign.config.schema import Config as Whole
    from xalign.models.backbone import Backbone
    from xalign.models.reference import Reference

log = logging.getLogger(__name__)

BEGINNINGS = ("true", "gaussian", "orthogonal", "olora", "pissa", "pissa_niter_[number]")
"""What `init_lora_weights` may be: beginnings that need no text. peft's others do, or change the model."""

CHANGING = ("pissa", "olora")
"""Begin with a part of the weights, which they take out of the frozen ones (first word)."""


class Lora(Adapter):
    """Trains two small matrices beside each linear layer; the model before training is had by leaving them
    out, or as they were at first."""

    @dataclass(frozen=True, kw_only=True)
    class Config(AdapterConfig):
        path: str | None = None
        """Folder of a LoRA adapter of `model` to go on training; null begins a new one. Rank, scale, dropout,
        targets and variant are that adapter's, and what is measured before training is the model with it."""
        r: Positive = 16
        """Rank of the low-rank adapters."""
        alpha: Annotated[float, Field(gt=0)] = 32.0
        """Scale of the low-rank adapters (the update is alpha / r * B A)."""
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
        """Dropout on the adapters' input. Above 0, results depend on how texts are divided over micro-batches
        and ranks, and a step takes a quarter more time."""
        target_modules: str | list[str] = "all-linear"
        """Modules that get adapters: peft's `all-linear`, a regular expression over module names, or a list
        of the ends of names."""
        use_dora: bool = False
        """DoRA: the size of each output is trained apart from the direction. A step takes longer."""
        use_rslora: bool = False
        """rsLoRA: the update is alpha / sqrt(r) * B A, which large ranks need."""
        init_lora_weights: bool | str = True
        """How adapters begin: `true` (B is 0), `gaussian`, `orthogonal`, or with a part of the weights:
        `pissa` (largest singular values), `pissa_niter_4` (the same, nearly, and faster), `olora` (QR). The
        exported adapter is then one of twice the rank, for the model as it is."""
        rank_pattern: dict[str, Positive] = field(default_factory=dict)
        """Other ranks: end of a module's name, or regular expression -> rank."""
        alpha_pattern: dict[str, Annotated[float, Field(gt=0)]] = field(default_factory=dict)
        """Other scales, likewise."""
        new_rows: bool = False
        """Whether the rows of pieces that `python -m xalign.vocabulary` added are trained as well."""

        @property
        def goes_on(self) -> bool:
            return self.path is not None

        @property
        def changes_weights(self) -> bool:
            return str(self.init_lora_weights).partition("_")[0] in CHANGING

        def problems(self, config: "Whole") -> Iterator[tuple[str, str]]:
            begins = str(self.init_lora_weights).lower()
            if begins not in BEGINNINGS and not re.fullmatch(r"pissa_niter_[1-9]\d*", begins):
                yield "init_lora_weights", one_of("", "", BEGINNINGS).partition(": ")[2]
            if self.changes_weights and self.use_dora:
                yield (
                    "use_dora",
                    f"not with init_lora_weights={begins}: no adapter of the model as it is",
                )
            if self.changes_weights and self.use_rslora and (self.rank_pattern or self.alpha_pattern):
                yield "use_rslora", f"with init_lora_weights={begins} neither rank_pattern nor alpha_pattern"
            if config.model.quantization is not None:
                few = f"not with model.quantization={config.model.quantization}"
                if self.changes_weights:
                    yield "init_lora_weights", f"{few}, which would round again what is left of the weights"
                if self.use_dora:
                    yield "use_dora", f"{few}: the norms of rounded weights are others"
            if self.use_dora and config.strategy.name is StrategyName.fsdp:
                yield "use_dora", "not with strategy=fsdp: it needs the norms of whole matrices"
            if self.new_rows:
                yield from (("new_rows", what) for what in problems_of_rows(config))
            if config.export.shares != (1.0, 1.0) or config.export.blends:
                if self.new_rows:
                    yield "new_rows", "not with export.blend: no share of the way of rows is taken"
                blend = "export.blend: no share of the way from the weights before to those after"
                if self.use_dora:
                    yield "use_dora", f"not with {blend} is a share of these adapters"
                if self.path is not None or self.changes_weights:
                    option = "path" if self.path is not None else "init_lora_weights"
                    yield option, f"not with {blend} is a share of adapters that do not begin at 0"

    trains_model = False
    peft: "PeftModel"
    began: "Mapping[nn.Parameter, Tensor]"
    """Trained parameters as they were at first, where adapters change the model from the beginning."""

    def attach(self, config: AdapterConfig, seed: int) -> None:
        import torch
        from peft import PeftModel, get_peft_model
        from torch import nn

        from xalign.models.low_rank import LowRankLinear
        from xalign.models.new_rows import train_new_rows
        from xalign.models.reference import trained_values

        assert isinstance(config, self.Config)
        self.config = config
        lora = self._new(config) if config.path is None else self._given(config, Path(config.path))
        # peft calls this experimental; it is how a layer of one's own is registered.
        lora._register_custom_module({nn.Linear: LowRankLinear})
        torch.manual_seed(seed)
        try:
            peft = get_peft_model(self.backbone.model, lora)
        except ValueError as error:
            raise ConfigError([f"adapter.target_modules={config.target_modules}: {error}"]) from error
        assert isinstance(peft, PeftModel)
        self.peft = peft
        if config.path is not None:
            self._take_up(config.path)
        self._require_merging(config.target_modules)
        self._round_others()
        if config.new_rows:
            train_new_rows(self.backbone.model, "adapter.new_rows=true")
        same = self._begins_at_nothing() and not config.new_rows
        self.began = {} if same else trained_values(self.backbone)

    def _new(self, config: "Lora.Config") -> "LoraConfig":
        from peft import LoraConfig

        return LoraConfig(
            task_type="CAUSAL_LM",
            r=config.r,
            lora_alpha=config.alpha,  # type: ignore[arg-type]  # peft divides; any number will do
            lora_dropout=config.dropout,
            target_modules=config.target_modules,
            exclude_modules=[*self.untrained, *self._not_adaptable()] or None,
            use_dora=config.use_dora,
            use_rslora=config.use_rslora,
            init_lora_weights=config.init_lora_weights,  # type: ignore[arg-type]  # pissa_niter_4
            rank_pattern=dict(config.rank_pattern),
            alpha_pattern=dict(config.alpha_pattern),
        )

    def _given(self, config: "Lora.Config", folder: Path) -> "LoraConfig":
        from peft import LoraConfig

        lora = LoraConfig.from_pretrained(str(folder))
        assert isinstance(lora, LoraConfig)
        lora.inference_mode = False
        former, base = lora.base_model_name_or_path, self.backbone.model.name_or_path
        if former and base and Path(former).name != Path(base).name:
            log.warning("adapter.path=%s was trained on %s, and goes on on %s", folder, former, base)
        return lora

    def _take_up(self, path: str) -> None:
        """The weights of the adapter that goes on.

        Raises:
            ConfigError: they are those of another model.
        """
        from peft.tuners.lora import LoraLayer

        where = f"adapter.path={path}"
        try:
            result = self.peft.load_adapter(path, "default", is_trainable=True)
        except RuntimeError as error:
            raise ConfigError(
                [f"{where}: an adapter of another model: {str(error).splitlines()[-1].strip()}"]
            ) from error
        if names := sorted([*result.missing_keys, *result.unexpected_keys]):
            raise ConfigError([f"{where}: an adapter of another model: {names[0]} is in one of them only"])
        otherwise = set(self._not_adaptable())
        for name, module in self.backbone.model.named_modules():
            if isinstance(module, LoraLayer):
                if f"{name}.base_layer" in otherwise:
                    raise ConfigError(
                        [f"{where}: has an adapter of {name}, which computes more than a product"]
                    )
                if module.get_base_layer() in self.untrained.values():
                    self.backbone.model.get_submodule(name).requires_grad_(False)

    def _begins_at_nothing(self) -> bool:
        from peft.tuners.lora import LoraLayer

        layers = [m for m in self.backbone.modules() if isinstance(m, LoraLayer)]
        ups = [p for m in layers for part in (m.lora_B, m.lora_embedding_B) for p in part.parameters()]
        return not any(bool(up.any()) for up in ups)

    def detach(self) -> None:
        """Make the backbone what it was before there was an adapter."""
        from xalign.models.rounding import unround

        self.backbone.model = self.peft.unload()
        unround(self.backbone.model)

    def _round_others(self) -> None:
        """The weights of frozen layers without adapters, once; beside an adapter `LowRankLinear` does it."""
        from peft.tuners.lora import LoraLayer
        from torch import nn

        from xalign.models.rounding import Rounded, round_once

        model = self.backbone.model
        layers = [m for m in model.modules() if isinstance(m, LoraLayer)]
        # Of variants the frozen product is left to the frozen layer.
        adapted = {m.get_base_layer() for m in layers if not m.lora_variant}
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

    def _require_merging(self, target_modules: str | list[str]) -> None:
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
        from xalign.models.reference import AsBegun, WithoutAdapters

        return AsBegun(self.backbone, self.began) if self.began else WithoutAdapters(self.backbone, self.peft)

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
        with warnings.catch_warnings(action="ignore"), TemporaryDirectory() as place:
            initial = None
            if self.config.changes_weights:
                # The adapter is of the weights as they were: what it began with is taken off again.
                initial = str(Path(place) / "initial")
                from xalign.models.reference import exchanged

                with exchanged(self.began):
                    self.peft.save_pretrained(initial, safe_serialization=True)
            self.peft.save_pretrained(
                str(folder), safe_serialization=True, path_initial_model_for_weight_conversion=initial
            )
        self.backbone.model = self.peft.merge_and_unload()

    def whole(self) -> "set[nn.Parameter]":
        from peft.tuners.lora import LoraLayer

        layers = [m for m in self.backbone.modules() if isinstance(m, LoraLayer)]
        parts = [part for m in layers for part in (m.lora_A, m.lora_B, m.lora_magnitude_vector)]
        return {p for part in parts for p in part.parameters()}


def _in_kernel(mixer: "nn.Module", name: str) -> bool:
    """Whether the layer is a part of a state-space mixer whose weight fused kernels take, and not what it
    computes (peft refuses adapters there, too)."""
    return hasattr(mixer, "A_log") and name.rpartition(".")[2] in ("out_proj", "dt_proj")


def _is_product(layer: "nn.Linear") -> bool:
    """Whether a linear layer computes what its class says: the routers of some mixtures do more."""
    import torch
    from torch import nn

    from xalign.models.few_bits import FewBitsLinear

    if type(layer).forward in (nn.Linear.forward, FewBitsLinear.forward):
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
