"""Results of measurements: rows for tables, records of every item for paired tests, and their files."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from math import sqrt
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BeforeValidator

from xalign.base.errors import DataError
from xalign.base.files import checked, read_json, write_atomically
from xalign.evaluation.metrics import KNOWN, MEAN, Metric

Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One figure. `language` is a canonical code; layer and shots are None where they do not apply."""

    benchmark: str
    language: str
    metric: str
    value: float
    stderr: float | None = None
    n: int
    layer: int | None = None
    shots: int | None = None
    version: Annotated[str, BeforeValidator(str)] = "1"


@dataclass(frozen=True)
class Evaluation:
    """What one model scored. `items` maps `<benchmark>.<task>` to the records of its items; `metrics` says
    of each benchmark in the rows what its metrics are, in the order of a report."""

    model: str
    results: list[Result]
    items: dict[str, list[Record]]
    metrics: dict[str, list[Metric]] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write `path` (JSON) and, beside it, `<stem>.<benchmark>.<task>.items.jsonl`.

        Every file appears whole or not at all, and `path` last: where it is, its items are too.
        """
        for task, records in self.items.items():
            write_atomically(_items_path(path, task), (_dump(r) + "\n" for r in records))
        rows = ",\n  ".join(_dump(asdict(r)) for r in self.results)
        metrics = {name: [asdict(metric) for metric in own] for name, own in self.metrics.items()}
        heads = {"model": self.model, "items": list(self.items), "metrics": metrics}
        head = "".join(f'"{key}": {_dump(value)},\n ' for key, value in heads.items())
        write_atomically(path, f'{{{head}"results": [\n  {rows}\n]}}\n')

    @classmethod
    def read(cls, path: Path, *, items: bool = True) -> Self:
        """Read what `write` wrote; without `items` the rows alone.

        Raises:
            DataError: a file is missing, damaged or not an evaluation.
        """
        try:
            head = checked(_Head, read_json(path), str(path))
            read = {task: _read_items(_items_path(path, task)) for task in head.items} if items else {}
        except FileNotFoundError as error:
            raise DataError(f"{error.filename}: no such file (wanted by the evaluation {path})") from error
        return cls(head.model, head.results, read, head.metrics)

    def metric(self, benchmark: str, name: str) -> Metric:
        """What a metric is. Older files do not say it: of theirs, what is known by name."""
        own = self.metrics.get(benchmark, [])
        return next((metric for metric in own if metric.name == name), known(benchmark, name))

    def summaries(self, benchmark: str, name: str) -> list[Metric]:
        """The figures for all layers of a metric that has a value a layer."""
        own = [metric for metric in self.metrics.get(benchmark, []) if metric.of == name]
        return own or [metric for metric in KNOWN.values() if metric.of == name]

    def find(self, benchmark: str, metric: str, language: str, layer: int | None = None) -> Result | None:
        """The row of this measurement, or None."""
        for row in self.results:
            if (row.benchmark, row.metric, row.language, row.layer) == (benchmark, metric, language, layer):
                return row
        return None

    def mean_by_layer(self, benchmark: str, metric: str) -> dict[int, float]:
        """Mean over languages for each layer at which `metric` was measured."""
        by_layer: dict[int, list[float]] = {}
        for row in self.results:
            if (
                row.layer is not None
                and row.language != MEAN
                and (row.benchmark, row.metric) == (benchmark, metric)
            ):
                by_layer.setdefault(row.layer, []).append(row.value)
        return {layer: float(np.mean(by_layer[layer])) for layer in sorted(by_layer)}

    def best_layer(self, benchmark: str, metric: str) -> int | None:
        """The layer with the highest mean over languages (the lowest such layer), or None."""
        means = self.mean_by_layer(benchmark, metric)
        return max(means, key=lambda layer: means[layer]) if means else None


@dataclass(frozen=True, kw_only=True)
class _Head:
    """An evaluation's file, without its items."""

    model: str
    results: list[Result]
    items: tuple[str, ...] = ()
    metrics: dict[str, list[Metric]] = field(default_factory=dict)


def known(benchmark: str, name: str) -> Metric:
    """The record of a metric by its name alone: one of ours, or one of which nothing is known."""
    found = KNOWN.get(name, Metric(name=name, label=name))
    return found if found.label else replace(found, label=benchmark)


def standard_error(values: Sequence[float] | np.ndarray) -> float | None:
    """Standard error of the mean of one value an item; None for a single item."""
    return float(np.std(values, ddof=1) / sqrt(len(values))) if len(values) > 1 else None


def _items_path(path: Path, task: str) -> Path:
    safe = re.sub(r"[^\w.-]", "_", task)
    return path.with_name(f"{path.stem}.{safe}.items.jsonl")


def _read_items(path: Path, limit: int | None = None) -> list[Record]:
    records: list[Record] = []
    with path.open(encoding="utf-8") as file:
        try:
            for line in islice(file, limit):
                records.append(json.loads(line))
        except ValueError as error:
            raise DataError(f"{path}, line {len(records) + 1}: damaged ({error})") from None
    return records


def _dump(value: object) -> str:
    # NaN is no JSON: a figure that is not a number is a bug, to be seen here and not by a reader.
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
