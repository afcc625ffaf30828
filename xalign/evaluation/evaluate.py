"""All parts of a benchmark on one model, each from the cache where the same was measured before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch

from xalign.base.errors import DataError
from xalign.base.files import digest
from xalign.base.progress import Advance, progress_bar
from xalign.config.schema import BenchmarkConfig
from xalign.evaluation.engine.cache import cached_part, cached_picture
from xalign.evaluation.engine.representations import Picture
from xalign.evaluation.engine.session import Session, poolings_of
from xalign.evaluation.metrics import by_benchmark
from xalign.evaluation.prompts import template_key
from xalign.evaluation.results import Evaluation, Record, Result
from xalign.evaluation.sets.sentences import picture, picture_points
from xalign.evaluation.task import Measured, Part, SentenceVectors, Setting, Task
from xalign.evaluation.tasks import tasks_of
from xalign.models.backbone import Backbone, computing_in


@dataclass(frozen=True)
class Measurement:
    """Results, and the points of the report's picture where sentences were represented."""

    evaluation: Evaluation
    picture: Picture | None
    texts: dict[str, dict[str, list[str]]]
    """Task -> language -> what its items are made of; `<task>, demonstrations`: what is shown before them."""


def evaluate(
    backbone: Backbone,
    setting: Setting,
    *,
    model: str,
    dtype: torch.dtype,
    session: Session | None = None,
) -> Measurement:
    """Measure the benchmark's tasks; `model` is its name in the results.

    `session`: of the same backbone and benchmark, where its vectors are wanted afterwards.

    Every part is kept as soon as it is done, and of the slow ones every batch: an interrupted measurement
    goes on where it stopped.

    Raises:
        DataError: a task lacks its data, or all do, or the model's context is too short for an item; raised
            before anything is run.
    """
    chosen = tasks_of(setting.benchmark)
    parts = {name: task.parts(setting) for name, task in chosen.items()}
    if not any(parts.values()):
        raise DataError(
            f"benchmark {setting.benchmark.name}: none of its sets is there ({', '.join(parts)}); "
            f"benchmark.path={setting.benchmark.path}"
        )
    for part in (part for own in parts.values() for part in own):
        part.check(backbone)
    vectors = next((task.sentence_vectors for task in chosen.values() if task.sentence_vectors), None)
    points = picture_points(setting) if vectors else None
    session = session or session_of(backbone, setting.benchmark)
    common: dict[str, object] = {
        "parameters": session.fingerprint,
        "dtype": str(dtype),
    }
    if setting.benchmark.chat:
        common["template"] = template_key(backbone.tokenizer)
    done: list[Measured] = []
    with computing_in(backbone, dtype):
        for name, own in parts.items():
            with progress_bar(f"{setting.benchmark.name}: {name}", sum(p.size for p in own)) as advance:
                for part in own:
                    key = common | {"version": chosen[name].version}
                    done.append(_measured(part, key, session, advance))
        drawn = None
        if points and vectors:
            layer = setting.aligned_layer
            key = common | {
                "picture": digest(points),
                "layer": layer,
                "pooling": vectors.poolings[0],
                "max_length": vectors.max_length,
            }
            drawn = cached_picture(key, lambda: picture(session, points, vectors, layer))
    texts = {
        name: {part.language: list(part.texts) for part in own if part.texts} for name, own in parts.items()
    } | {
        f"{name}, demonstrations": {part.language: list(part.shown) for part in own if part.shown}
        for name, own in parts.items()
        if any(part.shown for part in own)
    }
    return Measurement(evaluation_of(model, done, chosen, setting.benchmark), drawn, texts)


def evaluation_of(
    model: str, parts: Iterable[Measured], tasks: Mapping[str, Task], benchmark: BenchmarkConfig
) -> Evaluation:
    """What the parts of a benchmark's tasks gave, in their order, and what their metrics are."""
    results: list[Result] = []
    items: dict[str, list[Record]] = {}
    for part in parts:
        results += part.results
        for name, records in part.items.items():
            items.setdefault(name, []).extend(records)
    metrics = by_benchmark(own for task in tasks.values() for own in task.figures(benchmark))
    return Evaluation(model, results, items, metrics)


def session_of(
    backbone: Backbone, benchmark: BenchmarkConfig, further: Iterable[SentenceVectors] = ()
) -> Session:
    """A model that a benchmark's tasks are measured on, and whatever `further` looks at sentence vectors."""
    of_tasks = [task.sentence_vectors for task in tasks_of(benchmark).values()]
    poolings = poolings_of([*of_tasks, *further])
    return Session(backbone, benchmark.name, benchmark.batch_tokens, poolings)


def _measured(part: Part, common: dict[str, object], session: Session, advance: Advance) -> Measured:
    key = common | {
        "benchmark": session.name,
        "task": part.task,
        "language": part.language,
        **part.key,
    }
    counted = 0

    def count(done: int) -> None:
        nonlocal counted
        counted += done
        advance(done)

    measured = cached_part(key, lambda journal: part.measure(replace(session, journal=journal), count))
    advance(part.size - counted)  # what came from the cache
    return measured
