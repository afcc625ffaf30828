"""Linear CKA between a language and the pivot: do their sentences lie in the same figure, up to rotation?

Kornblith et al. 2019, "Similarity of Neural Network Representations Revisited", section 3: for centred X and
Y (n sentences each, rows translations of each other), linear CKA = ||Y'X||^2 / (||X'X|| ||Y'Y||) in Frobenius
norms, which is HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) of the Gram matrices K = XX', L = YY' (their
equations 1 to 4). It does not change when either side is rotated, reflected, scaled or moved, and does under
a general linear map.

The default is the debiased variant: HSIC is estimated without bias (Song et al. 2012, "Feature Selection via
Dependence Maximization"), as in Nguyen et al. 2021, "Do Wide and Deep Networks Learn the Same Things?",
equation 3, and in the code that Kornblith et al. released (`debiased=True`). Here n is about 100 and D from
640 up, and then the plain estimate says little: of two independent Gaussian clouds it is about D / (n + D),
0.86 for n = 100 and D = 640, where the debiased one is 0 on average (it can be slightly below).
`debiased=false` gives the plain one, to compare with papers that have it.
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

LEAST = 4
"""Sentences that the unbiased estimate of HSIC needs."""


class Cka(Analysis):
    """Linear CKA between the vectors of a language and of the pivot for translated sentences."""

    @dataclass(frozen=True, kw_only=True)
    class Config(AnalysisConfig):
        debiased: bool = True
        """Estimate HSIC without bias; false: the plain estimate, near 1 for anything where there are fewer
        sentences than dimensions."""

    config: Config
    label = "CKA with the pivot"
    caption = (
        "Linear CKA (Kornblith et al. 2019) between a language's sentence vectors and those of their "
        "translations into the pivot: 1 where the sentences lie in the same figure up to rotation and scale, "
        "0 where the figures have nothing in common. Left: mean over languages; right: each language."
    )

    def measure(self, sentences: Sentences, seed: int, advance: "Advance") -> Findings:
        vectors_NKD = sentences.vectors[self.config.pooling]
        pairs = {code: rows for code, rows in sentences.pairs.items() if len(rows) >= LEAST}
        if not pairs:
            raise DataError(f"{self.name}: no language has {LEAST} pairs with {sentences.pivot}")
        values: dict[str, list[float | None]] = {code: [] for code in pairs}
        for layer in range(len(sentences.layers)):
            for code, rows in pairs.items():
                x_PD, y_PD = vectors_NKD[rows[:, 0], layer], vectors_NKD[rows[:, 1], layer]
                values[code].append(linear_cka(x_PD, y_PD, debiased=self.config.debiased))
            advance(1)
        return {
            "pivot": sentences.pivot,
            "debiased": self.config.debiased,
            "layers": list(sentences.layers),
            "languages": list(pairs),
            "sentences": [len(rows) for rows in pairs.values()],
            "values": list(values.values()),
        }

    def summary(self, findings: Findings) -> str:
        from xalign.evaluation.analyses.curves import Curve

        curve = Curve.of(findings)
        (low, lowest), (high, highest) = curve.ends()
        return (
            f"mean over {len(findings['languages'])} languages highest at layer {highest} ({high:.2f}), "
            f"lowest at layer {lowest} ({low:.2f})"
        )

    def draw(self, findings: Mapping[str, Findings]) -> "Figure":
        from xalign.evaluation.analyses.curves import Curve, draw_curves

        return draw_curves({title: Curve.of(own) for title, own in findings.items()}, "Linear CKA")


def linear_cka(x_ND: "NDArray[np.floating]", y_ND: "NDArray[np.floating]", *, debiased: bool) -> float | None:
    """Linear CKA of two sets of vectors, (N, D) and (N, D'), row by row of the same sentences, in float64.

    None where one side's vectors are all the same, so that there is nothing to compare. Debiased: N >= 4.
    """
    import numpy as np

    grams = []
    for side_ND in (x_ND, y_ND):
        whole_ND = side_ND.astype(np.float64)
        centred_ND = whole_ND - whole_ND.mean(0)
        # What float32 cannot tell from no difference at all.
        if np.linalg.norm(centred_ND) <= 1e-7 * np.linalg.norm(whole_ND):
            return None
        # Scaled, so that the products of products below neither overflow nor vanish.
        gram_NN = centred_ND @ centred_ND.T
        grams.append(gram_NN / np.abs(gram_NN).max())
    estimate = unbiased_hsic if debiased else biased_hsic
    x_NN, y_NN = grams
    own_x, own_y = estimate(x_NN, x_NN), estimate(y_NN, y_NN)
    # The unbiased estimate of what is never negative can be.
    return float(estimate(x_NN, y_NN) / np.sqrt(own_x * own_y)) if min(own_x, own_y) > 0 else None


def biased_hsic(k_NN: "NDArray[np.float64]", l_NN: "NDArray[np.float64]") -> float:
    """tr(KL) of centred Gram matrices: HSIC (Kornblith et al. 2019, equation 3) but for (N - 1)^2, which
    cancels in CKA."""
    return float((k_NN * l_NN).sum())


def unbiased_hsic(k_NN: "NDArray[np.float64]", l_NN: "NDArray[np.float64]") -> float:
    """The unbiased estimate of Song et al. 2012 (Nguyen et al. 2021, equation 3) from two Gram matrices
    (N, N), N >= 4:

    [tr(KL) + 1'K1 1'L1 / ((N-1)(N-2)) - 2/(N-2) 1'KL1] / (N(N-3)), with the diagonals of K and L set to 0.
    """
    import numpy as np

    k_NN, l_NN = k_NN.copy(), l_NN.copy()
    np.fill_diagonal(k_NN, 0)
    np.fill_diagonal(l_NN, 0)
    n = len(k_NN)
    rows_k_N, rows_l_N = k_NN.sum(0), l_NN.sum(0)
    total = (k_NN * l_NN).sum() + rows_k_N.sum() * rows_l_N.sum() / ((n - 1) * (n - 2))
    return float((total - 2 / (n - 2) * (rows_k_N @ rows_l_N)) / (n * (n - 3)))


ANALYSIS = Cka
