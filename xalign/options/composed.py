"""Options that stand beside the part that has them: objectives, transforms, adapters, tasks and analyses,
whichever there are.

The schema knows none of them by name. Here their values, as composed, become the frozen configs that the
parts declare; every mistake names the key that was given.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import field, fields, is_dataclass, make_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from xalign.base.errors import ConfigError, did_you_mean
from xalign.config.choices import Combine, GradientClipping, TaskProvider
from xalign.config.parts import AdapterConfig, AnalysisConfig, ObjectiveConfig, TaskConfig, TransformConfig
from xalign.config.problems import one_of, problem
from xalign.config.schema import PRESET, SCHEMAS, BenchmarkConfig, Config, ModelConfig
from xalign.config.text import DataConfig
from xalign.config.training import LossConfig, TrainerConfig
from xalign.data.transforms import TRANSFORMS
from xalign.evaluation.analyses import ANALYSES
from xalign.evaluation.figures import harmless_figure
from xalign.evaluation.metrics import HARMLESS
from xalign.evaluation.tasks import TASKS
from xalign.models.adapters import ADAPTERS
from xalign.objectives import OBJECTIVES
from xalign.options import short_keys
from xalign.options.short_keys import BENCHMARKS, CLIP, short_names

_COMBINE = {GradientClipping.per_objective: Combine.clip_each, GradientClipping.total: Combine.weighted_sum}


@cache
def composed_schema(schema: type) -> type:
    """The schema as Hydra composes it: open where options stand beside their part, with the short keys."""
    # Room for the chosen presets, before anything is overridden (`models.own_path`).
    presets: list[Any] = [(PRESET, dict[str, Any], field(default_factory=dict))]
    has_model = "model" in {own.name for own in fields(schema)}
    return _with_short_keys(schema, "", _groups(), *(presets if has_model else []))


@cache
def _groups() -> dict[str, Any]:
    """The types of those groups that are open, or have short keys."""
    benchmark = _with_short_keys(BenchmarkConfig, "benchmark", {"options": dict})
    return {
        "model": _with_short_keys(ModelConfig, "model", {"steering": dict}),
        "data": _with_short_keys(DataConfig, "data", {"transforms": dict, "sources": dict}),
        "loss": _with_short_keys(LossConfig, "loss", {"objectives": dict}),
        "trainer": _with_short_keys(TrainerConfig, "trainer", {}),
        "adapter": dict,
        "benchmark": benchmark,
        "validation": benchmark | None,
        "callbacks": dict,
        "analyses": dict,
    }


def _with_short_keys(kind: type, group: str, changed: Mapping[str, Any], *further: Any) -> type:
    """The dataclass with other types for some of its fields, with the short keys of the group, and with
    further fields."""
    hints = get_type_hints(kind)
    own: list[Any] = [*further]
    for f in fields(kind):
        if changed.get(f.name) is dict:
            own.append((f.name, dict[str, Any], field(default_factory=dict)))
        else:
            copied = field(default=f.default, default_factory=f.default_factory)
            own.append((f.name, changed.get(f.name, hints[f.name]), copied))
    for name in short_names(group) if group else ():
        if _is_group(group, name):
            own.append((name, dict[str, Any], field(default_factory=dict)))
        else:
            own.append((name, Any, field(default=None)))
    made = make_dataclass(f"{_COMPOSED}{kind.__name__}", own, kw_only=True, frozen=True)
    # Launchers send the schema to other processes: by its name, as a copy would not know which fields are
    # required.
    made.__module__ = __name__
    globals()[made.__name__] = made
    return made


_COMPOSED = "Composed"
"""Start of the names of the schema's classes as Hydra composes them."""


def __getattr__(name: str) -> type:
    if name.startswith(_COMPOSED):
        for schema in SCHEMAS.values():
            composed_schema(schema)
        if name in globals():
            found: type = globals()[name]
            return found
    raise AttributeError(f"module {__name__} has no attribute {name}")


