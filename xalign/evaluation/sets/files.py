"""Multiple-choice sets, row by row in the hub's columns: read from a folder, or from the hub.

A folder may hold a set as its authors publish it or as the hub exports it. What lies in it is worked out
from the files' names; nothing is read before it is asked for.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from xalign.base.errors import ConfigError, DataError
from xalign.base.languages import canonical, is_language
from xalign.data.readers.files import read_lines
from xalign.data.readers.jsonl import records_of

log = logging.getLogger(__name__)

Row = Mapping[str, Any]

SPLITS = {
    "train": "train",
    "translated_train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "dev_2k": "validation",
    "eval": "validation",
    "test": "test",
    "test_2k": "test",
}
"""What splits are called in files and configs -> what they are."""

DEPTH = 3
"""Folders deep in which files are looked for."""


@dataclass(frozen=True)
class Layout:
    """How the files of a set are named, and what is in them.

    `files` is a path inside the folder or its `data/`, with `{language}` and `{split}` where these stand in
    it; `*` is anything within a name. `.jsonl`, `.tsv` (no quoting) and, in the hub's columns, `.parquet` are
    read.
    """

    files: str
    split: str = ""
    """What it holds, where the name doesn't say."""
    header: tuple[str, ...] = ()
    """Columns of a table without a first line that names them."""
    languages: Callable[[Row], Iterable[str]] | None = None
    """Codes of the languages that a row is in, where the name doesn't say."""
    adapt: Callable[[Row, str], Row | None] = lambda row, code: row
    """A row in the hub's columns, in the language of a code; None where it is not in that language."""

    def holds(self, name: str) -> Mapping[str, str] | None:
        """The language and split that a file's path says; None for a file that is not of this layout."""
        pieces = re.split(r"(\{language\}|\{split\}|\*)", self.files)
        pattern = "".join(_PATTERNS.get(piece, re.escape(piece)) for piece in pieces)
        match = re.fullmatch(pattern, name.removeprefix("data/"))
        return None if match is None else match.groupdict()


_PATTERNS = {
    "{language}": r"(?P<language>[A-Za-z]{2,3}(?:[_-][A-Za-z]{4})?)",
    "{split}": f"(?P<split>{'|'.join(sorted(SPLITS, key=len, reverse=True))})",
    "*": r"(?:[-._][^/]*)?",
}

_HUB_LAYOUTS = (
    Layout("{language}/{split}*.parquet"),
    Layout("{language}/{split}*.jsonl"),
    Layout("{split}.{language}.jsonl"),
)


@dataclass(frozen=True)
class Source:
    """A set: its official name on the hub, its languages and splits there, other layouts of its files."""

    name: str
    hub: str
    languages: Mapping[str, str]
    """Canonical code -> the hub's configuration."""
    splits: Mapping[str, str] = field(default_factory=lambda: {name: name for name in SPLITS.values()})
    """train, validation, test, as far as they exist -> the hub's name."""
    layouts: tuple[Layout, ...] = ()


@dataclass(frozen=True)
class Rows:
    """Rows of one language and split, in the hub's columns; `place` is their file or dataset.

    `places` says of each row where it stands, if that is not its number.
    """

    place: str
    rows: Sequence[Row]
    places: Sequence[str] = ()

    def where(self, index: int) -> str:
        """Where row `index` comes from, for messages."""
        return self.places[index] if self.places else f"{self.place}, row {index}"


@dataclass(frozen=True)
class BenchmarkFiles:
    """What there is of a set: (split, language) -> a function that reads its rows."""

    place: str
    readers: Mapping[tuple[str, str], Callable[[], Rows]]

    @property
    def splits(self) -> list[str]:
        """The splits that are there, of train, validation and test."""
        return [s for s in dict.fromkeys(SPLITS.values()) if any(split == s for split, _ in self.readers)]

    def languages(self, split: str) -> list[str]:
        """The languages that a split is there in."""
        return [language for own, language in self.readers if own == split]

    def rows(self, split: str, language: str) -> Rows:
        """Read a split in a language.

        Raises:
            DataError: a file is empty, not UTF-8, or not in its layout.
            ArtifactError: the hub cannot be reached.
        """
        found = self.readers[split, language]()
        if len(found.rows) == 0:
            raise DataError(f"{found.place} has no rows in '{language}'")
        return found


def in_folder(source: Source, folder: Path) -> BenchmarkFiles:
    """What a folder holds of a set, in any of its layouts or of the hub's.

    Raises:
        DataError: there is no such folder, or nothing of the set in it.
    """
    if not folder.is_dir():
        raise DataError(f"benchmark.path: no folder {folder}")
    layouts = (*source.layouts, *_HUB_LAYOUTS)
    names = sorted(_names(folder))
    parse = cache(_parse)
    codes = {config: language for language, config in source.languages.items()}
    found: dict[tuple[str, str], list[_File]] = {}
    for layout in layouts:
        for name in names:
            for split, file in _contents(folder, name, layout, parse):
                language = codes.get(file.code) or (canonical(file.code) if is_language(file.code) else "")
                if language in source.languages:
                    found.setdefault((split, language), []).append(file)
    if not found:
        there = names or sorted(path.name for path in folder.iterdir())
        raise DataError(
            f"benchmark.path: no files of {source.name} in {folder}: wanted are "
            f"{' or '.join(layout.files for layout in layouts)}; it has {', '.join(there[:8]) or 'nothing'}"
        )
    order = list(source.languages)
    return BenchmarkFiles(
        str(folder),
        {
            key: partial(_read, _shards(source.name, key, found[key]), parse)
            for key in sorted(found, key=lambda key: (key[0], order.index(key[1])))
        },
    )


