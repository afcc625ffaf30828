"""An adapter that goes on (`adapter.path`): its rank, scale, targets and variant are those of its own config.

`adapter.path=DIR` composes to a record in which the preset's rank stands beside the path. The preset is
therefore composed a second time, as `preset.adapter` (conf/config.yaml): what differs from it was given.

Imports neither torch nor peft.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xalign.base.errors import ModelError
from xalign.config.schema import PRESET
from xalign.models.adapter_folder import CONFIG, adapter_config

_OWN = {
    "r": ("r", 8),
    "alpha": ("lora_alpha", 8),
    "dropout": ("lora_dropout", 0.0),
    "target_modules": ("target_modules", "all-linear"),
    "use_dora": ("use_dora", False),
    "use_rslora": ("use_rslora", False),
    "rank_pattern": ("rank_pattern", {}),
    "alpha_pattern": ("alpha_pattern", {}),
}
"""Key of `adapter` -> peft's, and its default there. `init_lora_weights` says how it began, which is past."""

_PASSED_OVER = {
    "auto_mapping", "base_model_name_or_path", "bias", "exclude_modules", "fan_in_fan_out",
    "inference_mode", "init_lora_weights", "layers_pattern", "layers_to_transform", "megatron_core",
    "peft_type", "peft_version", "qalora_group_size", "revision", "runtime_config", "task_type",
}  # fmt: skip
"""Of peft's, what changes nothing of how the adapter is trained, or is taken from its config as it is."""


_CHANGING = ("corda", "loftq", "lora_ga", "olora", "pissa")
"""Beginnings that take a part of the base's weights."""


def settle_adapter(values: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """Composed values whose `adapter` has the options of the one that goes on; a folder that is not there is
    left to whoever looks paths up."""
    adapter = values.get("adapter")
    if not isinstance(adapter, Mapping) or adapter.get("method") != "lora" or adapter.get("path") is None:
        return dict(values)  # another method has no such key, which is said with the others
    folder = Path(str(adapter["path"])).expanduser()
    if not folder.is_dir():
        return dict(values)
    where = f"adapter.path={adapter['path']}"
    if not (folder / CONFIG).is_file():
        problems.append(f"{where}: no {CONFIG} in this folder, so it is no peft adapter")
        return dict(values)
    try:
        config = adapter_config(folder)
    except ModelError as error:
        problems.append(f"{where}: {error}")
        return dict(values)
    problems += [f"{where}: {problem}" for problem in _problems(config)]
    own = {key: _plain(config.get(name) or default) for key, (name, default) in _OWN.items()}
    preset = (values.get(PRESET) or {}).get("adapter") or {}
    given = {key: value for key, value in adapter.items() if key in _OWN and value != preset.get(key)}
    problems += [
        f"adapter.{key}={value}: the adapter at adapter.path has {own[key]}; leave it out"
        for key, value in given.items()
        if _plain(value) != own[key]
    ]
    return {**values, "adapter": {**adapter, **own}}


def _problems(config: Mapping[str, Any]) -> list[str]:
    if config["peft_type"] != "LORA":
        return [f"is of the type {config['peft_type']}; only LORA can go on"]
    if (
        str(config.get("init_lora_weights", True))
        .lower()
        .startswith(("pissa", "olora", "corda", "loftq", "lora_ga"))
    ):
        return [
            f"init_lora_weights={config['init_lora_weights']}: has taken a part of the base's weights; "
            "model.path=DIR merges it"
        ]
    known = {name for name, _ in _OWN.values()} | _PASSED_OVER
    more = [key for key, value in config.items() if key not in known and value not in (None, False, {}, [])]
    if config.get("bias", "none") != "none":
        more.append("bias")
    return [f"{key}={config[key]!r:.60}: cannot go on; model.path=DIR merges it" for key in sorted(more)]


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, list | tuple | set) else value
