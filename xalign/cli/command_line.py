"""The command line looked at before Hydra's `main` takes it: every mistake at once, exit code 2."""

import itertools
import math
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import is_dataclass
from enum import StrEnum
from functools import partial
from importlib.util import find_spec

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser  # hydra.main's own: the same command line
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from xalign.base.errors import ConfigError, did_you_mean, needs_extra
from xalign.cli import lookups
from xalign.cli.help import print_help
from xalign.cli.validation import C, resolve
from xalign.config import other_names
from xalign.config.presets import config_folder
from xalign.config.problems import field_names, field_type, nearest, one_of, unknown_key
from xalign.config.schema import PRESET, Config
from xalign.options.short_keys import short_names
from xalign.options.store import register


def check(module: str, config_name: str, schema: type[C], *, paths: bool = True) -> None:
    """Compose and validate what the command line of a module asks for, every point of a sweep's axes
    included; with `paths`, look whether they are there. `--help` is answered here.

    Raises:
        ConfigError: all mistakes together.
    """
    arguments = get_args_parser().parse_args(sys.argv[1:])
    if arguments.help:
        print_help(config_name, module)
        sys.exit()
    if arguments.hydra_help or arguments.cfg or arguments.info or arguments.shell_completion:
        return
    overrides = [o for o in arguments.overrides if not is_for_hydra(o)]
    for_hydra = [o for o in arguments.overrides if is_for_hydra(o)]
    # Groups that are empty by default (`benchmark@validation=...`) first: other keys may lie in them.
    overrides.sort(key=lambda text: "@" not in text.split("=")[0])
    sweeper = given(for_hydra, "hydra/sweeper")
    with _Composing():
        problems = _missing_plugins(for_hydra)
        problems += _ignored_by_us(for_hydra)
        if any(text.lstrip("+~").startswith((f"{PRESET}.", f"{PRESET}=")) for text in overrides):
            problems.append(unknown_key(PRESET, PRESET, field_names(schema, [])))
        axes = [_variants(text, sweeper, problems) for text in overrides]
        is_sweep = bool(arguments.multirun or given(for_hydra, "hydra.mode"))
        if not is_sweep:
            problems += [
                f"{text}: several values; add -m to sweep over them (a list is written [a,b], text '\"a,b\"')"
                for text, values in zip(overrides, axes, strict=True)
                if values and values != [text]
            ]
        look_up = partial(lookups.rules, sweep=is_sweep) if paths else None
        found = _problems(config_name, schema, _points(axes), sweeper, look_up)
        if found:
            # What each override does wrong by itself is reported in more words; the rest is tried without it.
            axes = _composable(config_name, schema, axes, problems)
            problems += _problems(config_name, schema, _points(axes), sweeper, look_up)
    if problems:
        raise ConfigError(dict.fromkeys(problems))


def _problems(
    config_name: str,
    schema: type[C],
    points: Iterable[Sequence[str]],
    sweeper: str | None,
    look_up: Callable[[C], Iterable[str]] | None,
) -> list[str]:
    """What is wrong with these points."""
    problems: list[str] = []
    for point in points:
        try:
            config = resolve(compose(config_name, list(point)), schema)
            if look_up is not None:
                problems += look_up(config)
        except ConfigError as error:
            problems += error.problems
        except (HydraException, OmegaConfBaseException, AssertionError) as error:
            problems.append(first_line(error))
        else:
            if sweeper == "optuna" and isinstance(config, Config) and config.sweep.metric is None:
                problems.append(
                    "sweep.metric: required with hydra/sweeper=optuna, but not given (a figure of "
                    "validation, such as eval/heldout/retrieval@1/mean)"
                )
    return problems


def _composable(
    config_name: str, schema: type, axes: list[list[str]], problems: list[str]
) -> list[list[str]]:
    """The axes without those overrides that cannot be composed at all, which are reported."""
    filled: list[str] = []
    kept = []
    for values in axes:
        kept.append([o for o in values if not _mistake(config_name, schema, o, filled, problems)])
        if values and "@" in values[0].split("=")[0]:
            filled += kept[-1][:1]
    return kept


def is_for_hydra(override: str) -> bool:
    """Whether an override is for Hydra itself, its launchers and sweepers."""
    return override.startswith(("hydra.", "hydra/", "+hydra"))


def given(overrides: Iterable[str], key: str) -> str | None:
    """The value that the last override of a key gives it."""
    pairs = [override.lstrip("+").partition("=") for override in overrides]
    return next((value for name, _, value in reversed(pairs) if name == key), None)


_EXTRAS = {
    "hydra/launcher": {
        "joblib": ("hydra_plugins.hydra_joblib_launcher", "joblib"),
        "submitit_local": ("hydra_plugins.hydra_submitit_launcher", "submitit"),
        "submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "submitit"),
        "ray": ("ray", "ray"),
    },
    "hydra/sweeper": {"optuna": ("optuna", "optuna")},
}


def _missing_plugins(for_hydra: list[str]) -> list[str]:
    """Launchers and sweepers that are asked for, but not there."""
    problems = []
    for group, options in _EXTRAS.items():
        value = given(for_hydra, group)
        known = GlobalHydra.instance().config_loader().get_group_options(group)
        if value is not None and value not in {*known, *options}:
            problems.append(f"{group}={value}: no such option{did_you_mean(value, [*known, *options])}")
        if value not in options:
            continue
        module, extra = options[value]
        try:
            found = find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            problems.append(needs_extra(f"{group}={value}", extra))
    return problems


