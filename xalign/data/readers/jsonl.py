"""JSON: one object a line, or an array of objects; languages are their keys, in a `translation` record, or in
`data.columns`."""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from xalign.base.errors import DataError
from xalign.data.readers.base import FileReader, Source
from xalign.data.readers.files import lines_of
from xalign.data.readers.records import Record, are_parallel, rows_from_records
from xalign.data.rows import Row

LOOKED_AT = 10
"""Objects by which the layout is recognised."""
_BETWEEN = re.compile(r"[^\s,]")
"""What ends the space and the commas between the elements of an array."""


class JsonReader(FileReader):
    """`pairs.jsonl`, `pairs.ndjson`, `pairs.json`: `{"en": ..., "de": ...}` a line, or all in an array."""

    endings = ("jsonl", "ndjson", "json")

    @classmethod
    def fits(cls, path: Path, source: Source) -> bool:
        return are_parallel(_first_records(path), source)

    def read(self, path: Path) -> Iterator[Row]:
        return rows_from_records(read_records(path), self.source, path.name, uniform=False)


READER = JsonReader


def read_records(path: Path) -> Iterator[tuple[str, Record]]:
    """('FILE, line N', object) of every object; in an array, N is the line on which it ends.

    No more is held than one object and its lines.
    """
    lines = enumerate(lines_of(path), start=1)
    for number, line in lines:
        if not line.strip():
            continue
        if line.lstrip().startswith("["):
            yield from _elements(path, chain([(number, line.lstrip()[1:])], lines))
            return
        place = f"'{path}', line {number}"
        try:
            yield place, _object(json.loads(line), place)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{place}: not JSON: {error.msg} at character {error.pos + 1} "
                "(wanted: an object a line, or one array of objects)"
            ) from None


def _elements(path: Path, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[str, Record]]:
    """The objects of an array, whose opening bracket is gone from the first of the lines."""
    decode = json.JSONDecoder().raw_decode
    text, ended = "", False
    for number, line in lines:
        place = f"'{path}', line {number}"
        text, start = text + line + "\n", 0
        while found := _BETWEEN.search(text, start):
            start = found.start()
            if ended:
                raise DataError(f"{place}: more text behind the end of the array")
            if text[start] == "]":
                ended, start = True, start + 1
                continue
            try:
                element, start = decode(text, start)
            except json.JSONDecodeError as error:
                if error.pos >= len(text.rstrip()):
                    break  # the element goes on on the next line
                raise DataError(f"{place}: not JSON: {error.msg}") from None
            yield place, _object(element, place)
        text = text[start:]
    if not ended:
        raise DataError(f"'{path}': not JSON: the array does not end")


def _object(value: object, place: str) -> Record:
    if not isinstance(value, dict):
        raise DataError(f"{place}: a JSON object is wanted, this is a {type(value).__name__}")
    return value


def _first_records(path: Path) -> list[Record]:
    """The objects at the beginning, as far as they can be read."""
    records: list[Record] = []
    try:
        for _, record in islice(read_records(path), LOOKED_AT):
            records.append(record)
    except (DataError, OSError):
        pass  # whoever reads the whole says what is wrong
    return records
