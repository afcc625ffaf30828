"""Several corpora as one: which there are, and in which shares their pairs are drawn."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from xalign.config.text import DataConfig, PlaceConfig


@dataclass(frozen=True)
class Part:
    """One corpus of those that `data` names."""

    name: str
    data: DataConfig
    key: str
    """The config group that messages speak of."""


def parts_of(data: DataConfig, key: str = "data") -> list[Part]:
    """The corpora in the order in which they are given; one where there are no `sources`."""
    if not data.sources:
        return [Part(data.name, data, key)]
    places = [field.name for field in fields(PlaceConfig)]
    return [
        Part(
            name,
            replace(data, sources={}, **{place: getattr(source, place) for place in places}),
            f"{key}.sources.{name}",
        )
        for name, source in data.sources.items()
    ]


def shares_of(data: DataConfig) -> dict[str, float] | None:
    """Corpus -> its share of the pairs; None: as many as there are."""
    shares = {name: source.share for name, source in data.sources.items() if source.share is not None}
    return shares or None


def rules(data: DataConfig) -> Iterator[str]:
    """What is wrong with the sources, whatever they hold."""
    without = [name for name, source in data.sources.items() if source.share is None]
    if without and len(without) < len(data.sources):
        yield f"data.sources.{without[0]}.share: required where other sources have one"
    for name, source in data.sources.items():
        if not source.is_given:
            yield f"data.sources.{name}.path: required, but not given (or hub, or packages)"


class Mixture:
    """Rows of several corpora that are drawn in shares, or of one."""

    def __init__(self, corpora: Sequence[str] | None, shares: Mapping[str, float] | None, count: int) -> None:
        """`corpora`: of which corpus each of `count` rows is; None, as `shares`: all are drawn alike."""
        self.count = count
        self.parts: list[np.ndarray] = []
        self.weights = np.zeros(0)
        if corpora is not None and shares is not None:
            names, of = np.unique(np.asarray(corpora), return_inverse=True)
            self.parts = [np.flatnonzero(of == number) for number in range(len(names))]
            self.weights = np.array([shares[str(name)] for name in names])

    def order(self, rng: np.random.Generator) -> Iterator[int]:
        """The places of all rows, each once, in random order; of each corpus one comes up in its share, as
        long as there are any."""
        if not self.parts:
            yield from map(int, rng.permutation(self.count))
            return
        left = [iter(rng.permutation(part)) for part in self.parts]
        weights = self.weights.copy()
        while weights.any():
            drawn = int(rng.choice(len(left), p=weights / weights.sum()))
            place = next(left[drawn], None)
            if place is None:
                weights[drawn] = 0
            else:
                yield int(place)

    def one(self, rng: np.random.Generator) -> int:
        """The place of a row."""
        if not self.parts:
            return int(rng.integers(self.count))
        part = self.parts[int(rng.choice(len(self.parts), p=self.weights / self.weights.sum()))]
        return int(part[rng.integers(len(part))])
