"""Results of measurements: rows for tables, records of every item for paired tests, and their files."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from math import sqrt
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BeforeValidator

from xalign.errors import DataError
from xalign.files import checked, read_json, write_atomically

MEAN = "mean"
"""Stands in the place of the language in rows over all languages."""

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
    """What one model scored. `items` maps `<benchmark>.<task>` to the records of its items."""

    model: str
    results: list[Result]
    items: dict[str, list[Record]]

    def write(self, path: Path) -> None:
        """Write `path` (JSON) and, beside it, `<stem>.<benchmark>.<task>.items.jsonl`.

        Every file appears whole or not at all, and `path` last: where it is, its items are too.
        """
        for task, records in self.items.items():
            write_atomically(_items_path(path, task), (_dump(r) + "\n" for r in records))
        rows = ",\n  ".join(_dump(asdict(r)) for r in self.results)
        head = f'"model": {_dump(self.model)},\n "items": {_dump(list(self.items))}'
        write_atomically(path, f'{{{head},\n "results": [\n  {rows}\n]}}\n')

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
        return cls(head.model, head.results, read)

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


LAYER_SUMMARIES: dict[str, dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    "retrieval@1": {"best": lambda values: values.max(-1)},
    "mexa": {"max": lambda values: values.max(-1), "mean": lambda values: values.mean(-1)},
}
"""Metrics that have a value a layer -> what is said of all layers (..., L) together."""


def summary_name(metric: str, summary: str) -> str:
    """`retrieval@1_centred` and `best` make `retrieval@1_best_centred`."""
    name, *variants = metric.split("_")
    return "_".join([name, summary, *variants])


def standard_error(values: Sequence[float] | np.ndarray) -> float | None:
    """Standard error of the mean of one value an item; None for a single item."""
    return float(np.std(values, ddof=1) / sqrt(len(values))) if len(values) > 1 else None


def candidates(path: Path) -> dict[str, int]:
    """How many candidates an item has, by benchmark, for the multiple-choice items of an evaluation.

    Read off each first record: the items of a benchmark have equally many. Files that are not there are
    left out.

    Raises:
        DataError: a file is damaged.
    """
    counts = {}
    for task in checked(_Head, read_json(path), str(path)).items:
        if _items_path(path, task).is_file():
            first = _read_items(_items_path(path, task), 1)
            if first and "log_likelihoods" in first[0]:
                counts[task.rsplit(".", 1)[0]] = len(first[0]["log_likelihoods"])
    return counts


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
