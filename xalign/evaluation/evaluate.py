"""All parts of a benchmark on one model, each from the cache where the same was measured before."""

from dataclasses import dataclass, replace

import torch

from xalign.choices import TaskProvider
from xalign.config import BenchmarkConfig
from xalign.errors import DataError
from xalign.evaluation import tasks
from xalign.evaluation.cache import cached_part, cached_picture
from xalign.evaluation.harness import guest_task
from xalign.evaluation.representations import Picture
from xalign.evaluation.results import Evaluation, Record, Result
from xalign.evaluation.sentences import digest, picture, picture_points
from xalign.evaluation.task import Measured, Part, Session, Setting, Task
from xalign.models.backbone import Backbone, computing_in
from xalign.models.fingerprint import model_fingerprint
from xalign.progress import Advance, progress_bar

SPATIAL = {"retrieval", "mexa"}
"""Tasks whose sentences the report draws."""


@dataclass(frozen=True)
class Measurement:
    """Results, and the points of the report's picture where sentences were represented."""

    evaluation: Evaluation
    picture: Picture | None
    texts: dict[str, dict[str, list[str]]]
    """Task -> language -> what its items are made of."""


def tasks_of(benchmark: BenchmarkConfig) -> dict[str, Task]:
    """The benchmark's tasks by name.

    Raises:
        ConfigError: a package that they need is not installed.
    """
    names = dict.fromkeys(benchmark.tasks)
    if benchmark.provider is TaskProvider.lm_eval:
        return {name: guest_task(name) for name in names}
    return {name: tasks.load(name) for name in names}


def evaluate(backbone: Backbone, setting: Setting, *, model: str, dtype: torch.dtype) -> Measurement:
    """Measure the benchmark's tasks; `model` is its name in the results.

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
    points = picture_points(setting) if SPATIAL & parts.keys() else None
    session = Session(backbone, setting.benchmark)
    common: dict[str, object] = {
        "parameters": model_fingerprint(backbone.model, backbone.tokenizer),
        "dtype": str(dtype),
    }
    results: list[Result] = []
    items: dict[str, list[Record]] = {}
    with computing_in(backbone, dtype):
        for name, own in parts.items():
            with progress_bar(f"{setting.benchmark.name}: {name}", sum(p.size for p in own)) as advance:
                for part in own:
                    key = common | {"version": chosen[name].version}
                    measured = _measured(part, key, session, advance)
                    results += measured.results
                    for task, records in measured.items.items():
                        items.setdefault(task, []).extend(records)
        drawn = None
        if points:
            layer = setting.aligned_layer
            key = common | {
                "picture": digest(points),
                "layer": layer,
                "pooling": setting.benchmark.poolings[0],
                "max_length": setting.benchmark.max_length,
            }
            drawn = cached_picture(key, lambda: picture(session, points, layer))
    texts = {
        name: {part.language: list(part.texts) for part in own if part.texts} for name, own in parts.items()
    }
    return Measurement(Evaluation(model, results, items), drawn, texts)


def _measured(part: Part, common: dict[str, object], session: Session, advance: Advance) -> Measured:
    key = common | {
        "benchmark": session.benchmark.name,
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
