"""Records with columns (tables, JSON, hub sets) turned into rows: which column holds which language."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from xalign.config import DataConfig
from xalign.data.rows import Row
from xalign.errors import ConfigError, DataError, did_you_mean
from xalign.languages import canonical, is_language

Record = Mapping[str, object]


def rows_from_records(
    records: Iterable[tuple[str, Record]], data: DataConfig, languages: Sequence[str], source: str
) -> Iterator[Row]:
    """Rows from (place, record) pairs; the place ('data.jsonl, line 3') is for messages.

    Columns come from `data.columns`, or are those of the first record that are named by language codes (in a
    `translation` record, if there is one). Raises ConfigError for a configured column that the first record
    lacks, DataError for a value that is not text.
    """
    stream = iter(records)
    first = next(stream, None)
    if first is None:
        raise DataError(f"'{source}' holds no records")
    columns = _configured(data, first[1]) if data.columns else _by_name(first, languages)
    wanted = {code: path for code, path in columns.items() if not languages or code in languages}
    for place, record in chain([first], stream):
        texts = {}
        for code, path in wanted.items():
            value = _reach(record, path)
            if isinstance(value, str):
                texts[code] = value
            elif value is not None:
                raise DataError(f"{place}: '{path}' is {type(value).__name__}, not text")
        yield Row(source, texts)


def _configured(data: DataConfig, record: Record) -> dict[str, str]:
    available = list(_paths(record))
    problems = [
        f"data.columns.{code}: no column '{path}' (available: {', '.join(available)})"
        f"{did_you_mean(path, available)}"
        for code, path in data.columns.items()
        if path not in available
    ]
    if problems:
        raise ConfigError(problems)
    return {canonical(code): path for code, path in data.columns.items()}


def _by_name(first: tuple[str, Record], languages: Sequence[str]) -> dict[str, str]:
    place, record = first
    translation = record.get("translation")
    prefix, names = ("translation.", translation) if isinstance(translation, Mapping) else ("", record)
    columns: dict[str, str] = {}
    for name in names:
        if is_language(name) and (not languages or canonical(name) in languages):
            columns.setdefault(canonical(name), prefix + name)
    if not columns:
        raise DataError(
            f"{place}: no column is named by one of the languages (columns: {', '.join(_paths(record))}); "
            "map them with data.columns, as in data.columns={en: source, de: target}"
        )
    return columns


def _paths(record: Record, prefix: str = "") -> Iterator[str]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _reach(record: Record, path: str) -> object:
    if path in record:
        return record[path]
    value: object = record
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value
