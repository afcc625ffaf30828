"""How well a linear probe tells the language from a sentence vector, layer by layer.

Multinomial logistic regression on standardised vectors, cross-validated (Alain and Bengio 2017,
"Understanding intermediate layers using linear classifier probes", section 3; of languages, for example,
Libovický et al. 2020, "On the Language Neutrality of Pre-trained Multilingual Representations", section 4.1).
Folds hold whole sentences: what a sentence means must not tell a test sentence from those that the probe has
learnt, so a translation of a training sentence, or a sentence that shares a text with one, is never tested.
The figure is the mean over languages of the share of its sentences that are told rightly (balanced accuracy),
so that chance is 1 / (number of languages) however many sentences each has.

Alignment need not make it fall: sentences of two languages can lie in the same figure beside each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.errors import DataError
from xalign.config.parts import AnalysisConfig
from xalign.evaluation.analyses.base import Analysis, Findings, Sentences

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from xalign.base.progress import Advance

    Fold = tuple[NDArray[np.int64], NDArray[np.int64]]


class LanguageProbe(Analysis):
    """How well a linear probe tells the language from a sentence vector."""

    @dataclass(frozen=True, kw_only=True)
    class Config(AnalysisConfig):
        folds: Annotated[int, Field(ge=2)] = 5
        """Parts of the sentences, each of which is tested by a probe trained on the others."""
        c: Annotated[float, Field(gt=0)] = 0.01
        """Inverse strength of the L2 penalty on the probe's weights (scikit-learn's C)."""

    config: Config
    label = "Language probe"
    caption = (
        "How well a linear probe (logistic regression, cross-validated by sentence) tells the language from "
        "a sentence vector: share of a language's sentences that are told rightly. Left: mean over "
        "languages, with the level of chance; right: each language."
    )

    def measure(self, sentences: Sentences, seed: int, advance: "Advance") -> Findings:
        import numpy as np

        rows = self._rows(sentences)
        codes = list(dict.fromkeys(sentences.languages[i] for i in rows))
        labels_N = np.array([codes.index(sentences.languages[i]) for i in rows])
        groups_N = sentences.groups[rows]
        folds = folds_of(labels_N, groups_N, self.config.folds, seed)
        vectors_NKD = sentences.vectors[self.config.pooling][rows]
        recalls, errors = [], []
        for layer in range(len(sentences.layers)):
            told_N = probed(vectors_NKD[:, layer], labels_N, folds, self.config.c)
            recall_L, error = balanced_accuracy(told_N == labels_N, labels_N, groups_N)
            recalls.append(recall_L)
            errors.append(error)
            advance(1)
        return {
            "pivot": sentences.pivot,
            "layers": list(sentences.layers),
            "languages": codes,
            "sentences": np.bincount(labels_N).tolist(),
            "folds": self.config.folds,
            "chance": 1 / len(codes),
            "values": np.array(recalls).T.tolist(),
            "stderr": errors,
        }

    def _rows(self, sentences: Sentences) -> "NDArray[np.int64]":
        """Rows of the languages that have a sentence for every fold; of the pivot, which is in every pair, no
        more than the longest of the others has.

        Raises:
            DataError: fewer than two languages have.
        """
        import numpy as np

        languages = np.array(sentences.languages)
        # By turns from every language's pairs, so that none's translations are missing.
        of_pivot = [rows[:, 0].tolist() for rows in sentences.pairs.values()]
        longest = max(map(len, of_pivot), default=0)
        turns = dict.fromkeys(rows[i] for i in range(longest) for rows in of_pivot if i < len(rows))
        chosen = {sentences.pivot: sorted(turns if len(turns) <= longest else list(turns)[:longest])}
        chosen |= {code: np.flatnonzero(languages == code).tolist() for code in sentences.pairs}
        kept = {
            code: own
            for code, own in chosen.items()
            if len(set(sentences.groups[own].tolist())) >= self.config.folds
        }
        if len(kept) < 2:
            raise DataError(
                f"{self.name}: needs {self.config.folds} sentences (analyses.{self.name}.folds) in each of "
                f"two languages, {sentences.pivot} being one of them"
            )
        return np.concatenate([np.array(own, dtype=np.int64) for own in kept.values()])

    def summary(self, findings: Findings) -> str:
        from xalign.evaluation.analyses.curves import Curve

        (low, lowest), (high, highest) = Curve.of(findings).ends()
        return (
            f"accuracy over {len(findings['languages'])} languages highest at layer {highest} ({high:.2f}), "
            f"lowest at layer {lowest} ({low:.2f}); chance {findings['chance']:.2f}"
        )

    def draw(self, findings: Mapping[str, Findings]) -> "Figure":
        from xalign.evaluation.analyses.curves import Curve, draw_curves

        curves = {title: Curve.of(own) for title, own in findings.items()}
        return draw_curves(curves, "accuracy", next(iter(findings.values()))["chance"])


def folds_of(
    labels_N: "NDArray[np.int64]", groups_N: "NDArray[np.int64]", count: int, seed: int
) -> "list[Fold]":
    """(rows to train on, rows to test) of each fold, with as even a share of every label as whole groups
    allow."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return list(splitter.split(labels_N[:, None], labels_N, groups_N))


def probed(
    vectors_ND: "NDArray[np.float32]", labels_N: "NDArray[np.int64]", folds: "list[Fold]", c: float
) -> "NDArray[np.int64]":
    """The label (N,) that a probe trained on the other folds gives each vector."""
    import warnings

    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    told_N = np.full(len(labels_N), -1, dtype=np.int64)
    for train, test in folds:
        # A few dimensions of a language model's states are a hundred times as large as the others.
        scaler = StandardScaler().fit(vectors_ND[train])
        probe = LogisticRegression(C=c, class_weight="balanced", max_iter=ITERATIONS, tol=TOLERANCE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            probe.fit(scaler.transform(vectors_ND[train]), labels_N[train])
        told_N[test] = probe.predict(scaler.transform(vectors_ND[test]))
    return told_N


ITERATIONS, TOLERANCE = 100, 1e-3


def balanced_accuracy(
    right_N: "NDArray[np.bool_]", labels_N: "NDArray[np.int64]", groups_N: "NDArray[np.int64]"
) -> "tuple[NDArray[np.float64], float]":
    """Share of each label that is right (L,), and the standard error of their mean.

    Sentences of a group are not independent, groups are: the error is that of a sum over groups.
    """
    import numpy as np

    counts_L = np.bincount(labels_N)
    recall_L = np.bincount(labels_N, weights=right_N) / counts_L
    weights_N = 1 / (len(counts_L) * counts_L[labels_N])
    _, numbers_N = np.unique(groups_N, return_inverse=True)
    sums_G = np.bincount(numbers_N, weights=weights_N * (right_N - recall_L[labels_N]))
    groups = len(sums_G)
    return recall_L, float(np.sqrt(groups / max(groups - 1, 1) * (sums_G**2).sum()))


ANALYSIS = LanguageProbe
