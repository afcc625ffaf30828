"""Folders with a peft adapter in the place of a model: what they are adapters of, seen without torch.

An adapter's base may be another adapter's folder: they are stacked, and merged from the innermost on.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xalign.base.errors import ModelError
from xalign.models.own_path import listing, problem_of_path

CONFIG = "adapter_config.json"
"""File that makes a folder, or a repository on the hub, one of a peft adapter."""

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")

UNMERGEABLE = (
    "ADAPTION_PROMPT",
    "CARTRIDGE",
    "CPT",
    "MULTITASK_PROMPT_TUNING",
    "POLY",
    "PREFIX_TUNING",
    "PROMPT_TUNING",
    "P_TUNING",
    "SHADOW",
    "XLORA",
)
"""peft's types that change what a model reads, or choose anew for each text: no change of weights. A test
compares with what peft says of itself."""


UNREPEATABLE = ("corda", "loftq", "lora_ga", "pissa_niter")
"""Beginnings of LoRA that change the base's weights by text, chance or quantisation; `pissa` and `olora`,
which do so by the weights alone, peft repeats when it loads them."""


@dataclass(frozen=True)
class Stack:
    """A base, by folder or hub id, and the folders of adapters on it, the innermost first."""

    base: str
    revision: str | None
    """Of a base on the hub, where an adapter names one."""
    adapters: tuple[Path, ...]

    @property
    def tokenizer(self) -> Path | None:
        """The outermost adapter's folder that holds a tokenizer; None: the base's is the one."""
        own = (folder for folder in reversed(self.adapters) if any((folder / f).is_file() for f in TOKENIZER))
        return next(own, None)


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds the config of a peft adapter."""
    return (folder / CONFIG).is_file()


def stack_of(folder: Path) -> Stack:
    """What an adapter's folder stands on, as far as it lies on this machine.

    Raises:
        ModelError: one of the folders is damaged, or its base is not there.
    """
    adapters: list[Path] = []
    while True:
        if folder.resolve() in [other.resolve() for other in adapters]:
            raise ModelError(f"{CONFIG} in {folder}: the adapter is its own base, by way of its base")
        config = adapter_config(folder)
        adapters.insert(0, folder)
        base, revision = _base_of(folder, config), config.get("revision")
        if not Path(base).is_dir() or not is_adapter(Path(base)):
            return Stack(base, str(revision) if revision else None, tuple(adapters))
        folder = Path(base)


def adapter_config(folder: Path) -> dict[str, Any]:
    """The content of an adapter's config.

    Raises:
        ModelError: a whole model is in the folder, too; the config is damaged or of a kind that cannot be
            merged, or its weights are not there.
    """
    if whole := sorted(_whole_models(folder)):
        raise ModelError(
            f"holds a whole model ({whole[0]}) and a peft adapter ({CONFIG}): which of them is meant cannot "
            f"be seen; with {CONFIG} and adapter_model.* in a folder of their own, that one is the adapter "
            "merged into its base, and this one the model as it is"
        )
    where = f"{CONFIG} in {folder}"
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{where} is not a valid JSON file: {error}") from None
    if not isinstance(config, dict):
        raise ModelError(f"{where} holds {json.dumps(config)[:40]}, a JSON object is needed")
    kind = config.get("peft_type")
    if not isinstance(kind, str):
        raise ModelError(f"{where} has no peft_type: nothing says what kind of adapter it is")
    if kind in UNMERGEABLE:
        raise ModelError(
            f"{where}: an adapter of the type {kind} is no change of weights, so that it cannot be merged "
            "into a whole model"
        )
    if (begun := str(config.get("init_lora_weights")).lower()).startswith(UNREPEATABLE):
        raise ModelError(
            f"{where}: init_lora_weights={begun} has changed the base's weights in a way that only the run "
            "itself knows; save it with peft's path_initial_model_for_weight_conversion"
        )
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise ModelError(f"{where}: its weights, {WEIGHTS[0]}, are not there (it holds {listing(folder)})")
    return config


def _whole_models(folder: Path) -> Iterator[str]:
    for pattern in ("model*.safetensors", "pytorch_model*.bin", "*.gguf"):
        yield from (path.name for path in folder.glob(pattern))


def _base_of(folder: Path, config: Mapping[str, Any]) -> str:
    """The base as a folder where there is one: beside the adapter, or from here; else as a hub id."""
    name = config.get("base_model_name_or_path")
    where = f"{CONFIG} in {folder}"
    if not isinstance(name, str) or not name:
        raise ModelError(
            f"{where} has no base_model_name_or_path: nothing says which model the adapter is of; "
            "write the base's folder or hub id there"
        )
    places = (folder / name, folder.parent / name, Path(name))
    if found := next((place for place in places if place.is_dir()), None):
        return str(found)
    if problem := problem_of_path(name):
        beside = "" if Path(name).is_absolute() else f", nor beside the adapter in {folder.parent}"
        raise ModelError(
            f"{where}: the adapter's base is base_model_name_or_path={name}: {problem}{beside}; write where "
            "it is now"
        )
    return name
