"""What a transform is: the contract between an augmentation and the framework that trains on what it gives.

A transform changes texts as they are sampled: of translation pairs, of instruction samples, or of both. The
framework alone knows steps, ranks and caches. It gives every sample random numbers of its own, so that a
transform that keeps to this contract gives the same batches on any number of ranks and after resuming, and it
tokenises what was changed. What is measured, and the texts of retention, are never transformed.

Importing this module, and the modules of transforms, is cheap: the configuration is checked before torch is
imported. What a transform computes with is imported where it is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from xalign.config.parts import Samples, TransformConfig

if TYPE_CHECKING:
    import numpy as np

    from xalign.data.instructions.base import InstructionSample
    from xalign.data.parallel import ParallelCorpus
    from xalign.data.sampling import Pair


class Side(StrEnum):
    """Which side of a translation pair: the source is in the pivot language."""

    both = "both"
    source = "source"
    target = "target"


@dataclass(frozen=True)
class Setup:
    """What a transform may read of the run before training begins."""

    corpus: "ParallelCorpus"
    """What is trained on; nothing that is held out is in it."""
    pivot: str
    targets: Sequence[str]
    """Languages aligned with the pivot."""


class Transform:
    """A random change of samples with its options; one in a file.

    A subclass has a nested frozen dataclass `Config`, derived from `TransformConfig`, whose fields are its
    options: the string under each is its documentation. It overrides `pair`, `instruction` or both; what it
    does not override stays as it is.

    Both are functions of their arguments alone, and are called in the thread that makes batches: NumPy only.
    The sample is frozen; what is changed is a copy (`dataclasses.replace`).
    """

    Config: ClassVar[type[TransformConfig]] = TransformConfig
    config: TransformConfig

    def __init__(self, config: TransformConfig, setup: Setup) -> None:
        """Read what there is to read of the corpus: once, on every rank alike."""
        self.config, self.setup = config, setup

    def pair(self, pair: "Pair", rng: "np.random.Generator") -> "Pair":
        """The pair with other texts. Its row, languages and keys stay: it counts as the same sentence."""
        return pair

    def instruction(self, sample: "InstructionSample", rng: "np.random.Generator") -> "InstructionSample":
        """The sample with other texts, of the same languages; `input` says where the input now is."""
        return sample

    @classmethod
    def changes(cls, asked: Samples = Samples.all) -> set[Samples]:
        """What it changes of the samples that it is asked to change."""
        own = {
            Samples.pairs: cls.pair is not Transform.pair,
            Samples.instructions: cls.instruction is not Transform.instruction,
        }
        return {samples for samples, changed in own.items() if changed and asked in (Samples.all, samples)}
