"""Results of measurements: rows for tables, records of every item for paired tests, and their files."""

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from typing import Any, Self

import numpy as np

from xalign.errors import DataError

Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One figure. `language` is a canonical code; layer and shots are None where they do not apply."""

    benchmark: str
    language: str
    metric: str
    value: float
    stderr: float | None
    n: int
    layer: int | None = None
    shots: int | None = None
    version: str = "1"


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
        path.parent.mkdir(parents=True, exist_ok=True)
        for task, records in self.items.items():
            write_atomically(_items_path(path, task), (_dump(r) + "\n" for r in records))
        rows = ",\n  ".join(_dump(asdict(r)) for r in self.results)
        head = f'"model": {_dump(self.model)},\n "items": {_dump(list(self.items))}'
        write_atomically(path, [f'{{{head},\n "results": [\n  {rows}\n]}}\n'])

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            DataError: a file is missing, damaged or not an evaluation.
        """
        try:
            whole = json.loads(path.read_text(encoding="utf-8"))
            results = [Result(**row) for row in whole["results"]]
            items = {task: _read_items(_items_path(path, task)) for task in whole.get("items", [])}
            return cls(whole["model"], results, items)
        except FileNotFoundError as error:
            raise DataError(f"{error.filename}: no such file (wanted by the evaluation {path})") from error
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is not an evaluation file, or is damaged: {error!r}") from error


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


def write_atomically(path: Path, lines: Iterable[str]) -> None:
    """Write text under a temporary name in the same folder, then rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(lines)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _items_path(path: Path, task: str) -> Path:
    safe = re.sub(r"[^\w.-]", "_", task)
    return path.with_name(f"{path.stem}.{safe}.items.jsonl")


def _read_items(path: Path) -> list[Record]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _dump(value: object) -> str:
    # NaN is no JSON: a figure that is not a number is a bug, to be seen here and not by a reader.
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
