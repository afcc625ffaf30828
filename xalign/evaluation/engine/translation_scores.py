"""Scores of translations as sacrebleu works them out.

Shapes: N sentences, C counts, R resamples.
"""

from collections.abc import Sequence

import numpy as np
from sacrebleu.metrics.base import Metric

from xalign.base.languages import has_spaces

RESAMPLES = 1000
"""Of the bootstrap over sentences behind the standard errors of BLEU and chrF++."""


def corpus_score(
    metric: Metric, hypotheses: Sequence[str], references: Sequence[str]
) -> tuple[float, float | None, str]:
    """Score of the whole set, its standard error by the bootstrap (Koehn 2004), sacrebleu's signature."""
    value = metric.corpus_score(hypotheses, [references]).score
    stderr = None
    if len(hypotheses) > 1:
        # sacrebleu's own resampling stumbles over scores of zero (2.6.0: float and numpy.float32 mixed), and
        # nothing public gives the statistics that it resamples.
        counts_NC = np.array(metric._extract_corpus_statistics(hypotheses, [references]))
        rng = np.random.default_rng(0)
        drawn_RN = rng.integers(len(counts_NC), size=(RESAMPLES, len(counts_NC)))
        scores = [
            metric._compute_score_from_stats(counts_NC[own_N].sum(0).tolist()).score for own_N in drawn_RN
        ]
        stderr = float(np.std(scores))
    return float(value), stderr, str(metric.get_signature().format())


def bleu_tokenizer(language: str) -> str:
    """sacrebleu's `13a` for languages that put spaces between words, `zh` for Chinese, else `char`."""
    if has_spaces(language):
        return "13a"
    return "zh" if language.split("-")[0] == "zh" else "char"
