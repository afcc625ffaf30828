"""Reading a run's folder (design.md, section 5): the only place that knows its files.

A missing file is a part that the run has not written yet; one that is there but damaged raises
`DataError` naming the file and the line or row.
"""

import json
import logging
import zipfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from xalign.base.errors import DataError, RunError
from xalign.base.files import checked, read_json, read_text, read_yaml
from xalign.evaluation import blends
from xalign.evaluation.findings import AnalysedModel, file_of
from xalign.evaluation.results import Evaluation, Result
from xalign.evaluation.statistics import Comparison
from xalign.reporting.records import Environment, Representations, Run, Series
from xalign.workspace.content import is_run_config

logger = logging.getLogger(__name__)


def load_run(path: Path) -> Run:
    """Read a run's folder.

    Raises:
        RunError: `path` is not a run's folder, or its config.yaml is not a run's.
        DataError: one of its files is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        raise RunError(f"{path}: no such folder; give the folder of a run (it holds config.yaml)")
    if not (path / "config.yaml").is_file():
        raise RunError(f"{path}: not the folder of a run: it has no config.yaml")
    config = _read_config(path / "config.yaml")
    if not is_run_config(config):
        raise RunError(f"{path}: not the folder of a run: its config.yaml is not a run's")
    evaluation = path / "evaluation"
    return Run(
        path=path,
        config=config,
        environment=_read_environment(path / "environment.json"),
        metrics=_read_metrics(path / "metrics.jsonl"),
        before=_read_evaluation(evaluation / "before.json"),
        after=_read_evaluation(evaluation / "after.json"),
        comparison=_read_comparison(evaluation / "comparison.json"),
        before_representations=_read_representations(evaluation / "before.representations.npz"),
        after_representations=_read_representations(evaluation / "after.representations.npz"),
        analyses={
            moment: AnalysedModel.read(file)
            for moment in ("before", "after")
            if (file := file_of(evaluation, moment)).is_file()
        },
        blends=_series({point.share: {**point.figures} for point in blends.read(evaluation)}),
    )


def parse_results(rows: object, source: str) -> list[Result]:
    """Rows of an evaluation file (`source` is what error messages call it).

    Raises:
        DataError: a row lacks a field or a field has the wrong type.
    """
    return checked(list[Result], rows, source)


def _read_config(path: Path) -> Mapping[str, Any]:
    config = read_yaml(path)
    return checked(dict[str, Any], {} if config is None else config, str(path))


def _read_environment(path: Path) -> Environment:
    if not path.is_file():
        return Environment()
    free = checked(dict[str, Any], read_json(path), str(path))
    known = {field.name for field in fields(Environment)} - {"other"}
    named = {key: free.pop(key) for key in known & free.keys() if free[key] is not None}
    return checked(Environment, {**named, "other": free}, str(path))


def _read_metrics(path: Path) -> Mapping[str, Series]:
    if not path.is_file():
        return {}
    text = read_text(path)
    lines = text.splitlines()
    by_step: dict[float, dict[str, float | None]] = {}
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        try:
            row = checked(dict[str, float | None], json.loads(line), where)
        except json.JSONDecodeError as error:
            if number == len(lines) and not text.endswith("\n"):
                # What a killed run leaves: the step is repeated when the run goes on.
                logger.warning("%s: the last line is cut off and left out", where)
                break
            raise DataError(f"{where}: not valid JSON ({error.msg})") from None
        step = row.pop("step", None)
        if step is None:
            raise DataError(f"{where}: 'step' is missing")
        # A resumed run writes the steps since its checkpoint again: the last word counts.
        by_step[int(step)] = row
    return _series(by_step)


def _series(rows: Mapping[float, Mapping[str, float | None]]) -> Mapping[str, Series]:
    """Name -> its values, from rows of names and values by step or share."""
    logged: dict[str, list[tuple[float, float]]] = {}
    for place, row in sorted(rows.items()):
        for name, value in row.items():
            if value is not None:
                logged.setdefault(name, []).append((place, value))
    return {name: Series(*np.array(points, dtype=np.float64).T) for name, points in logged.items()}


def _read_evaluation(path: Path) -> Evaluation | None:
    return Evaluation.read(path, items=False) if path.is_file() else None


def _read_comparison(path: Path) -> tuple[Comparison, ...]:
    return checked(tuple[Comparison, ...], read_json(path), str(path)) if path.is_file() else ()


def _read_representations(path: Path) -> Representations | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = Representations(
                vectors=arrays["vectors"].astype(np.float32),
                languages=tuple(str(code) for code in arrays["languages"]),
                sentences=arrays["sentences"].astype(np.int64),
                texts=tuple(str(text) for text in arrays["texts"]),
            )
    except KeyError as error:
        raise DataError(f"{path}: {error.args[0]}") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a readable .npz file ({error})") from None
    lengths = {len(found.vectors), len(found.languages), len(found.sentences), len(found.texts)}
    if len(lengths) > 1 or found.vectors.ndim != 2:
        raise DataError(f"{path}: its arrays differ in length, or 'vectors' is not (n, D)")
    return found
