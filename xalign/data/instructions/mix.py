"""A mix of several sources of instructions, each with its share of the samples."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from xalign.base.errors import did_you_mean
from xalign.data.instructions.base import STREAM, InstructionSample, InstructionSampler

if TYPE_CHECKING:
    from xalign.config.text import InstructionsConfig, LanguagesConfig
    from xalign.data.parallel import ParallelCorpus

CHOICE = 1
"""Keeps the choice of sources apart from what they draw."""


class MixedInstructions:
    """Each sample is of a source that is drawn by the shares, as in BayLing 2's mix of instructions in
    English, cross-lingual ones and translation (arXiv 2411.16300, of which the abstract was read)."""

    def __init__(
        self, samplers: Mapping[str, InstructionSampler], shares: Mapping[str, float], seed: int
    ) -> None:
        self.samplers, self.seed = list(samplers.values()), seed
        total = sum(shares[name] for name in samplers)
        self.shares = [shares[name] / total for name in samplers]

    def batch(self, step: int, size: int, rank: int = 0, ranks: int = 1) -> list[InstructionSample]:
        import numpy as np

        # Every source draws a whole batch, of which each place takes one: what is drawn at a place does not
        # depend on the shares.
        batches = [sampler.batch(step, size, rank, ranks) for sampler in self.samplers]
        rng = np.random.default_rng([self.seed, step, STREAM, CHOICE])
        chosen = rng.choice(len(batches), size * ranks, p=self.shares)[rank * size : (rank + 1) * size]
        return [batches[source][place] for place, source in enumerate(chosen)]

    def texts(self, language: str) -> Iterator[str]:
        return chain.from_iterable(sampler.texts(language) for sampler in self.samplers)


class _Mix:
    """Reads what its sources read."""

    def problems(self, config: "InstructionsConfig") -> Iterator[str]:
        from xalign.data.instructions import SOURCES

        if not config.mix:
            yield "instructions.mix: required, but not given (source -> share, as in {parallel: 2, xquad: 1})"
        names = [name for name in SOURCES.names() if name != "mix"]
        for name, share in config.mix.items():
            if name not in names:
                near = did_you_mean(name, names)
                yield f"instructions.mix: no source '{name}'{near} (there are: {', '.join(names)})"
            elif share <= 0:
                yield f"instructions.mix.{name}={share:g}: must be above 0"
            else:
                yield from SOURCES.load(name).problems(replace(config, source=name, mix={}))

    def load(
        self,
        config: "InstructionsConfig",
        languages: "LanguagesConfig",
        corpus: "ParallelCorpus",
        seed: int,
    ) -> InstructionSampler:
        from xalign.data.instructions import SOURCES

        samplers = {
            name: SOURCES.load(name).load(replace(config, source=name, mix={}), languages, corpus, seed)
            for name in config.mix
        }
        return MixedInstructions(samplers, config.mix, seed)


SOURCE = _Mix()
