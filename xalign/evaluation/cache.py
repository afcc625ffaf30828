"""Measurements kept in the cache: the one before training is the same for every run on the same model."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from xalign.cache import cache_dir, cached_dir
from xalign.evaluation.representations import Picture
from xalign.evaluation.results import Result
from xalign.evaluation.task import Measured

SPACE = 50_000_000
"""Bytes that must be free on the disk: rows, records of items, points of the picture."""

Key = Mapping[str, object]
"""Anything that JSON can write. It names all that the figures depend on: the model's files, the texts,
the settings, the task's version, the seed."""


def cached_part(key: Key, compute: Callable[[], Measured]) -> Measured:
    """`compute()`, or what it gave before for an equal key."""

    def build(folder: Path) -> None:
        measured = compute()
        rows = [asdict(row) for row in measured.results]
        _write(folder / "measured.json", {"results": rows, "items": measured.items})

    folder = _cached(key, build)
    whole = json.loads((folder / "measured.json").read_text(encoding="utf-8"))
    return Measured([Result(**row) for row in whole["results"]], whole["items"])


def cached_picture(key: Key, compute: Callable[[], Picture]) -> Picture:
    """The same for the report's picture."""
    return Picture.read(_cached(key, lambda folder: compute().write(folder / "picture.npz")) / "picture.npz")


def _cached(key: Key, build: Callable[[Path], None]) -> Path:
    text = json.dumps(key, sort_keys=True, ensure_ascii=False)
    folder = cache_dir() / "evaluations" / hashlib.sha256(text.encode()).hexdigest()

    def build_with_key(scratch: Path) -> None:
        build(scratch)
        _write(scratch / "key.json", key)

    return cached_dir(folder, build_with_key, "the evaluation", SPACE)


def _write(path: Path, value: object) -> None:
    # NaN is no JSON: a figure that is not a number is a bug, to be seen here and not by a reader.
    path.write_text(json.dumps(value, ensure_ascii=False, allow_nan=False), encoding="utf-8")
