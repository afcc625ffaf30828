"""What a reader of parallel text is: how it knows its layout, which files it reads, and their rows.

Importing this module, and those of readers, is cheap: a source is looked up before torch is imported.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from xalign.base.errors import DataError
from xalign.config.choices import OnError
from xalign.config.text import DataConfig
from xalign.data.readers.files import ending, existing
from xalign.data.rows import UNREADABLE, Row


@dataclass(frozen=True)
class Source:
    """What is to be read: where it is, and which languages of it."""

    data: DataConfig
    pivot: str
    targets: Sequence[str] = ()
    """Canonical codes of the languages wanted beside the pivot; none: all that there are."""
    key: str = "data"
    """The config group that messages speak of."""

    def wants(self, language: str) -> bool:
        """Whether a language, by its canonical code, is to be read."""
        return not self.targets or language == self.pivot or language in self.targets

    def asks_for(self, language: str) -> bool:
        """Whether it was named, not merely wanted because all are."""
        return language == self.pivot or language in self.targets

    @property
    def is_of_data(self) -> bool:
        """Whether the group `data` says where it is, and so can say more; not that of a benchmark."""
        return self.key.split(".")[0] == "data"

    def unreadable(self, error: DataError, name: str) -> Row:
        """What stands for something that cannot be read: a row that is only counted, or the error raised
        where `data.on_error` says so. `name` is the row's source."""
        if self.data.on_error is OnError.stop:
            raise error
        return Row(name, {}, UNREADABLE, message=str(error))

    @property
    def path(self) -> Path | None:
        return None if self.data.path is None else Path(self.data.path)

    @cached_property
    def files(self) -> list[Path]:
        """The file that `path` names, or those in the folder that it names, sorted; hidden ones left out."""
        if self.path is None or not self.path.exists():
            return []
        if not self.path.is_dir():
            return [self.path]
        return sorted(p for p in self.path.iterdir() if p.is_file() and not p.name.startswith("."))


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """Options of a reader that has none."""

    __pydantic_config__ = ConfigDict(extra="forbid")


class Reader(ABC):
    """Reads one layout of parallel text; one in a file.

    A subclass with options has a nested frozen dataclass `Config`, derived from `ReaderConfig`; they are
    given as `data.options.<option>`.
    """

    Config: ClassVar[type[ReaderConfig]] = ReaderConfig
    endings: ClassVar[tuple[str, ...]] = ()
    """Endings of the files that it reads, lower case, without the dot and without a `.gz` behind them."""
    markup: ClassVar[bool] = False
    """Whether texts are user-interface strings, whose placeholders, tags and mnemonics are taken out."""
    narrows: ClassVar[tuple[str, ...]] = ()
    """Readers of layouts that this one is a special case of, and which it goes before."""
    version: ClassVar[str] = "1"
    """Raised whenever the same files give other rows; part of the cache's key."""

    def __init__(self, source: Source, config: ReaderConfig) -> None:
        self.source, self.config = source, config

    @classmethod
    def looks_like(cls) -> str:
        """What its files are called, for messages; empty where they have no names of their own."""
        return ", ".join(f"*.{name}" for name in cls.endings)

    @classmethod
    def claims(cls, source: Source) -> bool:
        """Whether names alone say that the source is of this layout."""
        return any(ending(path) in cls.endings for path in source.files)

    @classmethod
    def candidates(cls, source: Source) -> list[Path]:
        """The files to look into: of a folder those with its endings; a file that is named in any case."""
        if source.path is not None and source.path.is_file():
            return source.files
        return [path for path in source.files if ending(path) in cls.endings]

    @classmethod
    @abstractmethod
    def recognises(cls, source: Source) -> bool:
        """Whether the source has this layout and holds the pivot. Reads no more than beginnings of files."""

    @abstractmethod
    def files(self) -> list[Path]:
        """The local files that the rows come from.

        Raises:
            DataError: they are not there, or it is not clear which are meant.
        """

    def revision(self) -> str | None:
        """The commit that is read, of a source that has commits."""
        return None

    def state(self) -> object:
        """What rows depend on besides the config, as JSON can hold it: part of the cache's key."""
        stamps = ((path, path.stat()) for path in self.files())
        return [self.revision(), *((str(path), own.st_size, own.st_mtime_ns) for path, own in stamps)]

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """The rows in the languages wanted, streamed.

        Raises:
            ConfigError: columns are missing, or more than one could be meant.
            DataError, ArtifactError: the source cannot be read.
        """


class FileReader(Reader):
    """Reads one file: the one that is named, or the only one of its kind in the folder that is named; or all
    of them, where `one_set` says that they belong together."""

    together: ClassVar[bool] = False
    """Whether files of this layout in one folder are parts of one corpus: such as have no splits."""

    @classmethod
    def one_set(cls, paths: list[Path]) -> list[Path]:
        """Of the files of this layout in a folder those that are to be read as one corpus; none: it is not
        clear which."""
        return paths if cls.together else []

    @classmethod
    @abstractmethod
    def fits(cls, path: Path, source: Source) -> bool:
        """Whether a file has this layout and holds the pivot, by its beginning."""

    @abstractmethod
    def read(self, path: Path) -> Iterator[Row]:
        """The rows of the file; raises as `rows`."""

    @classmethod
    def recognises(cls, source: Source) -> bool:
        return any(cls.fits(path, source) for path in cls.candidates(source))

    def files(self) -> list[Path]:
        assert self.source.path is not None
        found = self.candidates(self.source)
        if len(found) > 1:
            found = [path for path in found if self.fits(path, self.source)] or found
        found = found if len(found) < 2 else self.one_set(found) or found
        if len(found) == 1 or (found and self.one_set(found) == found):
            return found
        folder = existing(self.source.path)
        if not found:
            raise DataError(f"folder '{folder}' holds no {self.looks_like()} file")
        names = ", ".join(path.name for path in found)
        key = f"{self.source.key}.path"
        raise DataError(f"folder '{folder}' holds several such files; name one of them in {key}: {names}")

    def rows(self) -> Iterator[Row]:
        for path in self.files():
            yield from self.read(path)
