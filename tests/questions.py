"""Questions of a multiple-choice task as they would be asked, for its tests."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from xalign.config.schema import BenchmarkConfig
from xalign.evaluation.engine.multiple_choice import Questions
from xalign.evaluation.task import Part, Setting
from xalign.evaluation.tasks import TASKS, tasks_of


def parts(name: str, path: Path | None, pivot: str = "en", seed: int = 0, **options: Any) -> list[Part]:
    """The parts of a task on the files in a folder."""
    task = TASKS.load(name)
    own = {key: options.pop(key) for key in [f.name for f in fields(task.Config)] if key in options}
    options = {"name": "toy", "tasks": [name], "path": None if path is None else str(path), **options}
    benchmark = BenchmarkConfig(**options, options={name: task.Config(**own)})
    setting = Setting(benchmark, None, None, pivot, [], aligned_layer=1, seed=seed)
    return tasks_of(benchmark)[name].parts(setting)


def questions(name: str, path: Path | None, **options: Any) -> dict[str, Questions]:
    """Language -> what it is asked."""
    found = {}
    for part in parts(name, path, **options):
        assert isinstance(part.measure, partial)
        found[part.language] = part.measure.args[0]
    return found


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    """Write rows, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_tsv(path: Path, *rows: Iterable[object]) -> Path:
    """Write rows of cells, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path
