"""Sentences made up for analyses: Gaussian vectors, no two texts alike."""

from collections.abc import Mapping, Sequence

import numpy as np

from xalign.config.choices import Pooling
from xalign.evaluation.analyses.base import Sentences

SIZE = 8


def sentences(counts: Mapping[str, int], layers: Sequence[int] = (0,), shared: bool = True) -> Sentences:
    """So many pairs of each language with English; `shared`: all languages translate the same sentences."""
    languages: list[str] = []
    groups: list[int] = []
    pairs = {}
    of_pivot = 0
    if shared:
        of_pivot = max(counts.values())
        languages += ["en"] * of_pivot
        groups += range(of_pivot)
    for code, count in counts.items():
        first = 0 if shared else len(languages)
        if not shared:
            groups += range(of_pivot, of_pivot + count)
            languages += ["en"] * count
        start = len(languages)
        pairs[code] = np.array([[first + i, start + i] for i in range(count)], dtype=np.int64)
        groups += [groups[first + i] for i in range(count)]
        languages += [code] * count
        of_pivot += 0 if shared else count
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(len(languages), len(layers), SIZE)).astype(np.float32)
    return Sentences(
        pivot="en",
        layers=list(layers),
        vectors={Pooling.mean: vectors},
        languages=languages,
        groups=np.array(groups, dtype=np.int64),
        pairs=pairs,
    )
