"""What an adapter is: which parameters are trained, how the model before training is had, what is exported.

Importing this module, and those of adapters, is cheap: the configuration is checked before torch is imported.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from xalign.config.parts import AdaptedLayers, AdapterConfig

if TYPE_CHECKING:
    from torch import nn

    from xalign.models.backbone import Backbone
    from xalign.models.reference import Reference


class Adapter:
    """The trained part of a backbone. Making one marks the trainable parameters, and inserts those that are
    new. What text does not run through, as a multimodal model's part for pictures, is never trained.

    A subclass has a nested frozen dataclass `Config`, derived from `AdapterConfig`: its options.
    """

    Config: ClassVar[type[AdapterConfig]] = AdapterConfig
    trains_model: ClassVar[bool] = True
    """Whether the model's own parameters are trained, and not only new ones beside them."""

    def __init__(self, backbone: "Backbone", config: AdapterConfig, seed: int, layer: int) -> None:
        self.backbone, self.layer = backbone, layer
        self.untrained = backbone.beside_text() | _other_layers(backbone, config.layers, layer)
        """Modules by name of which nothing is trained."""
        self.attach(config, seed)
        for module in self.untrained.values():
            module.requires_grad_(False)

    def attach(self, config: AdapterConfig, seed: int) -> None:
        """Mark what is trained, in place; what is new is drawn from the seed.

        Raises:
            ConfigError: an option does not fit the model.
        """
        raise NotImplementedError

    def reference(self) -> "Reference":
        """The model before training, to be asked for before the first step: a frozen copy of what is
        trained."""
        from xalign.models.reference import FrozenCopy

        return FrozenCopy(self.backbone)

    def blend(self, below: float, above: float, before: "Callable[[], Backbone]") -> None:
        """Take what was trained only part of the way, in place: W_before + share (W_trained - W_before).

        The share is `below` of weights that the aligned layer is made by, `above` of the others. `before`
        loads the model before training again, where it is needed: exact in any arithmetic.
        """
        import torch

        makers = self.backbone.makers_of(self.layer)
        former = dict(before().model.named_parameters())
        with torch.no_grad():
            for name, parameter in self.backbone.model.named_parameters():
                if parameter.requires_grad:
                    trained, own = parameter.clone(), former[name].to(parameter)
                    parameter.copy_(torch.lerp(own, trained, below if parameter in makers else above))

    def detach(self) -> None:
        """Make the backbone what it was before there was an adapter; asked of those that `goes_on`."""
        raise NotImplementedError

    def merge(self, folder: Path) -> None:
        """Make the backbone a plain model again, with what was trained in it; what is of use apart from it is
        written to `folder`. The adapter is of no use afterwards."""

    def whole(self) -> "set[nn.Parameter]":
        """Parameters that every rank keeps whole where the model is sharded."""
        return set()


def _other_layers(backbone: "Backbone", layers: AdaptedLayers, layer: int) -> "dict[str, nn.Module]":
    """Modules by name, with parameters of their own, that are not of the layers to be trained.

    Below are all that the aligned layer is made by, also what stands before the first block; a head that is
    one matrix with the embeddings is among them.
    """
    if layers is AdaptedLayers.all:
        return {}
    below = backbone.makers_of(layer)
    found = {}
    for name, module in backbone.model.named_modules():
        own = set(module.parameters(recurse=False))
        if own and (own <= below) is not (layers is AdaptedLayers.below):
            found[name] = module
    return found
