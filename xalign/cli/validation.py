"""From the composed config to one frozen `Config`: ranges, cross-field rules, all mistakes at once.

Imports neither torch nor transformers: a mistake is reported within a second or two.
"""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from xalign.base.errors import ConfigError, XalignError
from xalign.base.languages import canonical
from xalign.config.problems import field_names, problem, unknown_key
from xalign.config.schema import (
    AnalyzeConfig,
    Config,
    DataToolConfig,
    EvaluateConfig,
    MineConfig,
    SteerConfig,
    TextConfig,
    VocabularyConfig,
)
from xalign.config.text import DataConfig, LanguagesConfig
from xalign.data import reading
from xalign.data import rules as data_rules
from xalign.evaluation import rules as evaluation_rules
from xalign.models import rules as model_rules
from xalign.models.given_adapter import settle_adapter
from xalign.models.own_path import settle_model
from xalign.options.composed import rules, take_options
from xalign.options.short_keys import short_names
from xalign.training import rules as training_rules

C = TypeVar(
    "C", Config, EvaluateConfig, AnalyzeConfig, DataToolConfig, VocabularyConfig, MineConfig, SteerConfig
)


def resolve(composed: DictConfig | dict[str, Any], schema: type[C]) -> C:
    """Validate a composed config as a whole and freeze it.

    Raises:
        ConfigError: everything that is wrong with it.
    """
    values: Any = (
        OmegaConf.to_container(composed, resolve=True) if OmegaConf.is_config(composed) else composed
    )
    problems: list[str] = []
    if "model" in values:
        values = settle_model(settle_adapter(values, problems), problems)
    if missing := _missing(values):
        raise ConfigError(f"{key}: required, but not given" for key in missing)
    values = take_options(values, problems)
    try:
        config = TypeAdapter(schema).validate_python(values)
    except ValidationError as error:
        problems += [_problem(e, schema) for e in error.errors()]
        raise ConfigError(problems) from None
    config = _with_whole_paths(config)
    config = replace(config, languages=_canonical_languages(config.languages, problems))
    if isinstance(config, MineConfig):
        if len(config.languages.targets) != 1:
            problems.append(
                f"languages.targets={config.languages.targets}: one language is wanted, of target"
            )
    else:
        config = replace(config, data=_settled_data(config.data))
        problems += data_rules.rules(config)
    if not isinstance(config, DataToolConfig):
        problems += model_rules.rules(config.model)
    if isinstance(config, SteerConfig) and config.output is None:
        problems.append("output: required, but not given (a file, as in output=vectors.safetensors)")
    if not isinstance(config, DataToolConfig) and not isinstance(config, EvaluateConfig):
        problems += model_rules.not_steered(config.model)
    if isinstance(config, VocabularyConfig):
        problems += model_rules.rules_of_vocabulary(config)
    if not isinstance(config, TextConfig | MineConfig):
        problems += evaluation_rules.rules(config)
    if isinstance(config, Config):
        problems += training_rules.rules(config)
        problems += rules(config)
    if problems:
        raise ConfigError(problems)
    return config


def _problem(error: ErrorDetails, schema: type) -> str:
    path = [str(part) for part in error["loc"]]
    key = ".".join(path)
    if error["type"] == "unexpected_keyword_argument" and len(path) == 2:
        return unknown_key(key, path[-1], [*field_names(schema, path[:-1]), *short_names(path[0])])
    return problem(error, key, schema)


def _missing(values: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys of the values that a preset leaves to the user ("???")."""
    found = []
    for key, value in values.items():
        if value == "???":
            found.append(prefix + key)
        elif isinstance(value, dict):
            found += _missing(value, f"{prefix}{key}.")
    return found


_PATHS = ("path", "dir", "output", "tokenizer")
"""Names of the keys, in whichever group, that are paths on this machine."""


def _with_whole_paths(config: Any) -> Any:
    """The config with the user's home in place of `~`, which a shell leaves as it is behind `key=`."""
    changed = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            changed[field.name] = _with_whole_paths(value)
        elif field.name in _PATHS and isinstance(value, str) and value.startswith("~"):
            changed[field.name] = str(Path(value).expanduser())
    return replace(config, **changed)


def _settled_data(data: DataConfig) -> DataConfig:
    # A corpus of one's own wins over the preset's packages, and over its sources.
    if (data.packages or data.sources) and (data.path or data.hub):
        name = Path(data.path).name if data.path else str(data.hub)
        # The packages were gettext; what replaces them need not be.
        format = reading.AUTO if data.format == "gettext" else data.format
        return replace(data, packages=[], sources={}, name=name, format=format)
    whole = {
        name: replace(source, path=str(Path(source.path).expanduser()))
        for name, source in data.sources.items()
        if source.path and source.path.startswith("~")
    }
    return replace(data, sources=data.sources | whole)


def _canonical_languages(languages: LanguagesConfig, problems: list[str]) -> LanguagesConfig:
    def code(key: str, given: str) -> str:
        try:
            return canonical(given)
        except XalignError as error:
            problems.append(f"{key}={given}: {error}")
            return given

    return replace(
        languages,
        pivot=code("languages.pivot", languages.pivot),
        targets=[code("languages.targets", t) for t in languages.targets],
        unseen=[code("languages.unseen", u) for u in languages.unseen],
    )
