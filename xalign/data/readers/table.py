"""Tables with a header: TSV (no quoting, as corpora are written) and CSV (quoted, as spreadsheets are)."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from xalign.config import DataConfig
from xalign.data.readers.files import one_file, read_text, stem_and_suffix
from xalign.data.readers.records import Record, rows_from_records
from xalign.data.rows import Row
from xalign.errors import DataError

ENDINGS = ("tsv", "csv")


def read(data: DataConfig, languages: Sequence[str]) -> Iterator[Row]:
    """Rows of `data.path` in the given languages (none given: all)."""
    assert data.path is not None
    path = one_file(data.path, ENDINGS)
    return rows_from_records(_records(path), data, languages, path.name)


def _records(path: Path) -> Iterator[tuple[str, Record]]:
    # Only newlines end a row: `splitlines` would also break at separators inside a sentence.
    lines = (line + "\n" for line in read_text(path).split("\n"))
    if stem_and_suffix(path)[1] == "tsv":
        table = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        table = csv.reader(lines, strict=True)
    try:
        header = next(table)
        for cells in table:
            if not cells:
                continue
            place = f"'{path}', line {table.line_num}"
            if len(cells) != len(header):
                raise DataError(f"{place}: {len(cells)} columns where the header has {len(header)}")
            yield place, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"'{path}', line {table.line_num}: {error}") from None
