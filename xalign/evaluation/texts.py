"""What is measured: the parallel text, and the setting in which tasks are asked."""

from dataclasses import dataclass

from xalign.base.errors import ConfigError
from xalign.base.languages import canonical
from xalign.config.schema import BenchmarkConfig, Config, EvaluateConfig
from xalign.data.parallel import ParallelCorpus, Splits, load_corpus, split_corpus, wanted_languages
from xalign.evaluation.sets.own_text import load_own_text
from xalign.evaluation.task import Setting
from xalign.evaluation.tasks import tasks_of


@dataclass(frozen=True)
class Texts:
    """Parallel text to measure on, and text that shares no sentence with it, for demonstrations."""

    test: ParallelCorpus | None
    demonstrations: ParallelCorpus | None = None


def setting_of(benchmark: BenchmarkConfig, texts: Texts, *, pivot: str, layer: int, seed: int) -> Setting:
    """What a benchmark measures: without languages of its own, all of the text's."""
    languages = [canonical(c) for c in benchmark.languages]
    if texts.test is not None and not languages:
        languages = [c for c in texts.test.languages if c != pivot]
    return Setting(
        benchmark=benchmark,
        corpus=texts.test,
        demonstrations=texts.demonstrations,
        pivot=pivot,
        languages=languages,
        aligned_layer=layer,
        seed=seed,
    )


def texts_to_measure(config: Config | EvaluateConfig, splits: Splits | None = None) -> Texts:
    """The parallel text to measure on, and that demonstrations come from, as far as tasks need them.

    A benchmark with a text of its own brings it; otherwise it is what the corpus holds out.

    Raises:
        ConfigError: a path that nothing would be read from.
    """
    benchmark, pivot = config.benchmark, config.languages.pivot
    languages = [canonical(c) for c in benchmark.languages]
    parallel = [task.parallel_text for task in tasks_of(benchmark).values()]
    if not any(parallel):
        return Texts(None)
    if benchmark.path and not benchmark.own_text and all(parallel):
        raise ConfigError(
            [
                f"benchmark.path={benchmark.path}: {benchmark.name} measures what the corpus holds out; "
                "benchmark.own_text=true measures the text in that folder"
            ]
        )
    if benchmark.own_text:
        of_run = wanted_languages(config.languages)
        return Texts(*load_own_text(benchmark, pivot, languages, list(of_run)))
    if splits is None:
        asked = dict.fromkeys(languages, "benchmark.languages") or wanted_languages(config.languages)
        corpus, _ = load_corpus(config.data, pivot, asked)
        splits = split_corpus(corpus, pivot, config.data.validation_fraction, config.data.test_fraction)
    return Texts(splits.test, splits.validation)
