"""What an analysis is: which sentence vectors it needs, what it measures on them, how that is drawn.

An analysis is no metric: it has no right answer to count and nothing is chosen by it. It says what is in the
vectors. Importing this module, and those of analyses, is cheap: options are checked before torch is imported,
and what an analysis computes with is imported where it is used.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from xalign.base.errors import did_you_mean
from xalign.base.languages import canonical, is_language, unknown
from xalign.config.choices import Pooling
from xalign.config.parts import AnalysisConfig
from xalign.evaluation.task import SentenceVectors

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from xalign.base.progress import Advance

Findings = dict[str, Any]
"""What was found: plain values and lists that JSON can write; what is undefined is None."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What an analysis must be given."""

    vectors: SentenceVectors
    sentences: int
    """Most pairs of a language."""
    layers: Sequence[int] = ()
    """None: all."""
    languages: Sequence[str] = ()
    """Canonical codes, without the pivot; none: all of the text's."""


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """Translated sentences as a model represents them. Shapes: N texts, K layers, D hidden size.

    No text occurs twice in a language.
    """

    pivot: str
    layers: Sequence[int]
    """Number of each of the K layers."""
    vectors: "Mapping[Pooling, NDArray[np.float32]]"
    """Of each pooling that was asked for (N, K, D)."""
    languages: Sequence[str]
    """Of each text (N,)."""
    groups: "NDArray[np.int64]"
    """Of each text (N,): equal for translations of each other, and for all that share a text with them. What
    is learnt from some groups can be tested on the others."""
    pairs: "Mapping[str, NDArray[np.int64]]"
    """Language -> rows (P, 2) of `vectors`: the pivot's sentence and its translation."""


class Analysis:
    """Something to be seen in sentence vectors, before and after training.

    A subclass has a nested frozen dataclass `Config`, derived from `AnalysisConfig`: its options.
    """

    Config: ClassVar[type[AnalysisConfig]] = AnalysisConfig
    label: ClassVar[str] = ""
    """Heading in a report."""
    caption: ClassVar[str] = ""
    """What its picture shows, in plain text."""
    version: ClassVar[str] = "1"
    """Raised whenever its findings change for the same model and text."""

    def __init__(self, name: str, config: Any = None) -> None:
        self.name = name
        self.config = self.Config() if config is None else config

    @property
    def needs(self) -> Needs:
        """What it must be given; by default as the options that every analysis has say."""
        config: AnalysisConfig = self.config
        return Needs(
            vectors=SentenceVectors([config.pooling], config.max_length),
            sentences=config.sentences,
            layers=sorted(set(config.layers)),
            languages=list(dict.fromkeys(canonical(code) for code in config.languages)),
        )

    def problems(
        self, *, depth: int | None = None, languages: Sequence[str] = ()
    ) -> Iterator[tuple[str, str]]:
        """(option, what is wrong with it), for a model of this depth and a text in these languages, as far as
        they are known."""
        config: AnalysisConfig = self.config
        beyond = [] if depth is None else [layer for layer in config.layers if layer > depth]
        if beyond:
            yield "layers", f"the model has layers 0 to {depth}"
        for code in config.languages:
            if not is_language(code):
                yield "languages", unknown(code)
            elif languages and canonical(code) not in languages:
                near = did_you_mean(canonical(code), languages)
                yield "languages", f"no text in '{canonical(code)}' (there is: {', '.join(languages)}){near}"

    def measure(self, sentences: Sentences, seed: int, advance: "Advance") -> Findings:
        """What there is to be seen; `advance` counts layers.

        `seed` is the source of every random choice.

        Raises:
            DataError: there are too few sentences or languages for it.
        """
        raise NotImplementedError

    def summary(self, findings: Findings) -> str:
        """The findings in one sentence."""
        raise NotImplementedError

    def draw(self, findings: Mapping[str, Findings]) -> "Figure":
        """One picture of one or several findings by their titles: `before` and `after`, or models."""
        raise NotImplementedError
