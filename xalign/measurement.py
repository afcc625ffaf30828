"""Measuring a model: loading it, finding the text, the cache; all of `python -m xalign.evaluate`."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from xalign.config import BenchmarkConfig, Config, DataConfig, EvaluateConfig, ModelConfig, Task
from xalign.data.parallel import ParallelCorpus, Splits, load_corpus, load_test_set, split_corpus
from xalign.environment import keep_freed_memory, quiet_libraries, set_up_logging
from xalign.evaluation.cache import cached_evaluation
from xalign.evaluation.evaluate import VERSIONS, Measurement
from xalign.evaluation.evaluate import evaluate as run_tasks
from xalign.evaluation.representations import Picture
from xalign.evaluation.results import Evaluation
from xalign.languages import canonical
from xalign.models.backbone import Backbone
from xalign.models.fingerprint import model_fingerprint
from xalign.models.loading import load_model_and_tokenizer
from xalign.reporting.console import print_results
from xalign.training.decisions import (
    Decisions,
    choose_device,
    choose_layer,
    choose_precision,
    choose_threads,
)

log = logging.getLogger(__name__)


def load_backbone(model: ModelConfig, device: torch.device, seed: int) -> Backbone:
    """The model and tokenizer of a config, on a device, in evaluation mode."""
    return Backbone(*load_model_and_tokenizer(model, seed)).to(device).eval()


def measure(
    backbone: Backbone,
    benchmark: BenchmarkConfig,
    test: ParallelCorpus | None,
    demonstrations: ParallelCorpus | None,
    *,
    model: str,
    pivot: str,
    languages: Sequence[str],
    layer: int,
    seed: int,
    dtype: torch.dtype,
) -> tuple[Evaluation, Picture | None]:
    """The benchmark's figures for a model, from the cache where the same was measured before."""

    def compute() -> Measurement:
        return run_tasks(
            backbone,
            benchmark,
            test,
            demonstrations,
            model=model,
            pivot=pivot,
            languages=languages,
            aligned_layer=layer,
            seed=seed,
            dtype=dtype,
        )

    key = {
        "model": model,
        "parameters": model_fingerprint(backbone.model, backbone.tokenizer),
        "benchmark": asdict(benchmark),
        "files": _stamps(benchmark.path) if Task.xcopa in benchmark.tasks else [],
        "test": test.fingerprint if test is not None else None,
        "demonstrations": demonstrations.fingerprint if demonstrations is not None else None,
        "pivot": pivot,
        "languages": list(languages),
        "layer": layer,
        "seed": seed,
        "dtype": str(dtype),
        "versions": VERSIONS,
    }
    measured = cached_evaluation(key, compute)
    return measured.evaluation, measured.picture


def evaluate(config: EvaluateConfig) -> None:
    """Measure one model; print the results and, if asked, write them."""
    set_up_logging(None)
    quiet_libraries()
    keep_freed_memory()
    decisions = Decisions()
    choose_threads(None, 1, decisions)
    device = choose_device(decisions)
    dtype = choose_precision(config.benchmark.precision, device, decisions)
    languages = [canonical(c) for c in config.benchmark.languages]
    test, demonstrations = texts_to_measure(config, languages)
    if test is not None and not languages:
        languages = [c for c in test.languages if c != config.languages.pivot]
    backbone = load_backbone(config.model, device, config.seed)
    evaluation, _ = measure(
        backbone,
        config.benchmark,
        test,
        demonstrations,
        model=config.model.path or config.model.name,
        pivot=config.languages.pivot,
        languages=languages,
        layer=choose_layer(None, backbone.depth, decisions),
        seed=config.seed,
        dtype=dtype,
    )
    if config.output:
        evaluation.write(Path(config.output))
        log.info("results: %s", config.output)
    print_results([asdict(r) for r in evaluation.results])


def texts_to_measure(
    config: Config | EvaluateConfig, languages: Sequence[str], splits: Splits | None = None
) -> tuple[ParallelCorpus | None, ParallelCorpus | None]:
    """The text to measure on and the text that demonstrations come from, as far as the tasks need them.

    A benchmark with a path brings its own text; otherwise it is what the corpus holds out.
    """
    benchmark, pivot = config.benchmark, config.languages.pivot
    if all(task is Task.xcopa for task in benchmark.tasks):
        return None, None
    if benchmark.path:
        return load_test_set(DataConfig(name=benchmark.name, path=benchmark.path), pivot, languages), None
    if splits is None:
        languages = languages or [*config.languages.targets, *config.languages.unseen]
        corpus, _ = load_corpus(config.data, pivot, languages)
        splits = split_corpus(corpus, pivot, config.data.validation_fraction, config.data.test_fraction)
    return splits.test, splits.validation


def _stamps(folder: str | None) -> list[tuple[str, int, int]]:
    """Name, size and time of each file: changes when the files do."""
    files = sorted(p for p in Path(folder or ".").iterdir() if p.is_file()) if folder else []
    return [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
