"""JSONL: one object a line; languages are its keys, in a `translation` record, or in `data.columns`."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from xalign.config import DataConfig
from xalign.data.readers.files import one_file, read_lines
from xalign.data.readers.records import Record, rows_from_records
from xalign.data.rows import Row
from xalign.errors import DataError

ENDINGS = ("jsonl", "ndjson", "json")


def read(data: DataConfig, languages: Sequence[str]) -> Iterator[Row]:
    """Rows of `data.path` in the given languages (none given: all)."""
    assert data.path is not None
    path = one_file(data.path, ENDINGS)
    return rows_from_records(read_records(path), data, languages, path.name)


def read_records(path: Path) -> Iterator[tuple[str, Record]]:
    """('FILE, line N', object) for every line that is not empty."""
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        place = f"'{path}', line {number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{place}: not JSON: {error.msg} at character {error.pos + 1}") from None
        if not isinstance(record, dict):
            raise DataError(
                f"{place}: a JSON object is wanted, one a line; this is a {type(record).__name__}"
            )
        yield place, record
