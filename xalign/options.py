"""Options that stand beside the part that has them: objectives and adapters, whichever there are.

The schema knows neither by name. Here their values, as composed, become the frozen configs that the parts
declare; every mistake names the key that was given.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import field, fields, make_dataclass
from typing import Any, NamedTuple, get_type_hints

from pydantic import TypeAdapter, ValidationError

from xalign import objectives
from xalign.choices import Combine, GradientClipping
from xalign.config import Config, LossConfig, TrainerConfig
from xalign.config_problems import one_of, problem
from xalign.errors import did_you_mean
from xalign.models import adapters
from xalign.models.adapters.base import AdapterConfig
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
    for kind in objectives.names():
        for option, hint in _hints(objectives.load(kind).Config).items():
            for short in _shorts(hint):
                found.setdefault(short.key.format(kind=kind), []).append(ShortOption(kind, option))
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


def effective_shorts(config: Config) -> dict[str, Any]:
    """Short key -> the value that every objective with that option has; None where they differ, or none has
    it."""
    values: dict[str, Any] = {}
    for key, options in short_keys().items():
        found = [
            getattr(own, option)
            for own in config.loss.objectives.values()
            for kind, option in options
            if own.kind == kind
        ]
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
    known = short_keys()
    # A weight by its short key is enough to have an objective.
    for key, value in shorts.items():
        for kind, option in known[key]:
            if option == "weight" and value and kind not in {o["kind"] for o in entries.values()}:
                entries[kind] = {"kind": kind}
    found: dict[str, ObjectiveConfig] = {}
    for name, options in entries.items():
        kind, names = str(options["kind"]), objectives.names()
        if kind not in names:
            key = f"loss.objectives.{name}" + (".kind" if kind != name else "")
            problems.append(
                f"{key}={kind}: no such objective{did_you_mean(kind, names)} (there are: {', '.join(names)})"
            )
            continue
        origins = {}
        for key, value in shorts.items():
            for of_kind, option in known[key]:
                if of_kind == kind and value is not None and options.get(option) is None:
                    options[option], origins[option] = value, key
        own = _validated(objectives.load(kind).Config, options, f"loss.objectives.{name}", problems, origins)
        if own is not None and own.weight > 0:
            found[name] = own
    return found


def _adapter(given: dict[str, Any], problems: list[str]) -> AdapterConfig | dict[str, Any]:
    method = given.get("method")
    if method is None:
        return given  # reported as missing
    if method not in adapters.METHODS:
        problems.append(one_of("adapter.method", str(method), adapters.METHODS))
        return AdapterConfig(method=str(method))
    config = adapters.load(method).Config
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


def _hints(config: type) -> dict[str, Any]:
    return get_type_hints(config, include_extras=True)


def _shorts(hint: Any) -> Iterator[Short]:
    yield from (extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Short))
