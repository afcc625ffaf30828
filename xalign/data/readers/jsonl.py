"""JSON: one object a line, or an array of objects; languages are their keys, in a `translation` record, or in
`data.columns`."""

import json
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from xalign.base.errors import DataError
from xalign.data.readers.base import FileReader, Source
from xalign.data.readers.files import LONGEST_LINE, lines_or_faults, parts_of
from xalign.data.readers.records import Placed, Record, are_parallel, rows_from_records
from xalign.data.rows import Row

LOOKED_AT = 10
"""Objects by which the layout is recognised."""
_BETWEEN = re.compile(r"[^\s,]")
"""What ends the space and the commas between the elements of an array."""
_TOKEN = 64
"""Characters: no token but a string is longer."""


class JsonReader(FileReader):
    """`pairs.jsonl`, `pairs.ndjson`, `pairs.json`: `{"en": ..., "de": ...}` a line, or all in an array."""

    endings = ("jsonl", "ndjson", "json")

    @classmethod
    def fits(cls, path: Path, source: Source) -> bool:
        return are_parallel(_first_records(path), source)

    def read(self, path: Path) -> Iterator[Row]:
        return rows_from_records(read_records(path), self.source, path.name, uniform=False)


READER = JsonReader


def records_of(path: Path) -> Iterator[Placed]:
    """('FILE, line N', object) of every object; raises DataError at the first that cannot be read."""
    for own in read_records(path):
        if isinstance(own, DataError):
            raise own
        yield own


def read_records(path: Path) -> Iterator[Placed | DataError]:
    """('FILE, line N', object) of every object, or what is wrong with it; in an array, N is the line on which
    it ends, and what is wrong with one ends it.

    No more is held than one object and a megabyte of the file.
    """
    try:
        beginning = next(parts_of(path), "")
    except DataError:
        beginning = ""  # is met again, where its line is known
    if not beginning.lstrip().startswith("["):
        yield from _lines(path)
        return
    try:
        yield from _elements(path)
    except RecursionError:
        yield DataError(f"'{path}': nested too deeply")
    except DataError as error:
        yield error


def _lines(path: Path) -> Iterator[Placed | DataError]:
    for number, line in enumerate(lines_or_faults(path), start=1):
        place = f"'{path}', line {number}"
        if isinstance(line, DataError):
            yield line
            continue
        if not line.strip():
            continue
        try:
            yield place, _object(json.loads(line), place)
        except json.JSONDecodeError as error:
            yield DataError(
                f"{place}: not JSON: {error.msg} at character {error.pos + 1} "
                "(wanted: an object a line, or one array of objects)"
            )
        except RecursionError:
            yield DataError(f"{place}: nested too deeply")
        except DataError as error:
            yield error


def _elements(path: Path) -> Iterator[Placed]:
    """The objects of the array that a file holds."""
    decode = json.JSONDecoder().raw_decode
    text, start, number, enough = "", 0, 1, 0
    opened, ended = False, False
    for part in chain(parts_of(path), [None]):
        last = part is None
        text, start = text[start:] + (part or ""), 0
        if len(text) < enough and not last:
            continue  # an object of many parts is not parsed anew at each
        while found := _BETWEEN.search(text, start):
            number += text.count("\n", start, found.start())
            start = found.start()
            if ended:
                raise DataError(f"'{path}', line {number}: more text behind the end of the array")
            if not opened or text[start] == "]":
                opened, ended, start = True, opened, start + 1
                continue
            try:
                element, end = decode(text, start)
            except json.JSONDecodeError as error:
                if not last and _may_go_on(error, len(text) - start):
                    enough = 2 * (len(text) - start)
                    break
                number += text.count("\n", start, error.pos)
                raise DataError(f"'{path}', line {number}: not JSON: {error.msg}") from None
            number, start, enough = number + text.count("\n", start, end), end, 0
            place = f"'{path}', line {number}"
            yield place, _object(element, place)
    if not ended:
        raise DataError(f"'{path}': not JSON: the array does not end")


def _may_go_on(error: json.JSONDecodeError, size: int) -> bool:
    """Whether what is wrong may only be that the rest is not there yet. `size`: characters of the object."""
    unfinished = error.msg.startswith("Unterminated string") or error.pos + _TOKEN > len(error.doc)
    return unfinished and size < LONGEST_LINE


def _object(value: object, place: str) -> Record:
    if not isinstance(value, dict):
        raise DataError(f"{place}: a JSON object is wanted, this is a {type(value).__name__}")
    return value


def _first_records(path: Path) -> list[Record]:
    """The objects at the beginning that can be read: whoever reads the whole says what is wrong."""
    try:
        first = list(islice(read_records(path), LOOKED_AT))
    except OSError:
        return []
    return [own[1] for own in first if not isinstance(own, DataError)]
