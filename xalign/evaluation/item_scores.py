"""What each item's record says of each metric: what paired tests compare."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xalign.evaluation.results import Evaluation, Record

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

Value = tuple[str, list[float], float]
"""Of one item: metric, a value a layer, size."""


@dataclass(frozen=True)
class Scores:
    """One metric in one language: values (N, L), sizes (N,); a figure is `values.sum(0) / sizes.sum()`."""

    index: list[int]
    values: Array
    sizes: Array


AllScores = dict[tuple[str, str, str], Scores]
"""By (benchmark, metric, language)."""


def item_scores(evaluation: Evaluation) -> AllScores:
    """The items' values of every metric. Records of an unknown kind are left out, with a warning."""
    gathered: dict[tuple[str, str, str], list[tuple[int, list[float], float]]] = {}
    for task, records in evaluation.items.items():
        benchmark = task.rsplit(".", 1)[0]
        kinds = [next((key for key in VALUES if key in record), None) for record in records]
        if None in kinds:
            known = ", ".join(VALUES)
            log.warning("%s: some of its records have none of %s and are not compared", task, known)
        for record, kind in zip(records, kinds, strict=True):
            for metric, values, size in VALUES[kind](record) if kind else []:
                key = (benchmark, metric, record["language"])
                gathered.setdefault(key, []).append((record["index"], values, size))
    return {
        key: Scores(
            [r[0] for r in rows], np.array([r[1] for r in rows], float), np.array([r[2] for r in rows], float)
        )
        for key, rows in gathered.items()
    }


def at_best_layers(scores: AllScores) -> AllScores:
    """Scores with one layer each: the one with the best mean over the languages of the metric."""
    best = {}
    for benchmark, metric in dict.fromkeys(key[:2] for key in scores):
        own = [s.values.mean(0) for key, s in scores.items() if key[:2] == (benchmark, metric)]
        best[benchmark, metric] = int(np.mean(own, axis=0).argmax())
    return {key: replace(own, values=own.values[:, [best[key[:2]]]]) for key, own in scores.items()}


def errors_of_means(evaluation: Evaluation) -> dict[tuple[str, str], float]:
    """(benchmark, metric) -> standard error of the mean over languages, at the layer with the best mean.

    Linearised, with all that languages have of an item number taken together (Cochran 1977, section 9A).
    """
    scores = at_best_layers(item_scores(evaluation))
    errors = {}
    for name in dict.fromkeys(key[:2] for key in scores):
        own = [s for key, s in scores.items() if key[:2] == name]
        parts: dict[int, float] = {}
        for s in own:
            total = s.sizes.sum()
            deviations = (s.values[:, 0] - s.values.sum() / total * s.sizes) / total / len(own)
            for item, deviation in zip(s.index, deviations.tolist(), strict=True):
                parts[item] = parts.get(item, 0.0) + deviation
        if len(parts) > 1:
            squares = sum(part**2 for part in parts.values())
            errors[name] = (squares * len(parts) / (len(parts) - 1)) ** 0.5
    return errors


def _both_directions(r: Record) -> list[Value]:
    both = zip(r["forward"], r["backward"], strict=True)
    return [(r["metric"], [(f + b) / 2 for f, b in both], 1)]


def _answers(r: Record) -> list[Value]:
    # `prediction_norm` makes `accuracy_norm`.
    keys = [key for key in r if key.startswith("prediction")]
    return [(key.replace("prediction", "accuracy"), [float(r[key] == r["gold"])], 1) for key in keys]


VALUES: dict[str, Callable[[Record], list[Value]]] = {
    "bits": lambda r: [("bits_per_byte", [r["bits"]], r["bytes"])],
    "forward": _both_directions,
    "hits": lambda r: [(r["metric"], r["hits"], 1)],
    "chrf": lambda r: [(r["metric"], [r["chrf"]], 1)],
    "prediction": _answers,
    "metrics": lambda r: [(metric, [value], 1) for metric, value in r["metrics"].items()],
}
"""The key by which a kind of record is known -> the figures that the item counts towards.

chrF is compared by its mean over sentences, while the results give that of the whole set; calibration and
near-ties are of a whole set only and are not compared.
"""
