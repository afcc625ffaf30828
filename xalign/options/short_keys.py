"""Short keys: which there are, what they set, and what they stand for in a config."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, get_type_hints

from xalign.base.registry import Short
from xalign.config.schema import BenchmarkConfig, Config, EvaluateConfig
from xalign.evaluation.tasks import TASKS
from xalign.objectives import OBJECTIVES

CLIP = "trainer.clip"
"""Older key of `loss.combine`."""

BENCHMARKS = ("benchmark", "validation")
"""Groups of the config that are benchmarks."""


class Place(NamedTuple):
    """An option that a short key sets: of an objective of a kind, or of a task."""

    part: str
    option: str


@cache
def of_objectives() -> Mapping[str, list[Place]]:
    """Short key -> the options that it sets, of the objectives in this package."""
    found: dict[str, list[Place]] = {}
    for kind in OBJECTIVES.own_names():
        for key, option in shorts_of_objective(kind).items():
            found.setdefault(key, []).append(Place(kind, option))
    return found


@cache
def of_tasks() -> Mapping[str, list[Place]]:
    """Name in the group of a benchmark -> the options that it sets, of the tasks in this package."""
    found: dict[str, list[Place]] = {}
    for name in TASKS.own_names():
        for key, option in shorts_of_task(name).items():
            found.setdefault(key, []).append(Place(name, option))
    return found


def short_names(group: str) -> list[str]:
    """Names of the short keys in a group."""
    if group in BENCHMARKS:
        return list(of_tasks())
    keys = (key.partition(".") for key in [*of_objectives(), CLIP])
    return [name for own, _, name in keys if own == group]


@cache
def shorts_of_objective(kind: str) -> Mapping[str, str]:
    """Short key -> option of a kind of objective."""
    return {key.format(kind=kind): option for key, option in _shorts(OBJECTIVES.load(kind).Config)}


@cache
def shorts_of_task(name: str) -> Mapping[str, str]:
    """Name in the group of a benchmark -> option of a task."""
    return dict(_shorts(TASKS.load(name).Config))


def full_names(config: Config | EvaluateConfig) -> dict[str, tuple[str, ...]]:
    """Short key -> the keys that it stands for in this config, where all have the same value."""
    return {key: tuple(own) for key, own in _places(config).items() if len(_distinct(own)) == 1}


def effective(config: Config | EvaluateConfig) -> dict[str, Any]:
    """Short key -> the value that every part with that option has; None where they differ, or none has it."""
    values: dict[str, Any] = {}
    for key, own in _places(config).items():
        distinct = _distinct(own)
        values[key] = distinct[0] if len(distinct) == 1 else None
    return values


def _places(config: Config | EvaluateConfig) -> dict[str, dict[str, Any]]:
    """Short key -> every full key that it stands for, and its value."""
    found: dict[str, dict[str, Any]] = {}
    if isinstance(config, Config):
        for key in of_objectives():
            pairs = [
                (name, own, shorts_of_objective(own.kind)) for name, own in config.loss.objectives.items()
            ]
            found[key] = {
                f"loss.objectives.{name}.{shorts[key]}": getattr(own, shorts[key])
                for name, own, shorts in pairs
                if key in shorts
            }
    for group in BENCHMARKS:
        benchmark: BenchmarkConfig | None = getattr(config, group, None)
        if benchmark is None:
            continue
        for key in of_tasks():
            found[f"{group}.{key}"] = {
                f"{group}.options.{name}.{shorts_of_task(name)[key]}": getattr(own, shorts_of_task(name)[key])
                for name, own in benchmark.options.items()
                if key in shorts_of_task(name)
            }
    return found


def _distinct(values: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = []
    for value in values.values():
        if value not in found:
            found.append(value)
    return found


def _shorts(config: type[Any]) -> Iterator[tuple[str, str]]:
    for option, hint in get_type_hints(config, include_extras=True).items():
        for extra in getattr(hint, "__metadata__", ()):
            if isinstance(extra, Short):
                yield extra.key, option
