"""What the config groups of measurements must say: tasks, analyses, and figures that something is chosen by.

Imports nothing heavy.
"""

from collections.abc import Iterator

from xalign.config.choices import TaskProvider
from xalign.config.problems import one_of
from xalign.config.schema import AnalyzeConfig, BenchmarkConfig, Config, EvaluateConfig
from xalign.evaluation import figures
from xalign.evaluation.analyses import ANALYSES, analyses_of, problems_of
from xalign.evaluation.tasks import TASKS


def rules(config: Config | EvaluateConfig) -> Iterator[str]:
    """What can be said of tasks, figures and analyses without the model and the text."""
    yield from _benchmark_rules(config.benchmark, "benchmark")
    if isinstance(config, Config | AnalyzeConfig):
        yield from _analysis_rules(config)
    if isinstance(config, Config):
        yield from _sweep_rules(config)
        yield from _validation_rules(config)


def _benchmark_rules(benchmark: BenchmarkConfig, key: str) -> Iterator[str]:
    known = TASKS.names()
    for task in benchmark.tasks:
        # What the harness knows is asked of it, later: looking takes it seconds.
        if benchmark.provider is TaskProvider.xalign and task not in known:
            yield one_of(f"{key}.tasks", task, known)
    if benchmark.fewshot_as_multiturn is not None and not benchmark.chat:
        given = str(benchmark.fewshot_as_multiturn).lower()
        yield f"{key}.fewshot_as_multiturn={given}: needs {key}.chat=true"
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


def _validation_rules(config: Config) -> Iterator[str]:
    """Measuring during training: never on what is measured at the end, and never in vain."""
    validation, every, select = config.validation, config.trainer.evaluate_every, config.trainer.select
    blends = config.export.blends
    if validation is None:
        for key, value in (("evaluate_every", every), ("select", select)):
            if value is not None:
                yield f"trainer.{key}={value}: nothing is chosen to measure; add benchmark@validation=heldout"
        if blends:
            yield f"export.blends={blends}: nothing is chosen to measure; add benchmark@validation=use"
        return
    if every is None and (select is not None or not blends):
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
    if blends and not figures.tells_harm(validation):
        yield (
            f"export.blends={blends}: benchmark@validation={validation.name} measures no use beside "
            "alignment; benchmark@validation=use does"
        )


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
