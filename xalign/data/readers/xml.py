"""XML as readers of it take it: streamed with flat memory, without entities of its own, without network."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TypeAlias

from lxml import etree

from xalign.base.errors import DataError
from xalign.base.languages import canonical, is_language
from xalign.data.readers.base import Source
from xalign.data.readers.files import existing, opened

Element: TypeAlias = etree._Element  # lxml has no other name for the class of its elements

LOOKED_AT = 4096
"""Bytes at the beginning by which a layout is recognised."""
LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def root_of(path: Path) -> str:
    """The local name of a file's first element; empty where its beginning shows none."""
    try:
        with opened(existing(path)) as file:
            beginning = file.read(LOOKED_AT).replace(b"\0", b"")  # in UTF-16 every other byte
    except DataError:
        return ""
    found = re.search(rb"<(?:\w+:)?([A-Za-z][\w.-]*)", beginning)
    return found[1].decode() if found else ""


def elements(path: Path, *names: str) -> Iterator[Element | DataError]:
    """The elements with these local names, whatever their namespace, in the order in which they end; in the
    end what is wrong, where the file is not XML to its end. Each is emptied when the next is asked for.

    Nothing outside of the file is looked at and entities that it defines are left as they are, so that a file
    of a few bytes cannot become gigabytes; texts of more than 10 MB are refused for the same reason.
    """
    try:
        with opened(existing(path)) as file:
            parser = etree.iterparse(
                file,
                events=("end",),
                tag=[f"{{*}}{name}" for name in names],
                resolve_entities=False,
                load_dtd=False,
                no_network=True,
                remove_comments=True,
                remove_pis=True,
            )
            for _, element in parser:
                yield element
                _forget(element)
    except etree.XMLSyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        yield DataError(f"'{path}'{line}: not XML: {error.msg}")
    except (LookupError, ValueError) as error:  # of an encoding that is not known
        yield DataError(f"'{path}': not XML: {error}")
    except DataError as error:
        yield error


def _forget(element: Element) -> None:
    """Free an element, and what stands before it."""
    element.clear()
    parent = element.getparent()
    if parent is not None:
        while (before := element.getprevious()) is not None:
            parent.remove(before)


def name_of(element: Element) -> str:
    """The name without its namespace."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def text_of(element: Element | None, without: Collection[str]) -> str:
    """The text of an element and those in it, but for what stands inside elements called `without`, which
    hold the program's own codes; a line break in them is a space."""
    if element is None:
        return ""
    if not len(element):
        return element.text or ""
    parts = [element.text or ""]
    for child in element:
        if isinstance(child.tag, str) and name_of(child) not in without:
            parts.append(text_of(child, without))
        parts.append(child.tail or "")
    return "".join(parts)


class Languages:
    """Codes as a file writes them -> canonical, None where the source does not want them."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._known: dict[str | None, str | None] = {None: None}

    def __getitem__(self, code: str | None) -> str | None:
        if code not in self._known:
            assert code is not None
            found = canonical(code) if is_language(code) else None
            self._known[code] = found if found is not None and self.source.wants(found) else None
        return self._known[code]