def _is_group(group: str, name: str) -> bool:
    """Whether a short key sets an option that has keys of its own."""
    if group not in BENCHMARKS:
        return False
    task, option = short_keys.of_tasks()[name][0]
    hint = get_type_hints(TASKS.load(task).Config)[option]
    return any(is_dataclass(kind) for kind in (hint, *get_args(hint)))


def take_options(values: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """Composed values with the options of objectives, transforms, adapter, tasks and analyses as configs;
    short keys are gone from them."""
    values = copy.deepcopy(values)
    if isinstance(values.get("model"), dict) and not values["model"].get("steering"):
        values["model"]["steering"] = None
    loss, trainer, adapter = (values.get(group) for group in ("loss", "trainer", "adapter"))
    if isinstance(loss, dict) and isinstance(trainer, dict):
        given = _taken_shorts(values)
        clip = trainer.pop("clip", None)
        if clip in _COMBINE:
            loss["combine"] = _COMBINE[GradientClipping(clip)].value
        elif clip is not None:
            problems.append(one_of(CLIP, str(clip), list(GradientClipping)))
        loss["objectives"] = _objectives(loss.get("objectives") or {}, given, problems)
    if isinstance(values.get("data"), dict):
        values["data"]["transforms"] = _transforms(values["data"].get("transforms") or {}, problems)
    if isinstance(adapter, dict):
        values["adapter"] = _adapter(adapter, problems)
    for group in BENCHMARKS:
        if isinstance(values.get(group), dict):
            values[group]["options"] = _tasks(values[group], group, problems)
    validation = values.get("validation")
    if isinstance(trainer, dict) and isinstance(validation, dict) and trainer.get("select") == HARMLESS.name:
        trainer["select"] = harmless_figure(str(validation.get("name")))
    if "analyses" in values:
        values["analyses"] = _analyses(values["analyses"] or {}, problems)
    return values


def benchmark_of(**values: Any) -> BenchmarkConfig:
    """A benchmark by its keys, the short ones of its tasks among them, for tests and tools.

    Raises:
        ConfigError: an option is wrong.
    """
    problems: list[str] = []
    values["options"] = _tasks(values, "benchmark", problems)
    if problems:
        raise ConfigError(problems)
    return TypeAdapter(BenchmarkConfig).validate_python(values)


def rules(config: Config) -> Iterator[str]:
    """What objectives, transforms and the adapter find wrong in the whole configuration."""
    for option, what in config.adapter.problems(config):
        yield f"adapter.{option}={getattr(config.adapter, option)}: {what}"
    parts = (("loss.objectives", config.loss.objectives), ("data.transforms", config.data.transforms))
    for group, options in parts:
        for name, own in options.items():
            for option, what in own.problems(config):
                yield f"{group}.{name}.{option}={getattr(own, option)}: {what}"


def _objectives(
    given: Mapping[str, Any], shorts: Mapping[str, Any], problems: list[str]
) -> dict[str, ObjectiveConfig]:
    entries = {name: dict(options or {}) for name, options in given.items()}
    for entry, options in entries.items():
        options.setdefault("kind", entry)
    # A weight by its short key is enough to have an objective.
    for key, own in short_keys.of_objectives().items():
        for kind, option in own:
            absent = kind not in {options["kind"] for options in entries.values()}
            if option == "weight" and shorts.get(key) and absent:
                entries[kind] = {"kind": kind}
    found: dict[str, ObjectiveConfig] = {}
    for name, options in entries.items():
        kind, place = str(options["kind"]), f"loss.objectives.{name}"
        if kind not in OBJECTIVES:
            problems.append(_no_such("objective", kind, name, place, OBJECTIVES.names()))
            continue
        values, origins = _with_shorts(options, short_keys.shorts_of_objective(kind), shorts, "")
        config = _validated(OBJECTIVES.load(kind).Config, values, place, problems, origins)
        if config is not None and config.weight > 0:
            found[name] = config
    return found


def _transforms(given: Mapping[str, Any], problems: list[str]) -> dict[str, TransformConfig]:
    found: dict[str, TransformConfig] = {}
    for name, options in given.items():
        place = f"data.transforms.{name}"
        if not isinstance(options, Mapping | None):
            problems.append(f"{place}={options}: takes options, as in {place}.share=0.5")
            continue
        values = {"kind": name, **(options or {})}
        kind = str(values["kind"])
        if kind not in TRANSFORMS:
            problems.append(_no_such("transform", kind, name, place, TRANSFORMS.names()))
            continue
        transform = TRANSFORMS.load(kind)
        config = _validated(transform.Config, values, place, problems, {})
        if config is None:
            continue
        if not transform.changes(config.samples):
            listed = " and ".join(sorted(transform.changes())) or "nothing"
            problems.append(f"{place}.samples={config.samples}: {kind} changes {listed} only")
        found[name] = config
    return found


def _no_such(what: str, kind: str, name: str, place: str, names: list[str]) -> str:
    """The message for a kind of part that there is not; `name` is what the entry is called."""
    key = place if kind == name else f"{place}.kind"
    return f"{key}={kind}: no such {what}{did_you_mean(kind, names)} (there are: {', '.join(names)})"


def _adapter(given: dict[str, Any], problems: list[str]) -> AdapterConfig | dict[str, Any]:
    method = given.get("method")
    if method is None:
        return given  # reported as missing
    if method not in ADAPTERS:
        problems.append(one_of("adapter.method", str(method), ADAPTERS.names()))
        return AdapterConfig(method=str(method))
    config = ADAPTERS.load(method).Config
    return _validated(config, given, "adapter", problems, {}) or AdapterConfig(method=method)


def _tasks(benchmark: dict[str, Any], group: str, problems: list[str]) -> dict[str, TaskConfig]:
    shorts = {name: benchmark.pop(name, None) for name in short_names(group)}
    given = benchmark.get("options") or {}
    names = [name for name in benchmark.get("tasks") or [] if name in TASKS]
    if benchmark.get("provider") == TaskProvider.lm_eval:
        names = []
    for other in sorted({*given} - {*names}):
        listed = f"{did_you_mean(other, names)} ({group}.tasks with options: {', '.join(names) or 'none'})"
        problems.append(f"{group}.options.{other}: no such task here{listed}")
    found = {}
    for name in names:
        options = dict(given.get(name) or {})
        values, origins = _with_shorts(options, short_keys.shorts_of_task(name), shorts, f"{group}.")
        place = f"{group}.options.{name}"
        config = _validated(TASKS.load(name).Config, values, place, problems, origins)
        if config is not None:
            found[name] = config
    return found


def _analyses(given: Mapping[str, Any], problems: list[str]) -> dict[str, AnalysisConfig]:
    found = {}
    for name, options in given.items():
        if name not in ANALYSES:
            names = ANALYSES.names()
            listed = f"{did_you_mean(name, names)} (there are: {', '.join(names)})"
            problems.append(f"analyses.{name}: no such analysis{listed}")
        elif options is not None and not isinstance(options, Mapping):
            problems.append(f"analyses.{name}={options}: must be a group of options, or null")
        elif options is not None:  # null: taken out of those that a preset asks for
            config = _validated(ANALYSES.load(name).Config, options, f"analyses.{name}", problems, {})
            if config is not None:
                found[name] = config
    return found


def _with_shorts(
    options: dict[str, Any], names: Mapping[str, str], shorts: Mapping[str, Any], prefix: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Options with those that only a short key gives, and of these by which."""
    values, origins = dict(options), {}
    for key, option in names.items():
        if shorts.get(key) not in (None, {}) and values.get(option) is None:
            values[option], origins[option] = shorts[key], f"{prefix}{key}"
    return values, origins


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
    """The objectives' short keys' values, taken out of their groups."""
    found = {}
    for key in short_keys.of_objectives():
        group, _, name = key.partition(".")
        if name in values[group]:
            found[key] = values[group].pop(name)
    return found
