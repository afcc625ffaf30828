"""How much a language's sentence vectors differ from each other: where they collapse, alignment is for
nothing.

A contrastive loss, or a squared distance, can be made small by vectors that are all nearly the same, in which
retrieval still finds small differences while a head can read nothing any more. `variance` is the raw one,
mean ||x - m||^2 about the language's mean m, to be compared before and after training; `values` are its share
of the mean squared length, mean ||x - m||^2 / mean ||x||^2, which is 1 where the mean is 0 and 0 where all
vectors are equal, and which a change of scale leaves as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xalign.base.errors import DataError
from xalign.config.parts import AnalysisConfig
from xalign.evaluation.analyses.base import Analysis, Findings, Sentences

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from xalign.base.progress import Advance

LEAST = 2
"""Sentences without which nothing can differ."""


class ConceptVariance(Analysis):
    """Variance of a language's sentence vectors about their mean, and its share of their squared length."""

    @dataclass(frozen=True, kw_only=True)
    class Config(AnalysisConfig):
        pass

    config: Config
    label = "Variance of sentences"
    caption = (
        "How much the sentence vectors of a language differ from each other: their variance about the "
        "language's mean, as a share of their mean squared length. 0: all sentences have the same vector; 1: "
        "nothing is common to them. Left: mean over languages; right: each language."
    )

    def measure(self, sentences: Sentences, seed: int, advance: "Advance") -> Findings:
        import numpy as np

        vectors_NKD, owner_N = sentences.vectors[self.config.pooling], np.array(sentences.languages)
        languages = [code for code in dict.fromkeys(sentences.languages) if (owner_N == code).sum() >= LEAST]
        if not languages:
            raise DataError(f"{self.name}: no language has {LEAST} sentences")
        variance: dict[str, list[float]] = {code: [] for code in languages}
        values: dict[str, list[float | None]] = {code: [] for code in languages}
        for layer in range(len(sentences.layers)):
            for code in languages:
                raw, share = variance_of(vectors_NKD[owner_N == code, layer])
                variance[code].append(raw)
                values[code].append(share)
            advance(1)
        return {
            "layers": list(sentences.layers),
            "languages": languages,
            "sentences": [int((owner_N == code).sum()) for code in languages],
            "variance": list(variance.values()),
            "values": list(values.values()),
        }

    def summary(self, findings: Findings) -> str:
        from xalign.evaluation.analyses.curves import Curve

        (low, lowest), (high, highest) = Curve.of(findings).ends()
        return (
            f"share of the squared length, mean over {len(findings['languages'])} languages: lowest at layer "
            f"{lowest} ({low:.2f}), highest at layer {highest} ({high:.2f})"
        )

    def draw(self, findings: Mapping[str, Findings]) -> "Figure":
        from xalign.evaluation.analyses.curves import Curve, draw_curves

        return draw_curves({title: Curve.of(own) for title, own in findings.items()}, "Share of length")


def variance_of(vectors_ND: "NDArray[np.floating]") -> tuple[float, float | None]:
    """Mean squared distance of vectors (N, D) from their mean, and its share of the mean squared length, in
    float64; None where all are 0."""
    import numpy as np

    whole_ND = vectors_ND.astype(np.float64)
    variance = float(np.square(whole_ND - whole_ND.mean(0)).sum(1).mean())
    length = float(np.square(whole_ND).sum(1).mean())
    return variance, variance / length if length else None


ANALYSIS = ConceptVariance
