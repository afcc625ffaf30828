"""`ParallelCorpus`: rows with one text per language (many-way) and their provenance, on Arrow."""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa

from xalign.base.cache import cached_by_key
from xalign.base.errors import ConfigError, DataError, did_you_mean
from xalign.config.text import DataConfig, LanguagesConfig
from xalign.data.cleaning import CleaningReport, clean, merge_by_pivot, normal_form, plain
from xalign.data.mixing import Mixture, parts_of, shares_of
from xalign.data.near_duplicates import without_near_duplicates
from xalign.data.readers.base import Source
from xalign.data.reading import reader_of
from xalign.data.rows import Row
from xalign.data.store import is_store, read_manifest

log = logging.getLogger(__name__)

VERSION = "4"
"""Raised whenever cleaning or merging changes what comes out; part of the cache's key."""


OWN_COLUMNS = ("source", "corpus")
"""Columns of a corpus's table that are no language."""


class ParallelCorpus:
    """A table with the column `source`, with `corpus` where it is a mixture of several, and one nullable
    text column a language.

    `revision` is the commit that it was read at, where its source has commits; `shares` says of each corpus
    of a mixture which share of the pairs is drawn from it, None: as many as there are.
    """

    def __init__(
        self,
        table: datasets.Dataset,
        name: str,
        revision: str | None = None,
        shares: Mapping[str, float] | None = None,
    ) -> None:
        self.table, self.name = table, name
        self.revision, self.shares = revision, shares
        self.languages: tuple[str, ...] = tuple(c for c in table.column_names if c not in OWN_COLUMNS)
        self._columns: dict[str, list[str | None]] = {}

    @classmethod
    def from_rows(cls, rows: Iterable[Row], name: str) -> "ParallelCorpus":
        rows = list(rows)
        languages = sorted({code for row in rows for code in row.texts})
        columns: dict[str, list[str | None]] = {"source": [row.source for row in rows]}
        if any(row.corpus is not None for row in rows):
            columns["corpus"] = [row.corpus for row in rows]
        columns |= {code: [row.texts.get(code) for row in rows] for code in languages}
        features = datasets.Features({column: datasets.Value("string") for column in columns})
        return cls(datasets.Dataset.from_dict(columns, features=features), name)

    @property
    def corpora(self) -> list[str] | None:
        """Of which of several corpora each row is; None where there is one."""
        return list(self.table["corpus"]) if "corpus" in self.table.column_names else None

    def mixture(self, rows: np.ndarray) -> Mixture:
        """How rows are drawn, by their places among these."""
        if self.shares is None or "corpus" not in self.table.column_names:
            return Mixture(None, None, len(rows))
        corpora = np.asarray(self.table["corpus"][:])
        return Mixture(corpora[rows].tolist(), self.shares, len(rows))

    def __len__(self) -> int:
        return len(self.table)

    def texts(self, language: str) -> list[str | None]:
        """The language's text of every row, None where it has none."""
        if language not in self._columns:
            present = language in self.languages
            self._columns[language] = self.table[language][:] if present else [None] * len(self)
        return self._columns[language]

    def rows_with(self, *languages: str) -> np.ndarray:
        """Indices of the rows that have all the languages."""
        present = np.ones(len(self), dtype=bool)
        for language in languages:
            present &= np.array([text is not None for text in self.texts(language)], dtype=bool)
        return np.flatnonzero(present)

    def pairs(self, pivot: str, target: str) -> list[tuple[str, str]]:
        """(pivot text, target text) of the rows that have both, in order."""
        both = zip(self.texts(pivot), self.texts(target), strict=True)
        return [(x, y) for x, y in both if x is not None and y is not None]

    def select(self, indices: Sequence[int] | np.ndarray) -> "ParallelCorpus":
        return ParallelCorpus(self.table.select(indices), self.name, self.revision, self.shares)

    @property
    def fingerprint(self) -> str:
        """sha256 of the content, the same in every process."""
        digest = hashlib.sha256()
        for language in self.languages:
            digest.update(json.dumps([language, self.texts(language)], ensure_ascii=False).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Splits:
    """Parts of a corpus that share no sentence in any language."""

    train: ParallelCorpus
    validation: ParallelCorpus
    test: ParallelCorpus


def wanted_languages(languages: LanguagesConfig) -> dict[str, str]:
    """Code -> the key that asks for it, of all languages that a run needs pairs of."""
    targets = dict.fromkeys(languages.targets, "languages.targets")
    return targets | {code: "languages.unseen" for code in languages.unseen if code not in targets}


def load_corpus(
    data: DataConfig, pivot: str, languages: Mapping[str, str]
) -> tuple[ParallelCorpus, CleaningReport]:
    """Read, clean and merge the corpus; from the cache where the same was read before.

    `languages`: code -> the config key that asks for it; none: all that the source has are taken.

    Raises:
        ConfigError: no source is given, or a language has no pairs with the pivot.
        DataError, ArtifactError: the source cannot be read.
    """
    if not (data.is_given or data.sources):
        raise ConfigError(["data: one of data.path, data.packages, data.hub and data.sources must be given"])
    if data.path and is_store(Path(data.path)):
        return _stored(Path(data.path), data, pivot, languages)
    parts = parts_of(data)
    readers = [reader_of(Source(part.data, pivot, tuple(languages), part.key)) for part in parts]

    def cleaned(report: CleaningReport) -> Iterator[Row]:
        for part, (_, reader) in zip(parts, readers, strict=True):
            for row in clean(reader.rows(), data, pivot, list(languages) or None, reader.markup, report):
                yield replace(row, corpus=part.name) if data.sources else row

    def build(folder: Path) -> None:
        report = CleaningReport()
        merged = _different(merge_by_pivot(cleaned(report), pivot, report), pivot, data, report)
        rows_kept = _sample(merged, pivot, data.max_rows)
        pairs_kept = sum(len(row.texts) - 1 for row in rows_kept)
        report.drop("over data.max_rows", report.kept - pairs_kept)
        report.kept = pairs_kept
        corpus = ParallelCorpus.from_rows(rows_kept, data.name)
        if not rows_kept:  # which `datasets` cannot save
            _require_languages(corpus, pivot, languages, report)
        corpus.table.save_to_disk(folder / "table")
        (folder / "cleaning.json").write_text(json.dumps(asdict(report)))

    key = {
        "version": [VERSION, *([name, reader.version] for name, reader in readers)],
        # Transforms change what is trained on, not what is read; split fractions neither.
        "data": {k: v for k, v in asdict(data).items() if not k.endswith("_fraction") and k != "transforms"},
        "pivot": pivot,
        "languages": list(languages),
        "state": [reader.state() for _, reader in readers],
    }
    folder = cached_by_key("corpora", key, build, f"corpus {data.name}", 200_000_000)
    revisions = [reader.revision() for _, reader in readers]
    corpus = ParallelCorpus(
        datasets.load_from_disk(folder / "table"),
        data.name,
        revisions[0] if len(revisions) == 1 else None,
        shares_of(data),
    )
    report = CleaningReport(**json.loads((folder / "cleaning.json").read_text()))
    _require_languages(corpus, pivot, languages, report)
    return corpus, report


def _stored(
    folder: Path, data: DataConfig, pivot: str, languages: Mapping[str, str]
) -> tuple[ParallelCorpus, CleaningReport]:
    """A prepared corpus, as it is: it was cleaned when it was made."""
    manifest = read_manifest(folder)
    if manifest.get("pivot") != pivot:
        raise ConfigError(
            [f"languages.pivot={pivot}: the corpus '{folder}' was prepared with {manifest.get('pivot')}"]
        )
    try:
        table = datasets.load_from_disk(folder)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"'{folder}' is damaged: {error}; prepare it again") from None
    corpus = ParallelCorpus(table, data.name)
    if languages:
        kept = [c for c in table.column_names if c in (*OWN_COLUMNS, pivot, *languages)]
        corpus = ParallelCorpus(table.select_columns(kept), data.name)
        corpus = corpus.select(np.flatnonzero(_with_any(corpus, list(languages))))
    log.info("%s: prepared, cleaned when it was made; keys of data that clean it do nothing", folder)
    report = CleaningReport(**manifest["cleaning"])
    _require_languages(corpus, pivot, languages, report)
    return corpus, report


