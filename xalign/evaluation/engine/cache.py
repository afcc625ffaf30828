"""Measurements kept in the cache: the one before training is the same for every run on the same model."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from xalign.base.cache import cache_dir, cached_by_key
from xalign.base.files import digest
from xalign.evaluation.engine.journal import Journal
from xalign.evaluation.engine.representations import Picture
from xalign.evaluation.results import Result
from xalign.evaluation.task import Measured

SPACE = 50_000_000
"""Bytes that must be free on the disk: rows, records of items, points of the picture."""

Key = Mapping[str, object]
"""Anything that JSON can write. It names all that the figures depend on: the model's files, the texts,
the settings, the task's version, the seed."""


def cached_part(key: Key, compute: Callable[[Journal], Measured]) -> Measured:
    """`compute(journal)`, or what it gave before for an equal key.

    The journal is that of an earlier, interrupted try, if there was one; it goes once the part is whole.
    """
    file = cache_dir() / "evaluations" / f".{digest(key)}.journal"

    def build(folder: Path) -> None:
        measured = compute(Journal(file))
        rows = [asdict(row) for row in measured.results]
        # NaN is no JSON: a figure that is not a number is a bug, to be seen here and not by a reader.
        text = json.dumps({"results": rows, "items": measured.items}, ensure_ascii=False, allow_nan=False)
        (folder / "measured.json").write_text(text, encoding="utf-8")

    folder = _cached(key, build)
    file.unlink(missing_ok=True)
    whole = json.loads((folder / "measured.json").read_text(encoding="utf-8"))
    return Measured([Result(**row) for row in whole["results"]], whole["items"])


def cached_picture(key: Key, compute: Callable[[], Picture]) -> Picture:
    """The same for the report's picture."""
    return Picture.read(_cached(key, lambda folder: compute().write(folder / "picture.npz")) / "picture.npz")


def _cached(key: Key, build: Callable[[Path], None]) -> Path:
    return cached_by_key("evaluations", key, build, "the evaluation", SPACE)
