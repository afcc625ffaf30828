"""Verses, one a line behind their number, one translation a file: `eng-x-bible-world.txt` of the Parallel
Bible Corpus (Mayer and Cysouw 2014), with `40001001<tab>text`; also `GEN 1:1<tab>text`.

Files are joined by the number. The language is what a file's name begins with, or its last part.
"""

import logging
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from xalign.base.errors import DataError
from xalign.base.languages import canonical, is_language
from xalign.data.readers.base import Reader, Source
from xalign.data.readers.files import ending, existing, lines_or_faults, stem_and_suffix
from xalign.data.rows import Row

log = logging.getLogger(__name__)

LOOKED_AT = 40
"""Lines at the beginning by which the layout is recognised; the first may be comments."""
_VERSE = re.compile(r"(\d{8}|[1-4A-Z][A-Z]{2}[ .]\d+[:.]\d+)[\t ]\s*(.*)")


class VersesReader(Reader):
    """A folder with `eng-x-bible-world.txt`, `deu-x-bible.txt`: verses behind their numbers."""

    endings = ("txt",)
    narrows = ("lines",)

    @classmethod
    def looks_like(cls) -> str:
        return "eng-x-bible.txt beside deu-x-bible.txt"

    @classmethod
    def claims(cls, source: Source) -> bool:
        return False  # text may be anything

    @classmethod
    def recognises(cls, source: Source) -> bool:
        if source.path is None or not source.path.is_dir():
            return False
        files = _by_language(source, say=False)
        return source.pivot in files and len(files) > 1 and _has_verses(files[source.pivot])

    def files(self) -> list[Path]:
        assert self.source.path is not None
        found = _by_language(self.source, say=True)
        if not found:
            raise DataError(f"folder '{existing(self.source.path)}' holds no {self.looks_like()}")
        return list(found.values())

    def rows(self) -> Iterator[Row]:
        assert self.source.path is not None
        name, texts = self.source.path.name, dict[str, dict[str, str]]()
        for code, path in _by_language(self.source, say=True).items():
            for number, line in enumerate(lines_or_faults(path), start=1):
                if isinstance(line, DataError):
                    yield self.source.unreadable(line, name)
                elif line.strip() and not line.startswith("#"):
                    found = _VERSE.fullmatch(line)
                    if found:
                        texts.setdefault(found[1], {})[code] = found[2]
                    else:
                        error = DataError(f"'{path}', line {number}: no verse's number and text")
                        yield self.source.unreadable(error, name)
        for by_language in texts.values():
            yield Row(name, by_language)


READER = VersesReader


def _by_language(source: Source, say: bool) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in source.files:
        stem = stem_and_suffix(path)[0]
        code = next(
            (part for part in (stem.split("-")[0], stem.rpartition(".")[2]) if is_language(part)), None
        )
        if ending(path) != "txt" or code is None or not source.wants(canonical(code)):
            continue
        first = found.setdefault(canonical(code), path)
        if first != path and say:
            log.warning("%s is passed over: %s is of the same language", path, first.name)
    return found


def _has_verses(path: Path) -> bool:
    lines = [line for line in islice(lines_or_faults(path), LOOKED_AT) if isinstance(line, str)]
    verses = [line for line in lines if line.strip() and not line.startswith("#")]
    return bool(verses) and all(_VERSE.fullmatch(line) for line in verses)