def _with_any(corpus: ParallelCorpus, languages: Sequence[str]) -> np.ndarray:
    """Which rows have a text in any of the languages."""
    present = np.zeros(len(corpus), dtype=bool)
    for language in languages:
        if language in corpus.languages:
            present |= ~corpus.table.data.column(language).is_null().to_numpy()
    return present


def load_test_set(
    data: DataConfig, pivot: str, languages: Sequence[str], key: str = "data"
) -> ParallelCorpus:
    """A benchmark's text as it is: in the files' own order, nothing merged, only empty sides left out.

    `key` is the config group that messages speak of.

    Raises:
        ConfigError: a language has no pairs with the pivot.
        DataError: the set cannot be read.
    """
    _, reader = reader_of(Source(data, pivot, languages, key))
    rows = []
    for row in reader.rows():
        texts = {code: plain(text) for code, text in row.texts.items() if plain(text)}
        if pivot in texts and len(texts) > 1:
            rows.append(Row(row.source, texts))
    corpus = ParallelCorpus.from_rows(rows, data.name)
    _require_languages(corpus, pivot, dict.fromkeys(languages, f"{key}.languages"))
    return corpus


def split_corpus(
    corpus: ParallelCorpus, pivot: str, validation_fraction: float, test_fraction: float
) -> Splits:
    """Split by a hash of the pivot sentence, so that the split depends neither on order nor on seed.

    A row whose text in ANY language occurs in a split held out before it is dropped: nothing held out
    is trained on, in no language.
    """
    rows: list[list[int]] = [[], [], []]  # test, validation, train
    for index, text in enumerate(corpus.texts(pivot)):
        share = _uniform(normal_form(text or ""))
        rows[0 if share < test_fraction else 1 if share < test_fraction + validation_fraction else 2].append(
            index
        )
    seen: set[tuple[str, str]] = set()
    kept: list[list[int]] = []
    for indices in rows:
        own = [{(c, normal_form(t)) for c in corpus.languages if (t := corpus.texts(c)[i])} for i in indices]
        kept.append([i for i, texts in zip(indices, own, strict=True) if not texts & seen])
        seen |= set().union(*own) if own else set()
    dropped = len(corpus) - sum(map(len, kept))
    log.info(
        "split by %s sentence: %s to train, %s validation, %s test; "
        "%s dropped that share a text with one held out",
        pivot,
        *(f"{len(k):,}" for k in reversed(kept)),
        f"{dropped:,}",
    )
    test, validation, train = (corpus.select(k) for k in kept)
    return Splits(train, validation, test)


