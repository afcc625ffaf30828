"""Options that stand beside the part that has them: objectives and adapters, whichever there are.

The schema knows neither by name. Here their values, as composed, become the frozen configs that the parts
declare; every mistake names the key that was given.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import field, fields, make_dataclass
from functools import cache
from typing import Any, NamedTuple, get_type_hints

from pydantic import TypeAdapter, ValidationError

from xalign.choices import Combine, GradientClipping
from xalign.config import Config, LossConfig, TrainerConfig
from xalign.config_problems import one_of, problem
from xalign.errors import did_you_mean
from xalign.models.adapters import ADAPTERS
from xalign.models.adapters.base import AdapterConfig
from xalign.objectives import OBJECTIVES
from xalign.objectives.base import ObjectiveConfig, Short

CLIP = "trainer.clip"
"""Older key of `loss.combine`."""
_COMBINE = {GradientClipping.per_objective: Combine.clip_each, GradientClipping.total: Combine.weighted_sum}


class ShortOption(NamedTuple):
    """What a short key sets: an option of a kind of objective."""

    kind: str
    option: str


def short_keys() -> dict[str, list[ShortOption]]:
    """Short key -> the options that it sets, of the objectives in this package."""
    found: dict[str, list[ShortOption]] = {}
    for kind in OBJECTIVES.own_names():
        for key, option in _shorts_of(kind).items():
            found.setdefault(key, []).append(ShortOption(kind, option))
    return found


def short_names(group: str) -> list[str]:
    """Names of the short keys in a group."""
    keys = (key.partition(".") for key in [*short_keys(), CLIP])
    return [name for own, _, name in keys if own == group]


def composed_schema(schema: type[Config]) -> type:
    """The schema as Hydra composes it: open where options stand beside their part, with the short keys."""
    shorts = [*short_keys(), CLIP]

    def with_shorts(kind: type, group: str, changed: Mapping[str, Any]) -> type:
        hints = get_type_hints(kind)
        own: list[Any] = []
        for f in fields(kind):
            if changed.get(f.name) is dict:
                own.append((f.name, dict[str, Any], field(default_factory=dict)))
            else:
                copied = field(default=f.default, default_factory=f.default_factory)
                own.append((f.name, changed.get(f.name, hints[f.name]), copied))
        for key in shorts:
            if key.partition(".")[0] == group:
                own.append((key.partition(".")[2], Any, field(default=None)))
        return make_dataclass(kind.__name__, own, kw_only=True, frozen=True)

    groups = {
        "loss": with_shorts(LossConfig, "loss", {"objectives": dict}),
        "trainer": with_shorts(TrainerConfig, "trainer", {}),
        "adapter": dict,
    }
    return with_shorts(schema, "", groups)


def take_options(values: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """Composed values with the objectives' and the adapter's options as configs; short keys are gone from
    them."""
    values = copy.deepcopy(values)
    loss, trainer, adapter = (values.get(group) for group in ("loss", "trainer", "adapter"))
    if isinstance(loss, dict) and isinstance(trainer, dict):
        given = _taken_shorts(values)
        clip = trainer.pop("clip", None)
        if clip in _COMBINE:
            loss["combine"] = _COMBINE[GradientClipping(clip)].value
        elif clip is not None:
            problems.append(one_of(CLIP, str(clip), list(GradientClipping)))
        loss["objectives"] = _objectives(loss.get("objectives") or {}, given, problems)
    if isinstance(adapter, dict):
        values["adapter"] = _adapter(adapter, problems)
    return values


def full_names(config: Config) -> dict[str, tuple[str, ...]]:
    """Short key -> the keys that it stands for in this config, where all have the same value."""
    values = effective_shorts(config)
    return {
        key: tuple(
            f"loss.objectives.{name}.{_shorts_of(own.kind)[key]}"
            for name, own in config.loss.objectives.items()
            if key in _shorts_of(own.kind)
        )
        for key in short_keys()
        if values[key] is not None
    }


def effective_shorts(config: Config) -> dict[str, Any]:
    """Short key -> the value that every objective with that option has; None where they differ, or none has
    it."""
    values: dict[str, Any] = {}
    objectives = config.loss.objectives.values()
    for key in short_keys():
        pairs = [(own, _shorts_of(own.kind).get(key)) for own in objectives]
        found = [getattr(own, option) for own, option in pairs if option is not None]
        values[key] = found[0] if found and all(value == found[0] for value in found) else None
    return values


def rules(config: Config) -> Iterator[str]:
    """What the objectives find wrong in the whole configuration."""
    for name, own in config.loss.objectives.items():
        for option, what in own.problems(config):
            yield f"loss.objectives.{name}.{option}={getattr(own, option)}: {what}"


def _objectives(
    given: Mapping[str, Any], shorts: Mapping[str, Any], problems: list[str]
) -> dict[str, ObjectiveConfig]:
    entries = {name: dict(options or {}) for name, options in given.items()}
    for entry, options in entries.items():
        options.setdefault("kind", entry)
    # A weight by its short key is enough to have an objective.
    for key, own in short_keys().items():
        for kind, option in own:
            absent = kind not in {options["kind"] for options in entries.values()}
            if option == "weight" and shorts.get(key) and absent:
                entries[kind] = {"kind": kind}
    found: dict[str, ObjectiveConfig] = {}
    for name, options in entries.items():
        kind = str(options["kind"])
        if kind not in OBJECTIVES:
            place = f"loss.objectives.{name}" + (".kind" if kind != name else "")
            names = OBJECTIVES.names()
            listed = f"{did_you_mean(kind, names)} (there are: {', '.join(names)})"
            problems.append(f"{place}={kind}: no such objective{listed}")
            continue
        origins = {}
        for key, option in _shorts_of(kind).items():
            if shorts.get(key) is not None and options.get(option) is None:
                options[option], origins[option] = shorts[key], key
        config = _validated(
            OBJECTIVES.load(kind).Config, options, f"loss.objectives.{name}", problems, origins
        )
        if config is not None and config.weight > 0:
            found[name] = config
    return found


def _adapter(given: dict[str, Any], problems: list[str]) -> AdapterConfig | dict[str, Any]:
    method = given.get("method")
    if method is None:
        return given  # reported as missing
    if method not in ADAPTERS:
        problems.append(one_of("adapter.method", str(method), ADAPTERS.names()))
        return AdapterConfig(method=str(method))
    config = ADAPTERS.load(method).Config
    return _validated(config, given, "adapter", problems, {}) or AdapterConfig(method=method)


def _validated(
    config: type[Any], options: Mapping[str, Any], place: str, problems: list[str], origins: Mapping[str, str]
) -> Any:
    """Options as a config, or None and what is wrong; `origins`: which came by a short key."""
    try:
        return TypeAdapter(config).validate_python(dict(options))
    except ValidationError as error:
        for details in error.errors():
            option, *rest = [str(part) for part in details["loc"]]
            key = ".".join([origins.get(option, f"{place}.{option}"), *rest])
            problems.append(problem(details, key, config))
        return None


def _taken_shorts(values: dict[str, Any]) -> dict[str, Any]:
    """The short keys' values, taken out of their groups."""
    found = {}
    for key in short_keys():
        group, _, name = key.partition(".")
        if name in values[group]:
            found[key] = values[group].pop(name)
    return found


@cache
def _shorts_of(kind: str) -> Mapping[str, str]:
    """Short key -> option of a kind of objective."""
    hints = get_type_hints(OBJECTIVES.load(kind).Config, include_extras=True)
    return {
        extra.key.format(kind=kind): option
        for option, hint in hints.items()
        for extra in getattr(hint, "__metadata__", ())
        if isinstance(extra, Short)
    }
