"""The transforms of a run, one after the other; every sample has random numbers of its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from zlib import crc32

import numpy as np

from xalign.config import Config
from xalign.data.instructions.base import InstructionSample
from xalign.data.parallel import ParallelCorpus
from xalign.data.sampling import Pair
from xalign.data.transforms import TRANSFORMS
from xalign.data.transforms.base import Samples, Setup, Transform

T = TypeVar("T", Pair, InstructionSample)

STREAMS = {Samples.pairs: 2, Samples.instructions: 3}
"""Keep the random numbers of transforms apart from those that samples are drawn with (`instructions.base`),
which share seed and step."""


class Chain:
    """Transforms in the order in which they are applied.

    Random numbers depend on the seed, the step, the sample's place in the global batch and the transform's
    name: not on the rank, and not on which other transforms there are.
    """

    def __init__(self, transforms: Mapping[str, Transform], seed: int) -> None:
        self.seed = seed
        self._pairs = _those_of(transforms, Samples.pairs)
        self._instructions = _those_of(transforms, Samples.instructions)

    def pairs(self, pairs: Sequence[Pair], places: Sequence[int], step: int) -> list[Pair]:
        """The pairs, changed; `places`: where each is in the step's global batch."""
        numbers = _numbers(self.seed, step, Samples.pairs)
        found = list(pairs)
        for number, transform in self._pairs:
            found = [
                _applied(transform, transform.pair, own, numbers(place, number))
                for own, place in zip(found, places, strict=True)
            ]
        _require_same_sentences(pairs, found)
        return found

    def instructions(
        self, samples: Sequence[InstructionSample], places: Sequence[int], step: int
    ) -> list[InstructionSample]:
        """The instruction samples, changed; `places`: where each is in the step's global batch."""
        numbers = _numbers(self.seed, step, Samples.instructions)
        found = list(samples)
        for number, transform in self._instructions:
            found = [
                _applied(transform, transform.instruction, own, numbers(place, number))
                for own, place in zip(found, places, strict=True)
            ]
        return found


def chain_of(config: Config, corpus: ParallelCorpus) -> Chain:
    """The configured transforms, for training on this corpus."""
    setup = Setup(corpus, config.languages.pivot, config.languages.targets)
    made = {name: TRANSFORMS.load(own.kind)(own, setup) for name, own in config.data.transforms.items()}
    return Chain(made, config.seed)


def _those_of(transforms: Mapping[str, Transform], samples: Samples) -> list[tuple[int, Transform]]:
    """The transforms that change such samples, each with the number of its name."""
    return [
        (crc32(name.encode()), transform)
        for name, transform in transforms.items()
        if samples in transform.changes() and transform.config.samples in (Samples.all, samples)
    ]


def _numbers(seed: int, step: int, samples: Samples) -> Callable[[int, int], np.random.Generator]:
    return lambda place, number: np.random.default_rng([seed, step, STREAMS[samples], place, number])


def _applied(
    transform: Transform, change: Callable[[T, np.random.Generator], T], sample: T, rng: np.random.Generator
) -> T:
    share = transform.config.share
    return change(sample, rng) if share == 1 or rng.random() < share else sample


def _require_same_sentences(before: Sequence[Pair], after: Sequence[Pair]) -> None:
    """Other packages' transforms, too: a pair of another row would be given that row's tokens and negatives."""
    for old, new in zip(before, after, strict=True):
        kept = ("row", "target_language", "source_key", "target_key")
        changed = [name for name in kept if getattr(old, name) != getattr(new, name)]
        assert not changed, f"a transform changed {', '.join(changed)} of a pair; it may change texts alone"
