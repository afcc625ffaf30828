"""Localisation files, XLIFF 1.0 to 1.2 and 2.x (OASIS): source and target of units, one target a file.

What a translator has not finished, by its state, is only counted. Codes of the program are left out of texts.
"""

from collections.abc import Iterator
from pathlib import Path

from xalign.base.errors import DataError
from xalign.data.readers.base import FileReader, Source
from xalign.data.readers.xml import Element, Languages, elements, name_of, root_of, text_of
from xalign.data.rows import Row

CODES = frozenset({"bpt", "ept", "it", "ph", "x", "bx", "ex", "sc", "ec", "sm", "em"})
UNFINISHED = {"new": "not translated", "needs-translation": "not translated", "initial": "not translated"}
"""States of a target -> why its pair is not read; all that begin with `needs-`, for review."""


class XliffReader(FileReader):
    """`messages.de.xlf`, `app.xliff`: one target language each; of a folder all."""

    endings = ("xlf", "xliff", "sdlxliff", "mqxliff", "mxliff")
    markup = True
    together = True

    @classmethod
    def fits(cls, path: Path, source: Source) -> bool:
        return root_of(path) == "xliff"

    def read(self, path: Path) -> Iterator[Row]:
        languages = Languages(self.source)
        for unit in elements(path, "trans-unit", "segment", "unit"):
            if isinstance(unit, DataError):
                yield self.source.unreadable(unit, path.name)
                continue
            if name_of(unit) == "unit":  # of segments that were read; met to be forgotten
                continue
            parts = {name_of(part): part for part in unit}
            first, second = _languages(unit)
            texts: dict[str, str] = {}
            for code, name in ((languages[first], "source"), (languages[second], "target")):
                text = text_of(parts.get(name), CODES)
                if code is not None and text:
                    texts.setdefault(code, text)
            yield Row(path.name, texts, _fault(unit, parts.get("target")))


READER = XliffReader


def _languages(unit: Element) -> tuple[str | None, str | None]:
    """The codes of source and target, which stand on `file` (1.x) or on the root (2.x)."""
    first = second = None
    for element in unit.iterancestors():
        first = first or element.get("source-language") or element.get("srcLang")
        second = second or element.get("target-language") or element.get("trgLang")
    return first, second


def _fault(unit: Element, target: Element | None) -> str | None:
    if target is None:
        return "not translated"
    if any(own.get("translate") == "no" for own in (unit, *unit.iterancestors())):
        return "not to be translated"
    state = target.get("state") or unit.get("state") or ""
    if state in UNFINISHED:
        return UNFINISHED[state]
    if state.startswith("needs-") or unit.get("approved") == "no":
        return "not approved"
    return None
