"""Translation memories, TMX 1.1 to 1.4 (https://www.gala-global.org/tmx-14b), of translation programs.

A unit may hold any number of languages; of several texts in one language the first counts. Codes of the
program (`bpt`, `ept`, `it`, `ph`, `ut`) are left out of texts, what is highlighted (`hi`) stays.
"""

from collections.abc import Iterator
from pathlib import Path

from xalign.base.errors import DataError
from xalign.data.readers.base import FileReader, Source
from xalign.data.readers.xml import LANG, Element, Languages, elements, name_of, root_of, text_of
from xalign.data.rows import Row

CODES = frozenset({"bpt", "ept", "it", "ph", "ut"})


class TmxReader(FileReader):
    """`memory.tmx`: a unit's texts with their languages; of a folder all."""

    endings = ("tmx",)
    together = True

    @classmethod
    def fits(cls, path: Path, source: Source) -> bool:
        return root_of(path) == "tmx"

    def read(self, path: Path) -> Iterator[Row]:
        languages = Languages(self.source)
        for unit in elements(path, "tu"):
            if isinstance(unit, DataError):
                yield self.source.unreadable(unit, path.name)
            else:
                yield Row(path.name, _texts(unit, languages))


READER = TmxReader


def _texts(unit: Element, languages: Languages) -> dict[str, str]:
    texts: dict[str, str] = {}
    for variant in unit:
        if name_of(variant) != "tuv":
            continue
        code = languages[variant.get(LANG) or variant.get("lang")]
        if code is None or code in texts:
            continue
        text = text_of(next((own for own in variant if name_of(own) == "seg"), None), CODES)
        if text:
            texts[code] = text
    return texts
