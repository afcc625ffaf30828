"""From the composed config to one frozen `Config`: ranges, cross-field rules, all mistakes at once.

Imports neither torch nor transformers: a mistake is reported within a second or two.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from xalign.base.errors import ConfigError, XalignError
from xalign.base.languages import canonical
from xalign.config.choices import (
    OptimizerKind,
    Precision,
    StrategyName,
    TaskProvider,
)
from xalign.config.problems import field_names, one_of, problem, unknown_key
from xalign.config.schema import (
    AnalyzeConfig,
    BenchmarkConfig,
    Config,
    DataConfig,
    EvaluateConfig,
    LanguagesConfig,
)
from xalign.data import reading
from xalign.data.instructions import SOURCES
from xalign.distributed.world import world_of_launcher
from xalign.evaluation import figures
from xalign.evaluation.analyses import ANALYSES, analyses_of, problems_of
from xalign.evaluation.tasks import TASKS
from xalign.models import rules as model_rules
from xalign.models.adapters import ADAPTERS
from xalign.models.own_path import settle_model
from xalign.options.composed import rules, take_options
from xalign.options.short_keys import short_names
from xalign.training.callbacks import rules as callback_rules

C = TypeVar("C", Config, EvaluateConfig, AnalyzeConfig)


def resolve(composed: DictConfig | dict[str, Any], schema: type[C]) -> C:
    """Validate a composed config as a whole and freeze it.

    Raises:
        ConfigError: everything that is wrong with it.
    """
    values: Any = (
        OmegaConf.to_container(composed, resolve=True) if OmegaConf.is_config(composed) else composed
    )
    problems: list[str] = []
    values = settle_model(values, problems)
    if missing := _missing(values):
        raise ConfigError(f"{key}: required, but not given" for key in missing)
    values = take_options(values, problems)
    try:
        config = TypeAdapter(schema).validate_python(values)
    except ValidationError as error:
        problems += [_problem(e, schema) for e in error.errors()]
        raise ConfigError(problems) from None
    config = _with_whole_paths(config)
    config = replace(
        config,
        data=_settled_data(config.data),
        languages=_canonical_languages(config.languages, problems),
    )
    problems += model_rules.rules(config.model)
    problems += _data_rules(config)
    problems += _benchmark_rules(config.benchmark, "benchmark")
    if isinstance(config, EvaluateConfig):
        for name in config.data.transforms:
            problems.append(f"data.transforms.{name}: of training; what is measured is never transformed")
    if isinstance(config, Config | AnalyzeConfig):
        problems += _analysis_rules(config)
    if isinstance(config, Config):
        problems += _sweep_rules(config)
        problems += _training_rules(config)
        problems += _validation_rules(config)
        problems += rules(config)
        problems += callback_rules.rules(config)
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
    # A corpus of one's own wins over the preset's packages.
    if data.packages and (data.path or data.hub):
        name = Path(data.path).name if data.path else str(data.hub)
        # The packages were gettext; what replaces them need not be.
        format = reading.AUTO if data.format == "gettext" else data.format
        return replace(data, packages=[], name=name, format=format)
    return data


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


def _data_rules(config: Config | EvaluateConfig) -> Iterator[str]:
    if not (config.data.path or config.data.packages or config.data.hub):
        yield "data.path: required, but not given (or data.hub, or data.packages)"
    if config.data.hub_revision is not None and not config.data.hub:
        yield f"data.hub_revision={config.data.hub_revision}: of data.hub, which is not given"
    yield from reading.rules(config.data)
    if isinstance(config, Config):
        source = config.instructions.source
        if source not in SOURCES:
            yield one_of("instructions.source", source, SOURCES.names())
        else:
            yield from SOURCES.load(source).problems(config.instructions)


def _benchmark_rules(benchmark: BenchmarkConfig, key: str) -> Iterator[str]:
    known = TASKS.names()
    for task in benchmark.tasks:
        # What the harness knows is asked of it, later: looking takes it seconds.
        if benchmark.provider is TaskProvider.xalign and task not in known:
            yield one_of(f"{key}.tasks", task, known)
    if benchmark.own_text and not (benchmark.path or benchmark.hub):
        yield f"{key}.path: required, but not given (the folder of {benchmark.name})"


def _analysis_rules(config: Config | AnalyzeConfig) -> Iterator[str]:
    """What analyses ask for in vain, as far as it is known before model and text are loaded."""
    if isinstance(config, AnalyzeConfig):
        if not config.analyses:
            yield f"analyses: none is asked for (there are: {', '.join(ANALYSES.names())})"
        parallel = [name for name in TASKS.names() if TASKS.load(name).parallel_text]
        if not set(config.benchmark.tasks) & set(parallel):
            yield f"benchmark={config.benchmark.name}: has no parallel text; benchmark=heldout?"
    # Of other models than the config's neither depth nor languages are known yet.
    is_known = isinstance(config, Config) or not config.models
    targets = [*config.languages.targets, *config.languages.unseen]
    own_text = config.benchmark.own_text or config.benchmark.languages
    yield from problems_of(
        analyses_of(config.analyses),
        depth=config.model.depth if is_known else None,
        languages=targets if is_known and not own_text else [],
    )


def _training_rules(config: Config) -> Iterator[str]:
    languages, loss, trainer = config.languages, config.loss, config.trainer
    if not languages.targets:
        yield "languages.targets=[]: at least one language is needed beside the pivot"
    if languages.pivot in languages.targets:
        yield f"languages.targets: {languages.pivot} is the pivot; it cannot be its own target"
    for name, codes in (("targets", languages.targets), ("unseen", languages.unseen)):
        for twice in sorted({c for c in codes if codes.count(c) > 1}):
            yield f"languages.{name}: {twice} is given twice"
    for both in sorted(set(languages.unseen) & {*languages.targets, languages.pivot}):
        yield f"languages.unseen: {both} is also trained on"
    if config.model.depth is not None and loss.layer is not None and loss.layer > config.model.depth:
        yield f"loss.layer={loss.layer}: {config.model.name} has layers 0 to {config.model.depth}"
    if not loss.objectives:
        yield "loss.objectives: none has a weight above 0, so that nothing would be trained"
    if trainer.batch_size % trainer.languages_per_batch:
        yield (
            f"trainer.languages_per_batch={trainer.languages_per_batch}: must divide "
            f"trainer.batch_size={trainer.batch_size}"
        )
    elif trainer.languages_per_batch > len(languages.targets):
        yield (
            f"trainer.languages_per_batch={trainer.languages_per_batch}: "
            f"there are {len(languages.targets)} languages.targets"
        )
    size = trainer.micro_batch
    if size != "auto" and not (size.isdecimal() and int(size) >= 1):
        yield f"trainer.micro_batch={size}: must be auto or a number of tokens, at least 1"
    if trainer.devices > 1 and config.strategy.name is StrategyName.single:
        yield f"trainer.devices={trainer.devices}: needs strategy=ddp or strategy=fsdp"
    if trainer.nodes > 1 and world_of_launcher() is None:
        yield f"trainer.nodes={trainer.nodes}: is set by torchrun or srun, which start ranks on each machine"
    yield from _strategy_rules(config)
    if config.optimizer.kind is OptimizerKind.adamw_bf16:
        yield from _low_weights_rules(config)
    if config.data.validation_fraction + config.data.test_fraction >= 1:
        yield "data.validation_fraction + data.test_fraction: must leave something to train on"


def _strategy_rules(config: Config) -> Iterator[str]:
    """What sharding cannot be had with, or what has no meaning without it."""
    strategy = config.strategy
    if strategy.name is not StrategyName.fsdp:
        if strategy.cpu_offload:
            yield "strategy.cpu_offload=true: needs strategy=fsdp"
        if not strategy.reshard_after_forward:
            yield "strategy.reshard_after_forward=false: needs strategy=fsdp"
        return
    if config.trainer.compile:
        yield "trainer.compile=true: not with strategy=fsdp"
    kind, method = config.optimizer.kind, config.adapter.method
    trains_model = ADAPTERS.load(method).trains_model
    if kind is not OptimizerKind.adamw and trains_model:
        # Adafactor's states are means over whole matrices, bitsandbytes knows nothing of shards.
        yield f"optimizer.kind={kind}: with strategy=fsdp and adapter={method} only adamw"


def _low_weights_rules(config: Config) -> Iterator[str]:
    """What weights kept in bf16 need: the model whole, in one process, its products in bf16 as well."""
    low, method = "optimizer.kind=adamw_bf16", config.adapter.method
    trains_model = ADAPTERS.load(method).trains_model
    if not trains_model:
        yield f"{low}: saves nothing with adapter.method={method}; adapter=full?"
    if config.trainer.precision is not Precision.bf16:
        yield f"{low}: needs trainer.precision=bf16 (trainer.precision={config.trainer.precision})"
    if config.strategy.name is not StrategyName.single:
        yield f"{low}: needs strategy=single (strategy={config.strategy.name})"


def _validation_rules(config: Config) -> Iterator[str]:
    """Measuring during training: never on what is measured at the end, and never in vain."""
    validation, every, select = config.validation, config.trainer.evaluate_every, config.trainer.select
    if validation is None:
        for key, value in (("evaluate_every", every), ("select", select)):
            if value is not None:
                yield f"trainer.{key}={value}: nothing is chosen to measure; add benchmark@validation=heldout"
        return
    if every is None:
        yield "trainer.evaluate_every: required with benchmark@validation, but not given"
    yield from _benchmark_rules(validation, "validation")
    if any(task not in TASKS for task in validation.tasks) and validation.provider is TaskProvider.xalign:
        return
    source, measured = ((b.path, b.hub, b.split) for b in (validation, config.benchmark))
    if validation.own_text and source == measured:
        yield f"validation.path={validation.path}: benchmark measures that at the end; validation.split=dev?"
    languages = [config.languages.pivot, *config.languages.targets, *config.languages.unseen]
    for key, figure in config.chosen_by:
        yield from figures.rules(key, figure, validation, languages)


def _sweep_rules(config: Config) -> Iterator[str]:
    """A sweep chooses by validation: the test is read once, for what was chosen."""
    sweep = config.sweep
    if sweep.also and sweep.metric is None:
        yield f"sweep.also={sweep.also}: further figures to weigh against sweep.metric, which is not given"
    if config.validation is None:
        for key, figure in config.chosen_by:
            if key != "trainer.select":
                yield (
                    f"{key}={figure}: nothing is chosen to measure during training; "
                    "add benchmark@validation=heldout trainer.evaluate_every=20"
                )
