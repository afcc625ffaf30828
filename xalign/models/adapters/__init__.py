"""One way of choosing what is trained a file; other packages add theirs by the entry point group
`xalign.adapters`."""

from typing import TYPE_CHECKING

from xalign.models.adapters.base import Adapter, AdapterConfig

if TYPE_CHECKING:
    from xalign.models.backbone import Backbone

METHODS = ("full", "full_frozen_embeddings", "lora")


def load(method: str) -> type[Adapter]:
    """The class of a method."""
    from importlib import import_module

    module = import_module(f"{__name__}.{method}")
    found: type[Adapter] = module.ADAPTER
    return found


def attach(backbone: "Backbone", config: AdapterConfig, seed: int = 0) -> Adapter:
    """Make a backbone trainable as configured.

    Raises:
        ConfigError: an option does not fit the model.
    """
    return load(config.method)(backbone, config, seed)
