"""Records with columns (tables, JSON, hub sets) turned into rows: which column holds which language."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

from xalign.base.errors import ConfigError, DataError, did_you_mean
from xalign.base.languages import canonical, english_name, is_language
from xalign.data.readers.base import Source
from xalign.data.rows import Row

log = logging.getLogger(__name__)

Record = Mapping[str, object]
# Where a record stands, and the record.
Placed = tuple[str, Record]
# (name, path) of columns.
Names = tuple[tuple[str, str], ...]

LOOKED_AT = 100
"""Records at the beginning by whose values columns of numbers are known."""
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*")


def rows_from_records(
    records: Iterable[Placed | DataError], source: Source, name: str, *, uniform: bool
) -> Iterator[Row]:
    """Rows from (place, record) pairs, the place ('data.jsonl, line 3') for messages, or what is wrong in
    their place.

    Columns come from `data.columns`, or are those named by language codes, in a `translation` record where
    there is one: any record may bring further ones. A column of numbers is no language, and one called 'id'
    is none unless Indonesian is asked for. `uniform`: all records have the same columns.

    Raises:
        ConfigError: no record has a column of `data.columns`; two columns are of one language.
        DataError: there are no records, no language in them, or a value is not text.
    """
    stream = iter(records)
    first = list(islice(stream, LOOKED_AT))
    readable = [record for _, record in (own for own in first if not isinstance(own, DataError))]
    if not readable:
        yield from (source.unreadable(own, name) for own in first if isinstance(own, DataError))
        raise DataError(f"'{name}' holds no records")
    columns = Columns(source, name, readable)
    if uniform:
        columns.require_found()
    for own in chain(first, stream):
        yield source.unreadable(own, name) if isinstance(own, DataError) else _row(*own, columns)
    columns.require_found()


def _row(place: str, record: Record, columns: "Columns") -> Row:
    texts = {}
    for code, path in columns.of(record).items():
        value = reach(record, path)
        if isinstance(value, str):
            texts[code] = value
        elif value is not None:
            error = DataError(f"{place}: '{path}' is {type(value).__name__}, not text")
            return columns.source.unreadable(error, columns.name)
    return Row(columns.name, texts)


class Columns:
    """Which columns of a source's records hold which language."""

    def __init__(self, source: Source, name: str, first: Sequence[Record]) -> None:
        """`first` are the records at the beginning."""
        self.source, self.name = source, name
        self.seen = dict.fromkeys(path for record in first for path in _paths(record))
        configured = source.data.columns
        self.configured = {canonical(c): path for c, path in configured.items() if source.wants(canonical(c))}
        self.missing = {path for path in configured.values() if not any(_has(r, path) for r in first)}
        self.numbers = set() if configured else self._columns_of_numbers(first)
        # By the names in a record: most records have the same.
        self.by_name = {} if configured else {names: self._chosen(names) for names in map(_named, first)}

    def of(self, record: Record) -> Mapping[str, str]:
        """Language -> path of its text in a record."""
        if self.source.data.columns:
            self.missing = {path for path in self.missing if not _has(record, path)}
            return self.configured
        names = _named(record)
        if names not in self.by_name:
            self.by_name[names] = self._chosen(names)
        return self.by_name[names]

    def require_found(self) -> None:
        """Raise where what has been seen so far lacks a configured column, or has no language at all."""
        available, key = list(self.seen), f"{self.source.key}.columns"
        if self.missing:
            raise ConfigError(
                f"{key}.{code}: no column '{path}' (available: {', '.join(available)})"
                f"{did_you_mean(path, available)}"
                for code, path in self.source.data.columns.items()
                if path in self.missing
            )
        if not (self.source.data.columns or any(self.by_name.values())):
            raise DataError(
                f"'{self.name}': no column is named by one of the languages "
                f"(columns: {', '.join(available)}); {_answer(self.source, 'en: source, de: target')}"
            )

    def _chosen(self, names: Names) -> dict[str, str]:
        columns: dict[str, str] = {}
        for name, path in names:
            code = None if path in self.numbers else language_of(name, self.source)
            if code in columns:
                self._clash(code, columns[code], path)
            elif code is not None:
                columns[code] = path
        return columns

    def _columns_of_numbers(self, first: Sequence[Record]) -> set[str]:
        values: dict[str, list[object]] = {}
        for record in first:
            for name, path in _named(record):
                if language_of(name, self.source) is not None:
                    values.setdefault(path, []).append(reach(record, path))
        numbers = {path for path, own in values.items() if _are_numbers(own)}
        for path in sorted(numbers):
            code = canonical(path.rpartition(".")[2])
            log.warning(
                "%s: column '%s' holds numbers, and is not taken for %s", self.name, path, english_name(code)
            )
        return numbers

    def _clash(self, code: str, one: str, other: str) -> None:
        """Two columns of one language: a question to whoever asked for it; else the first counts."""
        if not self.source.asks_for(code):
            log.warning("%s: column '%s' is passed over: '%s' is of the same language", self.name, other, one)
            return
        answer = _answer(self.source, f"{self.source.pivot}: ..., {code}: {other}")
        both = f"'{one}' and '{other}' are both {english_name(code)}"
        raise ConfigError([f"'{self.name}': columns {both}; {answer}"])


def language_of(name: str, source: Source) -> str | None:
    """The language, of those wanted, that a column is named by."""
    if "." in name or not is_language(name):
        return None
    code = canonical(name)
    if name.lower() == "id" and not source.asks_for(code):
        return None
    return code if source.wants(code) else None


def are_parallel(records: Iterable[Record], source: Source) -> bool:
    """Whether any of the records has the columns of `data.columns`, or those of the pivot and another
    language."""
    if source.data.columns:
        return any(all(_has(r, path) for path in source.data.columns.values()) for r in records)
    languages = [{language_of(name, source) for name, _ in _named(record)} - {None} for record in records]
    return any(source.pivot in found and len(found) > 1 for found in languages)


def reach(record: Record, path: str) -> object:
    """The value at a path whose parts are separated by dots; None where there is none."""
    if path in record:
        return record[path]
    value: object = record
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _answer(source: Source, example: str) -> str:
    """How to say which column is which; a benchmark's own text has no key for it."""
    return (
        f"map them with {source.key}.columns, as in {source.key}.columns={{{example}}}"
        if source.is_of_data
        else "rename them"
    )


def _has(record: Record, path: str) -> bool:
    return path in record or path in _paths(record)


def _named(record: Record) -> Names:
    """(name, path) of each column that may be one of a language."""
    translation = record.get("translation")
    if isinstance(translation, Mapping):
        return tuple((name, f"translation.{name}") for name in translation)
    return tuple((name, name) for name in record)


def _paths(record: Record, prefix: str = "") -> Iterator[str]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _are_numbers(values: Iterable[object]) -> bool:
    """Whether all that is there, and something is, are numbers."""
    there = [value for value in values if value is not None and value != ""]
    return bool(there) and all(
        isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value.strip()))
        for value in there
    )
