"""Names of entities in several languages: from a table, or what the training pairs show of them."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from xalign.base.errors import DataError
from xalign.base.languages import canonical, is_language
from xalign.data.words import word

Span = tuple[int, int, int]
"""First character of a name in a text, one past the last, and the entity's number."""
MIDDLE = 0.5
"""Share of its occurrences inside a sentence in which a word must begin with a capital to be a name."""


def names_of(file: Path) -> list[dict[str, str]]:
    """The rows of a table (TSV) whose columns are languages: language -> the entity's name in it.

    Raises:
        DataError: a column that is no language, or no row with two names.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 ({error})") from None
    for column in rows[0] if rows else ():
        if column is None or not is_language(column):
            raise DataError(f"{file}, line 1: '{column}' is no language; columns are languages (en, de, ...)")
    found = [
        {canonical(code): name.strip() for code, name in row.items() if name and name.strip()} for row in rows
    ]
    found = [names for names in found if len(names) > 1]
    if not found:
        raise DataError(f"{file}: no row with an entity's name in two languages")
    return found


def capitalised(texts: Sequence[str]) -> set[str]:
    """Words that begin with a capital, mostly, where they do not begin a sentence: names, in languages that
    write nothing else so."""
    capital: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for text in texts:
        tokens = text.split()
        for before, token in pairwise(tokens):
            own = token[slice(*word(token))]
            if own and before[-1] not in ".!?:":
                every[own.lower()] += 1
                capital[own.lower()] += own[0].isupper() and not own.isupper()
    return {own for own, count in every.items() if capital[own] >= MIDDLE * count}


def mined_names(
    texts: Sequence[str], translations: Mapping[str, Mapping[str, str]], pivot: str
) -> list[dict[str, str]]:
    """Names among the pivot's words that have mined translations: target -> word -> translation."""
    capitals = capitalised(texts)
    found: dict[str, dict[str, str]] = {}
    for target, words in translations.items():
        for own, other in words.items():
            if own in capitals:
                found.setdefault(own, {pivot: own.title()})[target] = other.title()
    return list(found.values())


def pattern_of(names: Sequence[str]) -> re.Pattern[str]:
    """Any of the names, as it is written, as whole words; longer ones first."""
    alternatives = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)")


def with_entities(texts: list[str], names: list[str]) -> Iterator[tuple[str, list[Span]]]:
    """Texts that name an entity, and where: longer names first, whole words, as they are written."""
    if not names:
        return
    number = {name: i for i, name in enumerate(names)}
    pattern = pattern_of(names)
    for text in texts:
        spans = [(*match.span(), number[match.group()]) for match in pattern.finditer(text)]
        # What nothing stands before is predicted from nothing.
        if spans := [span for span in spans if text[: span[0]].strip()]:
            yield text, spans