def _ignored_by_us(for_hydra: list[str]) -> Iterator[str]:
    """Keys of Hydra's own that would have no effect."""
    for key, what in other_names.HYDRA.items():
        value = given(for_hydra, key)
        if value is not None:
            yield f"{key}={value}: {what}"


_MOST_POINTS = 32
"""Points of a sweep that are all tried out before anything runs; a point takes a sixth of a second."""


def _points(axes: list[list[str]]) -> Iterable[Sequence[str]]:
    """Every point; of a large sweep every value of every axis at least once, the others at their first."""
    filled = [axis for axis in axes if axis]
    if math.prod(len(axis) for axis in filled) <= _MOST_POINTS:
        return itertools.product(*filled)
    return _crossing_points(filled)


def _crossing_points(filled: list[list[str]]) -> Iterator[list[str]]:
    first = [axis[0] for axis in filled]
    yield first
    for place, axis in enumerate(filled):
        for value in axis[1:]:
            yield [*first[:place], value, *first[place + 1 :]]


class _Composing:
    """Hydra's global state set up for composing, and left clean for Hydra's own main."""

    def __enter__(self) -> None:
        register()
        initialize_config_dir(str(config_folder()), version_base="1.3", job_name="check").__enter__()

    def __exit__(self, *_: object) -> None:
        GlobalHydra.instance().clear()


def _variants(text: str, sweeper: str | None, problems: list[str]) -> list[str]:
    """The same for an override's text; where there is none, says why."""
    try:
        override: Override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        problems.append(f"{text}: cannot be read as key=value ({_quoted(text) or first_line(error)})")
        return []
    if not override.is_sweep_override():
        return [text]
    if not override.is_discrete_sweep() and sweeper in (None, "basic"):
        problems.append(f"{text}: a grid has no distributions; add hydra/sweeper=optuna")
    values = variants(override)
    # Of a long range of numbers its ends and its middle.
    long = isinstance(override.value(), RangeSweep) and len(values) > _LONG
    return [values[0], values[len(values) // 2], values[-1]] if long else values


def _quoted(text: str) -> str | None:
    """How to write an override whose value, a text, Hydra's grammar cannot read as it stands."""
    key, equals, value = text.partition("=")
    if not equals or not value or value[0] in "'\"[{":
        return None
    for quote in ('"', "'"):
        escaped = value.replace(quote, f"\\{quote}")
        candidate = f"{key}={quote}{escaped}{quote}"
        try:
            read = OverridesParser.create().parse_override(candidate).value()
        except HydraException:
            continue
        if str(read) == value:
            return f"a text like this needs quotes, for the shell and for Hydra: {shlex.quote(candidate)}"
    return None


_LONG = 8
"""Numbers of a range that are all tried out before anything runs."""


def variants(override: Override) -> list[str]:
    """A swept override as one override for each value of its axis; of an interval, its two ends."""
    key = override.get_key_element()
    if override.is_discrete_sweep():
        return [f"{key}={value}" for value in override.sweep_string_iterator()]
    interval = override.value()
    assert isinstance(interval, IntervalSweep)
    return [f"{key}={interval.start}", f"{key}={interval.end}"]


def _mistake(config_name: str, schema: type, text: str, beside: list[str], problems: list[str]) -> bool:
    """Whether an override cannot be composed at all, with those beside it; if so, says why."""
    try:
        compose(config_name, [*beside, text])
        return False
    except AssertionError:  # Hydra's, for a key inside a group that is null
        group = text.lstrip("+~").split("=")[0].split(".")[0]
        problems.append(
            f"{text}: '{group}' is empty; choose what is in it first, as in benchmark@{group}=heldout"
        )
        return True
    except (HydraException, OmegaConfBaseException) as error:
        problems.append(_explain(text, schema, error))
        return True


def _explain(text: str, schema: type, error: Exception) -> str:
    key, _, value = text.lstrip("+~").partition("=")
    key = key.split("@")[0]
    # Ours, and those of other packages.
    configs = GlobalHydra.instance().config_loader()
    groups = [g for g in configs.get_group_options("", ObjectType.GROUP) if g != "hydra"]
    options = configs.get_group_options(key) if key in groups else []
    if options and value not in options:
        return f"{key}={value}: no such option{nearest(key, value, options)} (allowed: {', '.join(options)})"
    path = key.split(".")
    for depth, part in enumerate(path):
        allowed = field_names(schema, path[:depth]) + (short_names(path[0]) if depth == 1 else [])
        if depth == 0:
            allowed = sorted({*allowed, *groups})
        if allowed and part not in allowed:
            wrong = ".".join(path[: depth + 1])
            return unknown_key(wrong, part, allowed)
    kind = field_type(schema, path)
    if is_dataclass(kind) and len(path) > 1:  # objectives, transforms, options of tasks
        return f"{key}={value}: holds parts by name, each with options; write {key}.{value}.<option>=..."
    if is_dataclass(kind):
        return f"{key}={value}: {key} is a group of keys; write benchmark@{key}={value}"
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return one_of(key, value, list(kind))
    return f"{key}={value}: {first_line(error)}"


def first_line(error: BaseException) -> str:
    """What lies at the bottom of Hydra's chain of exceptions, without its debugging lines."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def compose_config(config_name: str, overrides: Iterable[str], with_hydra: bool = False) -> DictConfig:
    """Compose without Hydra's main, for tests and tools; `with_hydra` includes Hydra's own node."""
    with _Composing():
        return compose(config_name, list(overrides), return_hydra_config=with_hydra)
