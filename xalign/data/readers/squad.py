"""Parallel question answering in SQuAD's layout, one file a language (`xquad.de.json`), as parallel text: its
questions and its paragraphs. The order is the same in all files; questions are joined by their id, paragraphs
by that of their first question.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from xalign.base.errors import DataError
from xalign.base.languages import canonical, is_language
from xalign.data.readers.base import Reader, Source
from xalign.data.readers.files import ending, existing, opened, read_text, stem_and_suffix
from xalign.data.rows import Row


class SquadReader(Reader):
    """A folder with `xquad.en.json`, `xquad.de.json`: questions and paragraphs."""

    endings = ("json",)

    @classmethod
    def looks_like(cls) -> str:
        return "xquad.en.json beside xquad.de.json"

    @classmethod
    def claims(cls, source: Source) -> bool:
        return False  # JSON may be anything

    @classmethod
    def recognises(cls, source: Source) -> bool:
        files = _by_language(source)
        return source.pivot in files and len(files) > 1 and _is_squad(files[source.pivot])

    def files(self) -> list[Path]:
        assert self.source.path is not None
        found = _by_language(self.source)
        if not found:
            raise DataError(f"'{existing(self.source.path)}' holds no files such as xquad.en.json")
        return list(found.values())

    def rows(self) -> Iterator[Row]:
        texts: dict[str, dict[str, str]] = {}
        assert self.source.path is not None
        self.files()
        for code, path in _by_language(self.source).items():
            for key, text in _texts(path):
                texts.setdefault(key, {})[code] = text
        for by_language in texts.values():
            yield Row(self.source.path.name, by_language)


READER = SquadReader


def _by_language(source: Source) -> dict[str, Path]:
    """Language -> file of the set that the path names, in a folder the only one; those that are wanted."""
    path = source.path
    if path is None or not path.exists():
        return {}
    found: dict[str, dict[str, Path]] = {}
    for own in sorted((path if path.is_dir() else path.parent).iterdir()):
        stem, _, code = stem_and_suffix(own)[0].rpartition(".")
        if ending(own) == "json" and is_language(code) and source.wants(canonical(code)):
            found.setdefault(stem, {})[canonical(code)] = own
    if path.is_file():
        return next((files for files in found.values() if path in files.values()), {})
    return next(iter(found.values())) if len(found) == 1 else {}


def _is_squad(path: Path) -> bool:
    try:
        with opened(path) as file:
            beginning = file.read(4096)
    except (DataError, OSError):
        return False
    return b'"paragraphs"' in beginning or (b'"data"' in beginning and b'"title"' in beginning)


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    try:
        for article in json.loads(read_text(path))["data"]:
            for paragraph in article["paragraphs"]:
                for number, asked in enumerate(paragraph["qas"]):
                    if number == 0:
                        yield f"paragraph {asked['id']}", paragraph["context"]
                    yield f"question {asked['id']}", asked["question"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"'{path}' is not in SQuAD's layout: {error!r}") from None
