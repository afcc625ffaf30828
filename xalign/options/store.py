"""The schemas as Hydra composes against them."""

from dataclasses import is_dataclass
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from xalign.config.schema import SCHEMAS
from xalign.options.composed import composed_schema


def register() -> None:
    """Put the schemas into Hydra's ConfigStore, by the names of `SCHEMAS`."""
    store = ConfigStore.instance()
    for name, kind in SCHEMAS.items():
        store.store(name=name, node=_writable(OmegaConf.structured(composed_schema(kind))))


def _writable(node: DictConfig) -> DictConfig:
    """The schema as composition can fill it; keys may be added where it says `dict`."""
    # OmegaConf marks configs of frozen dataclasses read-only.
    OmegaConf.set_readonly(node, None)
    kind: Any = OmegaConf.get_type(node)
    if kind is dict:
        OmegaConf.set_struct(node, False)
        return node
    for name, hint in get_type_hints(kind).items():
        if OmegaConf.is_missing(node, name) and is_dataclass(hint):
            node[name] = OmegaConf.structured(hint)  # or what lies in it could not be marked
        # OmegaConf gives a node's value alone; flags are the node's.
        child = node._get_node(name)
        if isinstance(child, DictConfig):
            if child._is_none():
                OmegaConf.set_readonly(child, None)
            else:
                _writable(child)
    return node
