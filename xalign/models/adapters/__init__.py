"""One way of choosing what is trained a file; other packages add theirs by the entry point group
`xalign.adapters`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from xalign.base.registry import Registry
from xalign.config.parts import AdapterConfig
from xalign.models.adapters.base import Adapter

if TYPE_CHECKING:
    from xalign.models.backbone import Backbone

ADAPTERS: Registry[type[Adapter]] = Registry(
    "xalign.models.adapters", "ADAPTER", "xalign.adapters", skip=("base",)
)


def attach(backbone: "Backbone", config: AdapterConfig, seed: int = 0, *, layer: int = 0) -> Adapter:
    """Make a backbone trainable as configured; `layer` is the aligned one.

    Raises:
        ConfigError: an option does not fit the model.
    """
    return ADAPTERS.load(config.method)(backbone, config, seed, layer)


def on_other_weights(
    trained: Adapter, backbone: "Backbone", config: AdapterConfig, seed: int, *, layer: int
) -> Adapter:
    """The trained adapter on another copy of the model, such as one of which nothing is in few bits."""
    import torch

    adapter = attach(backbone, config, seed, layer=layer)
    values = dict(trained.backbone.named_parameters())
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(values[name])
    return adapter


@contextmanager
def as_begun(backbone: "Backbone", config: AdapterConfig, seed: int, *, layer: int) -> Iterator[None]:
    """Inside, the model that training begins with: with the adapter that goes on, where one does.

    Raises:
        ConfigError: an option does not fit the model.
    """
    if not config.goes_on:
        yield
        return
    adapter = attach(backbone, config, seed, layer=layer)
    try:
        backbone.eval()
        yield
    finally:
        adapter.detach()
