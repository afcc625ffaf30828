"""Names of figures, `eval/<benchmark>/<metric>/<language>`: which a benchmark logs, known before anything is
loaded."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from xalign.base.errors import did_you_mean
from xalign.base.languages import canonical, is_language
from xalign.config.choices import TaskProvider
from xalign.config.schema import BenchmarkConfig
from xalign.evaluation.metrics import HARMLESS, MEAN, Kind, Metric
from xalign.evaluation.tasks import tasks_of

Key = TypeVar("Key")
"""What values are chosen between: a step, a share."""


def metrics_of(benchmark: BenchmarkConfig) -> list[tuple[str, Metric]]:
    """(benchmark's name in rows, metric) of everything that can be logged during training.

    Raises:
        ConfigError, DataError: a task of lm-evaluation-harness is not there, or cannot be loaded.
    """
    found = [own for task in tasks_of(benchmark).values() for own in task.figures(benchmark)]
    use = any(metric.harm is not None for _, metric in found)
    aligned = any(matches(metric) for name, metric in found if name == benchmark.name)
    return [*found, (benchmark.name, HARMLESS)] if use and aligned else found


def tells_harm(benchmark: BenchmarkConfig) -> bool:
    """Whether it measures use and alignment both, without asking lm-evaluation-harness, which measures
    neither so."""
    return benchmark.provider is TaskProvider.xalign and (benchmark.name, HARMLESS) in metrics_of(benchmark)


def matches(metric: Metric) -> bool:
    """Whether it says at each layer how well translations match: the first such metric of a benchmark is its
    measure of alignment."""
    return metric.kind is Kind.match and metric.has_layers


def harmless_figure(benchmark: str) -> str:
    """The figure by which the most aligned of the harmless steps is chosen; `benchmark` is what measures."""
    return f"eval/{benchmark}/{HARMLESS.name}/{MEAN}"


def figures_of(benchmark: BenchmarkConfig) -> dict[str, Metric]:
    """`eval/<benchmark>/<metric>` -> what the metric is, of everything that can be logged.

    Raises:
        ConfigError, DataError: a task of lm-evaluation-harness is not there, or cannot be loaded.
    """
    return {f"eval/{name}/{metric.name}": metric for name, metric in metrics_of(benchmark)}


def metric_of(figure: str, benchmark: BenchmarkConfig) -> Metric:
    """What a figure's metric is; the figure must be one that the benchmark logs."""
    return figures_of(benchmark)[figure.rpartition("/")[0]]


def rules(
    key: str, figure: str, benchmark: BenchmarkConfig, languages: Sequence[str], *, guests: bool = False
) -> Iterator[str]:
    """What is wrong with a figure that is to be chosen by.

    Args:
        key: of the config, for the message.
        figure: its value.
        benchmark: what is measured.
        languages: those of the run, the pivot first.
        guests: whether to ask lm-evaluation-harness, too, which takes seconds and loads the tasks' data.
    """
    if benchmark.provider is TaskProvider.lm_eval and not guests:
        if not (figure.startswith("eval/") and figure.count("/") == 3):
            yield f"{key}={figure}: must be eval/<benchmark>/<metric>/<language>, or mean as the language"
        return
    known = figures_of(benchmark)
    name, _, language = figure.rpartition("/")
    if name not in known:
        names = [f"{own}/{MEAN}" for own in known]
        near = did_you_mean(figure, names)
        yield f"{key}={figure}: not measured{near} (there are: {', '.join(names)})"
        return
    if language == MEAN or benchmark.provider is TaskProvider.lm_eval:
        return
    if known[name] == HARMLESS:
        yield f"{key}={figure}: is of all languages together: {harmless_figure(benchmark.name)}"
        return
    possible = _languages(benchmark, name, languages)
    if not is_language(language):
        yield f"{key}={figure}: '{language}' is neither {MEAN} nor a language"
    elif possible is not None and canonical(language) not in possible:
        yield f"{key}={figure}: not measured in '{language}' (in: {', '.join(possible)}, {MEAN})"
    elif language != canonical(language):
        yield f"{key}={figure}: write {name}/{canonical(language)}"


def _languages(benchmark: BenchmarkConfig, name: str, languages: Sequence[str]) -> Sequence[str] | None:
    """The languages that a figure may be measured in; None where only the data says."""
    if benchmark.languages:
        return [*languages[:1], *(canonical(code) for code in benchmark.languages)]
    own = next(
        task
        for task in tasks_of(benchmark).values()
        if any(name == f"eval/{place}/{metric.name}" for place, metric in task.figures(benchmark))
    )
    of_task = own.languages()
    if of_task is not None:
        return list(of_task)
    return None if benchmark.own_text else languages


def is_better(value: float, best: float | None, metric: Metric) -> bool:
    """Whether a value is better than the best so far; one that is no number never is."""
    if value != value:  # NaN
        return False
    if best is None or best != best:
        return True
    return value > best if metric.higher_is_better else value < best


def best_of(values: Mapping[Key, float], metric: Metric) -> Key | None:
    """The key of the best value, the first of equals; None where none is a number."""
    best: Key | None = None
    for key, value in values.items():
        if is_better(value, None if best is None else values[best], metric):
            best = key
    return best