def on_hub(source: Source, revision: str | None = None) -> BenchmarkFiles:
    """The set under its official name on the hub; each language is fetched when it is read.

    What the hub is known to lack is left out, with a line in the log.
    """
    from xalign.sources.hub_sets import stated_configurations

    there = stated_configurations(source.hub, revision)
    lacking = [language for language, config in source.languages.items() if there and config not in there]
    if lacking:
        log.info("%s: the hub's %s has no %s", source.name, source.hub, ", ".join(lacking))
    readers = {
        (split, language): partial(_from_hub, source, config, name, revision)
        for split, name in source.splits.items()
        for language, config in source.languages.items()
        if not there or name in there.get(config, {})
    }
    return BenchmarkFiles(f"the hub's {source.hub}", readers)


@dataclass(frozen=True)
class _File:
    """A file, or what it holds in the language that it calls `code`."""

    path: Path
    layout: Layout
    code: str


_Parse = Callable[[Path, tuple[str, ...]], Sequence[tuple[str, Row]]]


def _names(folder: Path) -> Iterator[str]:
    for depth in range(DEPTH):
        for path in folder.glob("*/" * depth + "*"):
            if path.suffix in (*_PARSERS, ".parquet") and path.is_file():
                yield path.relative_to(folder).as_posix()


def _contents(folder: Path, name: str, layout: Layout, parse: _Parse) -> Iterator[tuple[str, _File]]:
    """Split and language of what a file holds, if it is one of the layout's."""
    said = layout.holds(name)
    if said is None:
        return
    split = SPLITS[said["split"]] if "split" in said else layout.split
    if layout.languages is None:
        yield split, _File(folder / name, layout, said["language"])
    else:
        rows = parse(folder / name, layout.header)
        for code in dict.fromkeys(code for _, row in rows for code in layout.languages(row)):
            yield split, _File(folder / name, layout, code)


def _shards(name: str, key: tuple[str, str], files: Sequence[_File]) -> list[_File]:
    """One file, or all shards of one; what else holds the same is left out, with a warning."""

    def whole(file: _File) -> str:
        return re.sub(r"-\d{5}(?=-of-)", "", str(file.path))

    first = files[0]
    chosen = [file for file in files if (whole(file), file.layout) == (whole(first), first.layout)]
    for file in files:
        if whole(file) != whole(first):
            log.warning("%s: %s in '%s' is read from %s, not %s", name, *key, first.path, file.path)
    return chosen


def _read(files: Sequence[_File], parse: _Parse) -> Rows:
    place = f"'{files[0].path}'"
    if files[0].path.suffix == ".parquet":
        return Rows(place, _parquet([file.path for file in files]))
    rows, places = [], []
    for file in files:
        for where, row in parse(file.path, file.layout.header):
            try:
                own = file.layout.adapt(row, file.code)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise DataError(
                    f"{where}: not in the layout of {file.layout.files}: {error!r}; it has the columns "
                    f"{', '.join(row)}"
                ) from None
            if own is not None:
                rows.append(own)
                places.append(where)
    return Rows(place, rows, places)


def _parse(path: Path, header: tuple[str, ...]) -> Sequence[tuple[str, Row]]:
    """(place, row) of each row of a file."""
    return _PARSERS[path.suffix](path, header)


def _tsv(path: Path, header: Sequence[str]) -> list[tuple[str, Row]]:
    rows: list[tuple[str, Row]] = []
    for number, line in enumerate(read_lines(path), 1):
        cells = line.split("\t")
        if not header:
            header = cells
        elif len(cells) == len(header):
            rows.append((f"'{path}', line {number}", dict(zip(header, cells, strict=True))))
        elif line.strip():
            raise DataError(
                f"'{path}', line {number}: {len(cells)} columns instead of {len(header)}: {', '.join(header)}"
            )
    return rows


def _parquet(paths: Sequence[Path]) -> Sequence[Row]:
    # Rows stay in the table until they are looked at: XNLI has 392,702 to train on in each language.
    import pyarrow as pa
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from pyarrow import parquet

    tables = []
    for path in paths:
        try:
            tables.append(parquet.read_table(path).replace_schema_metadata())
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"'{path}' is not a parquet file, or is damaged: {error}") from None
    return Dataset(InMemoryTable(pa.concat_tables(tables)))


_PARSERS: dict[str, _Parse] = {
    ".jsonl": lambda path, header: list(records_of(path)),
    ".tsv": _tsv,
}


def _from_hub(source: Source, config: str, split: str, revision: str | None) -> Rows:
    from xalign.data import on_hub as hub

    place = f"{source.hub} {config} {split}"
    try:
        return Rows(place, hub.load(source.hub, config, split, "benchmark", revision))
    except ConfigError as error:  # the names are ours, not the user's
        raise DataError("; ".join(error.problems)) from None
