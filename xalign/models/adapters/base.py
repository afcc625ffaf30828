"""What an adapter is: which parameters are trained, how the model before training is had, what is exported.

Importing this module, and those of adapters, is cheap: the configuration is checked before torch is imported.
"""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from xalign.config.parts import AdapterConfig

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

    def __init__(self, backbone: "Backbone", config: AdapterConfig, seed: int) -> None:
        self.backbone = backbone
        beside = backbone.beside_text()
        self.attach(config, seed)
        for module in beside.values():
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

    def merge(self, folder: Path) -> None:
        """Make the backbone a plain model again, with what was trained in it; what is of use apart from it is
        written to `folder`. The adapter is of no use afterwards."""

    def whole(self) -> "set[nn.Parameter]":
        """Parameters that every rank keeps whole where the model is sharded."""
        return set()
