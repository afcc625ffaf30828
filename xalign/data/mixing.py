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
        if source.hub_revision is not None and not source.hub:
            yield f"data.sources.{name}.hub_revision={source.hub_revision}: of hub, which is not given"


def in_random_order(
    corpora: Sequence[str] | None, shares: Mapping[str, float] | None, count: int, rng: np.random.Generator
) -> Iterator[int]:
    """The numbers below `count`, each once, in random order; with `shares` those of each corpus come up in
    its share, as long as there are any. `corpora`: of which corpus each number is."""
    if shares is None or corpora is None:
        yield from map(int, rng.permutation(count))
        return
    names = sorted(set(corpora))
    of = np.array([names.index(name) for name in corpora])
    left = [iter(rng.permutation(np.flatnonzero(of == number))) for number in range(len(names))]
    weights = np.array([shares[name] for name in names])
    while weights.any():
        drawn = int(rng.choice(len(names), p=weights / weights.sum()))
        index = next(left[drawn], None)
        if index is None:
            weights[drawn] = 0
        else:
            yield int(index)
