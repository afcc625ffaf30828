"""Tables with a header: CSV (quoted, as spreadsheets are) and TSV (no quoting, as corpora are written)."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated

from pydantic import Field

from xalign.base.errors import DataError
from xalign.data.readers.base import FileReader, ReaderConfig, Source
from xalign.data.readers.files import beginning_of, ending, lines_or_faults
from xalign.data.readers.records import Placed, are_parallel, language_of, rows_from_records
from xalign.data.rows import Row

DELIMITERS = "\t,;"
_LONGEST_CELL = 2**31 - 1
"""What `csv` takes as its limit on every system; its own is 131,072 characters."""
_SAID = re.compile(r"sep=(.)", re.IGNORECASE)
"""A first line that names Excel's delimiter."""


class TableReader(FileReader):
    """`pairs.tsv`, `pairs.csv`: a column a language, named in the first line."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ReaderConfig):
        delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
        """What stands between cells; null: of tab, comma and semicolon the one that the first line has."""

    endings = ("tsv", "csv")

    @classmethod
    def fits(cls, path: Path, source: Source) -> bool:
        header = next((line for line in beginning_of(path, 2) if not _SAID.fullmatch(line)), "")
        return any(
            are_parallel([dict.fromkeys(_cells(header, delimiter))], source) for delimiter in DELIMITERS
        )

    def read(self, path: Path) -> Iterator[Row]:
        return rows_from_records(self._records(path), self.source, path.name, uniform=True)

    def _records(self, path: Path) -> Iterator[Placed | DataError]:
        faults: list[DataError] = []
        lines = enumerate(lines_or_faults(path), start=1)
        number, first = _readable(next(lines))
        said = _SAID.fullmatch(first)
        if said:
            number, first = _readable(next(lines, (2, "")))
        assert isinstance(self.config, self.Config)
        delimiter = self.config.delimiter or (said[1] if said else _delimiter(first, path, self.source))
        csv.field_size_limit(_LONGEST_CELL)
        table = csv.reader(
            _without_faults(chain([(number, first)], lines), faults),
            delimiter=delimiter,
            quoting=csv.QUOTE_NONE if delimiter == "\t" and ending(path) != "csv" else csv.QUOTE_MINIMAL,
            strict=True,
        )
        try:
            header = next(table)
        except (csv.Error, StopIteration) as error:
            raise DataError(f"'{path}', line {number}: no header: {error}") from None
        self._require_different(header, path)
        while True:
            cells: list[str] | None = []
            try:
                cells = next(table, None)
            except csv.Error as error:
                faults.append(DataError(f"'{path}', line {table.line_num + number - 1}: {error}"))
            yield from faults
            faults.clear()
            if cells is None:
                return
            place = f"'{path}', line {table.line_num + number - 1}"
            if cells and len(cells) != len(header):
                yield DataError(f"{place}: {len(cells)} columns where the header has {len(header)}")
            elif cells:
                yield place, dict(zip(header, cells, strict=True))

    def _require_different(self, header: list[str], path: Path) -> None:
        read = self.source.data.columns.values()
        for name in header:
            used = name in read if read else language_of(name, self.source) is not None
            if used and header.count(name) > 1:
                raise DataError(
                    f"'{path}': several columns are named '{name}'; rename all but the one to read"
                )


READER = TableReader


def _readable(line: tuple[int, str | DataError]) -> tuple[int, str]:
    """The line with the header, without which nothing can be read."""
    number, text = line
    if isinstance(text, DataError):
        raise text
    return number, text


def _without_faults(lines: Iterable[tuple[int, str | DataError]], faults: list[DataError]) -> Iterator[str]:
    """The lines, ended, for `csv`; an empty one, which it passes over, for each that goes to `faults`."""
    for _, line in lines:
        if isinstance(line, DataError):
            faults.append(line)
        yield "\n" if isinstance(line, DataError) else line + "\n"


def _delimiter(header: str, path: Path, source: Source) -> str:
    """What divides the header into the most columns that are read, or else into several at all."""
    usual = "\t" if ending(path) == "tsv" else ","

    def rank(delimiter: str) -> tuple[int, bool, bool]:
        names = _cells(header, delimiter)
        read = source.data.columns.values()
        count = sum(name in read if read else language_of(name, source) is not None for name in names)
        return count, len(names) > 1, delimiter == usual

    return max(DELIMITERS, key=rank)


def _cells(header: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([header], delimiter=delimiter), [])
    except csv.Error:  # of a carriage return in the middle: whoever reads the whole says so
        return []
