"""The transforms of a run, one after the other; every sample has random numbers of its own."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar
from zlib import crc32

import numpy as np

from xalign.base.errors import DataError
from xalign.config.parts import Samples
from xalign.config.schema import Config
from xalign.data.instructions.base import InstructionSample
from xalign.data.parallel import ParallelCorpus
from xalign.data.sampling import Pair
from xalign.data.transforms import TRANSFORMS
from xalign.data.transforms.base import Setup, Transform

T = TypeVar("T", Pair, InstructionSample)

STREAMS = {Samples.pairs: 2, Samples.instructions: 3}
"""Keep the random numbers of transforms apart from those that samples are drawn with (`instructions.base`),
which share seed and step."""

KEPT = ("row", "target_language", "source_key", "target_key")
"""What a pair keeps: by it tokens are found, and texts that count as the same sentence."""


class Chain:
    """Transforms in the order in which they are applied.

    Random numbers depend on the seed, the step, the sample's place in the global batch and the transform's
    name: not on the rank, and not on which other transforms there are.
    """

    def __init__(self, transforms: Mapping[str, Transform], seed: int) -> None:
        self.transforms, self.seed = transforms, seed

    def pairs(self, pairs: Sequence[Pair], places: Sequence[int], step: int) -> list[Pair]:
        """The pairs, changed; `places`: where each is in the step's global batch.

        Raises:
            DataError: a transform breaks its contract; names it.
        """
        found = list(pairs)
        for name, transform in self._those_of(Samples.pairs):
            rngs = self._rngs(name, Samples.pairs, places, step)
            found = _changed(found, transform.pair, rngs, transform.config.share)
            _require(map(_of_pair, pairs, found), name)
        return found

    def instructions(
        self, samples: Sequence[InstructionSample], places: Sequence[int], step: int
    ) -> list[InstructionSample]:
        """The instruction samples, changed; `places`: where each is in the step's global batch.

        Raises:
            DataError: a transform breaks its contract; names it.
        """
        found = list(samples)
        for name, transform in self._those_of(Samples.instructions):
            rngs = self._rngs(name, Samples.instructions, places, step)
            found = _changed(found, transform.instruction, rngs, transform.config.share)
            _require(map(_of_instruction, found), name)
        return found

    def _those_of(self, samples: Samples) -> list[tuple[str, Transform]]:
        """The transforms that change such samples, by name."""
        return [
            (name, transform)
            for name, transform in self.transforms.items()
            if samples in transform.changes(transform.config.samples)
        ]

    def _rngs(
        self, name: str, samples: Samples, places: Sequence[int], step: int
    ) -> list[np.random.Generator]:
        number = crc32(name.encode())
        return [np.random.default_rng([self.seed, step, STREAMS[samples], p, number]) for p in places]


NO_TRANSFORMS = Chain({}, seed=0)
"""Leaves everything as it is."""


def chain_of(config: Config, corpus: ParallelCorpus) -> Chain:
    """The configured transforms, for training on this corpus."""
    setup = Setup(corpus, config.languages.pivot, config.languages.targets)
    made = {name: TRANSFORMS.load(own.kind)(own, setup) for name, own in config.data.transforms.items()}
    return Chain(made, config.seed)


def _changed(
    samples: Sequence[T],
    change: Callable[[T, np.random.Generator], T],
    rngs: Sequence[np.random.Generator],
    share: float,
) -> list[T]:
    """A `share` of the samples, drawn for each, changed; the others as they are."""
    return [change(own, rng) if rng.random() < share else own for own, rng in zip(samples, rngs, strict=True)]


def _of_pair(before: Pair, after: Pair) -> str | None:
    """What is wrong with a transformed pair."""
    changed = [name for name in KEPT if getattr(before, name) != getattr(after, name)]
    if changed:
        return f"changed {', '.join(changed)} of a pair; it may change source and target alone"
    return None if after.source.strip() and after.target.strip() else "left no text on a side of a pair"


def _of_instruction(sample: InstructionSample) -> str | None:
    """What is wrong with a transformed instruction sample."""
    first, last = sample.input or (0, 0)
    if not 0 <= first <= last <= len(sample.prompt):
        return f"left input={sample.input}, which is not within the prompt of {len(sample.prompt)} characters"
    return None if sample.answer else "left an instruction sample without an answer"


def _require(problems: Iterable[str | None], name: str) -> None:
    for problem in filter(None, problems):
        raise DataError(f"data.transforms.{name}: the transform {problem}")
