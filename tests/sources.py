"""Reading a source as a corpus would, for tests of readers."""

from pathlib import Path

from xalign.config.text import DataConfig
from xalign.data.readers.base import Source
from xalign.data.reading import reader_of
from xalign.data.rows import Row


def rows_of(
    path: Path | None, targets: list[str] | None = None, pivot: str = "en", **data: object
) -> list[Row]:
    """The rows at a path in the pivot and the targets, or in all languages; `data` are further keys."""
    config = DataConfig(**{"name": "own", "path": None if path is None else str(path), **data})  # type: ignore[arg-type]
    return rows_with(config, targets, pivot)


def rows_with(
    config: DataConfig, targets: list[str] | None = None, pivot: str = "en", key: str = "data"
) -> list[Row]:
    """The rows that a config says."""
    return list(reader_of(Source(config, pivot, targets or [], key))[1].rows())


def texts_of(
    path: Path, targets: list[str] | None = None, pivot: str = "en", **data: object
) -> list[dict[str, str]]:
    """The texts of the rows, by language."""
    return [row.texts for row in rows_of(path, targets, pivot, **data)]


def format_of(path: Path, pivot: str = "en") -> str:
    """The name of the reader that recognises what is at a path."""
    return reader_of(Source(DataConfig(name="own", path=str(path)), pivot))[0]