def _different(rows: list[Row], pivot: str, data: DataConfig, report: CleaningReport) -> list[Row]:
    """The rows without those that are nearly the same as one before, where that is asked for."""
    if data.near_duplicates is None:
        return rows
    kept, left_out = without_near_duplicates(rows, pivot, data.near_duplicates)
    for row, first in left_out:
        for code in row.texts.keys() - {pivot}:
            example = f"{row.texts[pivot]} ||| {first.texts[pivot]}"
            report.drop("near duplicate", 1, code, example)
            report.kept -= 1
    return kept


def _sample(rows: list[Row], pivot: str, size: int | None) -> list[Row]:
    """`size` rows, in order, chosen by a hash of the pivot text: the first ones may all be of one language.

    The hash must not be that of the split, or what is kept would all be held out.
    """
    if size is None or len(rows) <= size:
        return rows
    places = np.array([_uniform(f"sample {row.texts[pivot]}") for row in rows])
    return [rows[i] for i in np.sort(np.argsort(places, kind="stable")[:size])]


def _uniform(text: str) -> float:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _require_languages(
    corpus: ParallelCorpus, pivot: str, languages: Mapping[str, str], report: CleaningReport | None = None
) -> None:
    counts = {c: len(corpus.rows_with(pivot, c)) for c in corpus.languages if c != pivot}
    available = {c: n for c, n in sorted(counts.items(), key=lambda item: -item[1]) if n}
    missing = [c for c in languages if c not in available]
    if not missing and available:
        return
    cleaned = f"; after cleaning: {report.summary()}" if report is not None and report.dropped else ""
    if not missing:
        raise ConfigError([f"languages.pivot={pivot}: no pairs with it in {corpus.name}{cleaned}"])
    listed = ", ".join(f"{c} {n:,}" for c, n in available.items()) or "none"
    raise ConfigError(
        f"{languages[code]}={code}: no pairs with {pivot} in {corpus.name} "
        f"(of those asked for, it has: {listed}){did_you_mean(code, available)}{cleaned}"
        for code in missing
    )
