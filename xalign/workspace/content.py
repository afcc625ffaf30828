"""Whether two configs are of the same run: by what they make, not by where or how often it is kept."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from xalign.base.errors import DataError
from xalign.base.files import read_yaml
from xalign.config.schema import Config
from xalign.models.given_adapter import settle_adapter
from xalign.models.own_path import settle_model
from xalign.options.composed import take_options
from xalign.options.plain import plain_without_short_keys
from xalign.options.short_keys import full_names, short_names

NOT_CONTENT = ("run", "resume", "logger", "plan", "sweep", "analyses")
"""Where a run is kept, how it is started, and what else is looked at: the same run in another folder is the
same run."""

MAY_CHANGE = (
    "model.name",
    "model.depth",
    "data.name",
    "loss.name",
    "optimizer.name",
    "trainer.micro_batch",
    "trainer.activation_checkpointing",
    "trainer.threads",
    "trainer.checkpoint_every",
    "trainer.checkpoint_minutes",
    "trainer.gradient_stats_every",
    "trainer.max_bad_steps",
    "strategy.timeout_minutes",
    "benchmark.batch_tokens",
    "validation.batch_tokens",
    "debug.name",
    "debug.detect_anomaly",
)
"""Keys that change no result but by rounding: a run may go on with other values."""

ORDERED = ("data.transforms",)
"""Keys whose entries do something else in another order."""

GROUPS = ("model", "languages", "data", "loss", "trainer", "benchmark")
"""What every version has written into a run's `config.yaml`."""


def is_run_config(values: object) -> bool:
    """Whether a YAML file's content is a run's config, of whichever version."""
    return isinstance(values, Mapping) and all(isinstance(values.get(group), Mapping) for group in GROUPS)


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run.

    Raises:
        DataError: it has a `config.yaml` that is damaged.
    """
    file = folder / "config.yaml"
    return file.is_file() and is_run_config(read_yaml(file))


def differences(former: Mapping[str, Any], config: Config) -> list[str]:
    """`key: former -> now` for every value that differs and matters to the results.

    `former` is the content of a `config.yaml`, perhaps of an older version: keys that it lacks have their
    defaults, keys that there no longer are do not count.
    """
    before = config_of(former)
    if before is None:  # no longer understood: value by value, as it stands
        return _differing(former, plain_without_short_keys(config), {})
    common = full_names(before).items() & full_names(config).items()
    return _differing(
        plain_without_short_keys(before),
        plain_without_short_keys(config),
        {full: short for short, names in common for full in names},
    )


def default_folder(config: Config, outputs: Path = Path("outputs")) -> Path:
    """`outputs/<model>-<loss>-<hash>`: the same config finds the same folder, another one its own.

    Where no folder has that name, one of the same content is taken: older versions named them otherwise, and
    names of models and losses are no content.
    """
    folder = outputs / f"{config.model.name}-{config.loss.name}-{_digest(config)}"
    if folder.exists():
        return folder
    others = [file for file in outputs.glob("*/config.yaml") if _holds(file, config)]
    return max(others, key=lambda file: file.stat().st_mtime).parent if others else folder


def _digest(config: Config) -> str:
    text = json.dumps(_given(config, ""), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _given(value: Any, key: str) -> Any:
    """A config's values that are not their defaults: what a later version adds changes nothing."""
    if isinstance(value, Mapping):
        given = {name: _given(own, f"{key}{name}.") for name, own in value.items()}
        return list(given.items()) if key.removesuffix(".") in ORDERED else given
    if not is_dataclass(value):
        return value
    found = {}
    for field in fields(value):
        own, name = getattr(value, field.name), f"{key}{field.name}"
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if own != default and name not in (*NOT_CONTENT, *MAY_CHANGE):
            found[field.name] = _given(own, f"{name}.")
    # A group that a later version adds is there from then on, and empty.
    return {name: own for name, own in found.items() if own != {}}


def _holds(file: Path, config: Config) -> bool:
    """Whether this is the config of the same run."""
    try:
        former = read_yaml(file)
    except (OSError, DataError):
        return False
    return isinstance(former, dict) and is_run_config(former) and not differences(former, config)


def config_of(former: Mapping[str, Any]) -> Config | None:
    """The content of a run's `config.yaml`, perhaps of an older version, in today's schema and without
    analyses; None where it cannot be had."""
    problems: list[str] = []
    hints = get_type_hints(Config)
    new: dict[str, Any] = {
        f.name: {} for f in fields(Config) if f.name not in former and is_dataclass(hints[f.name])
    }
    try:
        # What is looked at beside is another matter: its package may be gone.
        values = {**_known(former, Config, ""), **new, "analyses": {}}
        values = settle_model(settle_adapter(values, problems), problems)
        values = take_options(values, problems)
        return None if problems else _adapter().validate_python(values)
    except ValidationError:
        return None


@cache
def _adapter() -> TypeAdapter[Config]:
    return TypeAdapter(Config)


def _known(values: Mapping[str, Any], schema: type, group: str) -> dict[str, Any]:
    """The values without keys that the schema no longer has."""
    hints = get_type_hints(schema)
    found = {}
    for key, value in values.items():
        if key not in hints:
            if key in short_names(group):
                found[key] = value
            continue
        hint = hints[key]
        options = (hint, *(get_args(hint) if isinstance(hint, UnionType) else ()))
        kinds = [kind for kind in options if isinstance(kind, type) and is_dataclass(kind)]
        # What stands beside its part (adapter, objectives, transforms, tasks) is as that part says.
        nested = bool(kinds) and isinstance(value, Mapping) and key != "adapter"
        found[key] = _known(value, kinds[0], key) if nested else value
    return found


def _differing(
    former: Mapping[str, Any], now: Mapping[str, Any], short: Mapping[str, str], prefix: str = ""
) -> list[str]:
    found: dict[str, None] = {}
    for key in sorted({*former, *now}):
        full = f"{prefix}{key}"
        if full in (*NOT_CONTENT, *MAY_CHANGE):
            continue
        a, b = former.get(key), now.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            if full in ORDERED and a.keys() == b.keys() and list(a) != list(b):
                found[f"{full}: in the order {', '.join(a)} -> {', '.join(b)}"] = None
            found |= dict.fromkeys(_differing(a, b, short, f"{full}."))
        elif a != b:
            found[f"{short.get(full, full)}: {a} -> {b}"] = None
    return list(found)
