"""What a corpus holds, what cleaning leaves of it, and what is odd about it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from xalign.base.errors import XalignError
from xalign.base.spacing import evenly_spaced
from xalign.config.choices import OnError
from xalign.config.text import DataConfig
from xalign.data.cleaning import CleaningReport, clean, merge_by_pivot
from xalign.data.mixing import parts_of
from xalign.data.readers.base import Source
from xalign.data.reading import reader_of
from xalign.data.rows import Row
from xalign.data.shortcuts import retrieval_by_shortcuts
from xalign.data.survey import survey

FEWEST = 50
"""Pairs of a language from which on retrieval by shortcuts is measured."""


@dataclass
class SourceFound:
    """One corpus of those that were read."""

    name: str
    format: str
    rows_read: int = 0
    problem: str | None = None
    """Why it could not be read to its end."""


@dataclass
class LanguageFound:
    """The pairs with the pivot that cleaning leaves of a language, or the pivot's own sentences."""

    rows: int
    characters: list[float]
    """5th, 50th and 95th percentile of the lengths."""
    ratio: float | None = None
    """Median of the number of characters over the pivot's."""
    dropped: dict[str, int] = field(default_factory=dict)
    shortcuts: dict[str, float] = field(default_factory=dict)
    """Retrieval@1 by what has no meaning; of few pairs it says nothing."""
    samples: list[tuple[str, str]] = field(default_factory=list)
    """Some pairs, evenly spaced."""


@dataclass
class Inspection:
    """All that was found; `rows_*` count rows of any number of languages, `dropped` counts pairs."""

    pivot: str
    rows_read: int
    rows_kept: int
    sources: list[SourceFound]
    passed_over: dict[str, str]
    report: CleaningReport
    found: dict[str, LanguageFound]

    def as_json(self) -> dict[str, Any]:
        """As the output file has it."""
        return {
            "rows_read": self.rows_read,
            "rows_kept": self.rows_kept,
            "pairs_kept": self.report.kept,
            "dropped": self.report.dropped,
            "languages": {code: own.rows for code, own in self.found.items()},
            "pivot": self.pivot,
            "sources": [asdict(own) for own in self.sources],
            "passed_over": self.passed_over,
            "dropped_by_language": self.report.by_language,
            "dropped_examples": self.report.examples,
            "by_language": {code: asdict(own) for code, own in self.found.items()},
        }


def inspect(data: DataConfig, pivot: str, targets: Sequence[str], samples: int) -> Inspection:
    """Read, clean and join a corpus, or each that a folder holds; what cannot be read is told, not raised.

    Raises:
        ConfigError, DataError, ArtifactError: nothing can be read at all.
    """
    surveyed = survey(data, pivot, targets)
    data = replace(surveyed.data, on_error=OnError.skip)
    report, sources = CleaningReport(), list[SourceFound]()
    rows = merge_by_pivot(_cleaned(data, pivot, targets, report, sources), pivot, report)
    found = {}
    for code, count in Counter(code for row in rows for code in row.texts).most_common():
        own = [row for row in rows if code in row.texts]
        lengths = np.array([len(row.texts[code]) for row in own])
        found[code] = LanguageFound(count, [float(own) for own in np.percentile(lengths, (5, 50, 95))])
        if code == pivot:
            continue
        pairs = [(row.texts[pivot], row.texts[code]) for row in own]
        found[code].ratio = float(np.median([len(y) / len(x) for x, y in pairs]))
        found[code].dropped = report.by_language.get(code, {})
        if len(pairs) >= FEWEST:
            found[code].shortcuts = retrieval_by_shortcuts(pairs)
        found[code].samples = evenly_spaced(pairs, samples)
    read = sum(own.rows_read for own in sources)
    return Inspection(pivot, read, len(rows), sources, surveyed.passed_over, report, found)


def _cleaned(
    data: DataConfig,
    pivot: str,
    targets: Sequence[str],
    report: CleaningReport,
    sources: list[SourceFound],
) -> Iterator[Row]:
    first: XalignError | None = None
    for part in parts_of(data):
        own = SourceFound(part.name, part.data.format)
        sources.append(own)
        try:
            own.format, reader = reader_of(Source(part.data, pivot, targets, part.key))
            counted = _counted(reader.rows(), own)
            yield from clean(counted, data, pivot, list(targets) or None, reader.markup, report)
        except XalignError as error:
            own.problem = str(error)
            first = first or error
    if first is not None and all(own.problem and not own.rows_read for own in sources):
        raise first


def _counted(rows: Iterator[Row], own: SourceFound) -> Iterator[Row]:
    for row in rows:
        own.rows_read += 1
        yield row
