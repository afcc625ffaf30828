"""A config as plain values, as files hold it."""

from dataclasses import asdict
from enum import Enum
from typing import Any

from xalign.config.schema import Config, EvaluateConfig, TextConfig
from xalign.options.short_keys import effective


def plain(config: Config | EvaluateConfig) -> dict[str, Any]:
    """The config as plain values, as written to `config.yaml`: also by its short keys, for whoever reads
    it."""
    result = plain_without_short_keys(config)
    for key, value in effective(config).items():
        group, _, name = key.partition(".")
        result[group][name] = _plain(value)
    return result


def plain_without_short_keys(config: Config | EvaluateConfig | TextConfig) -> dict[str, Any]:
    """The config as plain values, each in one place."""
    values: dict[str, Any] = _plain(asdict(config))
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value.value if isinstance(value, Enum) else value
