"""Contrastive batches: languages by temperature, no sentence twice, all a function of (seed, step)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from xalign.base.errors import ConfigError
from xalign.config.schema import Config
from xalign.data.cleaning import normal_form
from xalign.data.parallel import ParallelCorpus

T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """A sentence and its translation; equal keys mark texts that count as the same sentence."""

    row: int
    """Where in the corpus both are."""
    source: str
    target: str
    target_language: str
    source_key: int
    target_key: int


class PairSampler:
    """Samples the global batch of a step, of which every rank takes its part.

    Raises:
        ConfigError: a language has too few different pairs for its share of a batch (at the first batch).
    """

    def __init__(
        self,
        corpus: ParallelCorpus,
        pivot: str,
        targets: Sequence[str],
        *,
        batch_size: int,
        languages_per_batch: int,
        temperature: float,
        seed: int,
    ) -> None:
        self.targets = list(targets)
        self.batch_size, self.languages_per_batch, self.seed = batch_size, languages_per_batch, seed
        self.corpus, self.pivot = corpus, pivot
        # Numbers, not `Pair`s, which would take hundreds of bytes each: a corpus may have millions.
        self.rows = {target: corpus.rows_with(pivot, target) for target in self.targets}
        self.mixtures = {target: corpus.mixture(rows) for target, rows in self.rows.items()}
        self.keys = {language: _keys(corpus.texts(language)) for language in (pivot, *self.targets)}
        self.distinct = {
            target: min(len(np.unique(self.keys[language][rows])) for language in (pivot, target))
            for target, rows in self.rows.items()
        }
        self.probabilities = language_probabilities([len(self.rows[t]) for t in self.targets], temperature)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> list[Pair]:
        """This rank's `batch_size` pairs of the step, one language after another.

        The rank takes its part of every language's share, so that the ranks' batches together are the
        global batch of `batch_size * ranks` pairs.
        """
        return part_of_rank(self.shares(step, ranks), rank, ranks)

    def shares(self, step: int, ranks: int = 1) -> list[list[Pair]]:
        """The step's global batch: equally many pairs of each language sampled."""
        share = self.batch_size // self.languages_per_batch
        # All languages at every step: a rare one would else stop a run after hours.
        problems = [self._too_few(t, share * ranks, n) for t, n in self.distinct.items() if n < share * ranks]
        if problems:
            raise ConfigError(problems)
        rng = np.random.default_rng([self.seed, step])
        languages = rng.choice(
            self.targets, size=self.languages_per_batch, replace=False, p=self.probabilities
        )
        used: set[tuple[str, int]] = set()
        return [self._sample(str(language), share * ranks, rng, used) for language in languages]

    def _sample(
        self, language: str, count: int, rng: np.random.Generator, used: set[tuple[str, int]]
    ) -> list[Pair]:
        """`count` pairs of a language, none of whose sides is in `used`, to which they are added."""
        rows = self.rows[language]
        source_keys, target_keys = self.keys[self.pivot], self.keys[language]
        sampled: list[Pair] = []
        for index in self.mixtures[language].order(rng):
            row = int(rows[index])
            source, target = int(source_keys[row]), int(target_keys[row])
            sides = {("source", source), ("target", target)}
            if not sides & used:
                used |= sides
                x, y = (text_of(self.corpus, code, row) for code in (self.pivot, language))
                sampled.append(Pair(row, x, y, language, source, target))
                if len(sampled) == count:
                    return sampled
        raise ConfigError([self._too_few(language, count, len(sampled))])

    def _too_few(self, language: str, count: int, found: int) -> str:
        return too_few_pairs(self.batch_size, language, count, found)


def too_few_pairs(batch_size: int, language: str, count: int, found: int) -> str:
    """What to say where a batch takes `count` pairs of a language over all ranks, and `found` are there."""
    return (
        f"trainer.batch_size={batch_size}: a batch takes {count} pairs of '{language}' over all ranks, but "
        f"only {found} different ones are there; lower it, or drop the language"
    )


def different_pairs(corpus: ParallelCorpus, pivot: str, target: str, enough: int) -> int:
    """How many pairs a batch could take, none of whose sides is another's; counted no further than
    `enough`."""
    sources: set[str] = set()
    targets: set[str] = set()
    for source, translation in corpus.pairs(pivot, target):
        sources.add(normal_form(source))
        targets.add(normal_form(translation))
        if min(len(sources), len(targets)) >= enough:
            return enough
    return min(len(sources), len(targets))


def sampler_of(config: Config, corpus: ParallelCorpus) -> PairSampler:
    """The pairs of a corpus as a config samples them."""
    languages, trainer = config.languages, config.trainer
    return PairSampler(
        corpus,
        languages.pivot,
        languages.targets,
        batch_size=trainer.batch_size,
        languages_per_batch=trainer.languages_per_batch,
        temperature=languages.temperature,
        seed=config.seed,
    )


def part_of_rank(shares: Sequence[Sequence[T]], rank: int, ranks: int) -> list[T]:
    """A rank's pairs of a global batch, or whatever there is one of for each, one language after another."""
    return [
        own
        for share in shares
        for own in share[rank * len(share) // ranks : (rank + 1) * len(share) // ranks]
    ]


def text_of(corpus: ParallelCorpus, language: str, row: int) -> str:
    """The text of a row that has one in this language."""
    text = corpus.texts(language)[row]
    assert text is not None
    return text


def text_key(text: str) -> int:
    """A number (63 bits) that is equal for texts that count as the same sentence."""
    digest = hashlib.blake2b(normal_form(text).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _keys(texts: Sequence[str | None]) -> np.ndarray:
    return np.array([-1 if text is None else text_key(text) for text in texts], dtype=np.int64)


def language_probabilities(counts: Sequence[int], temperature: float) -> np.ndarray:
    """count ** temperature, normalised: 1 draws as found, 0 uniformly (Conneau & Lample 2019, sec. 3.1)."""
    weights = np.asarray(counts, dtype=np.float64) ** temperature
    return weights / weights.sum()
