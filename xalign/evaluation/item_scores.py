"""What each item's record says of each metric: what paired tests compare."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xalign.evaluation.contributions import (
    Contributions,
    Rivals,
    Scores,
    all_items,
    contributions,
    first_layer,
)
from xalign.evaluation.results import Evaluation, Record

log = logging.getLogger(__name__)

AllScores = dict[tuple[str, str, str], Scores]
"""By (benchmark, metric, language)."""


@dataclass(frozen=True)
class Value:
    """What one item counts towards a metric: a value a layer, and its size.

    `rivals`: for each equal part of the value, a layer at a time, the number of the item that alone keeps
    this one from it, or None. Empty where items have nothing to do with each other, or in older files.
    """

    metric: str
    values: list[float]
    size: float = 1
    rivals: tuple[list[int | None], ...] = ()


def item_scores(evaluation: Evaluation) -> AllScores:
    """The items' values of every metric. Records of an unknown kind are left out, with a warning."""
    gathered: dict[tuple[str, str, str], list[tuple[int, Value]]] = {}
    for task, records in evaluation.items.items():
        benchmark = task.rsplit(".", 1)[0]
        kinds = [next((key for key in VALUES if key in record), None) for record in records]
        if None in kinds:
            known = ", ".join(VALUES)
            log.warning("%s: some of its records have none of %s and are not compared", task, known)
        for record, kind in zip(records, kinds, strict=True):
            for value in VALUES[kind](record) if kind else []:
                key = (benchmark, value.metric, record["language"])
                gathered.setdefault(key, []).append((record["index"], value))
    return {key: _scores(rows) for key, rows in gathered.items()}


def _scores(rows: Sequence[tuple[int, Value]]) -> Scores:
    index, values = [number for number, _ in rows], [value for _, value in rows]
    return Scores(
        index,
        np.array([value.values for value in values], float),
        np.array([value.size for value in values], float),
        _rivals(index, values) if all(value.rivals for value in values) else None,
    )


def _rivals(index: Sequence[int], values: Sequence[Value]) -> Rivals:
    position = {number: i for i, number in enumerate(index)}
    lost: dict[tuple[int, int], list[float]] = {}
    for i, value in enumerate(values):
        for part in value.rivals:
            for layer, number in enumerate(part):
                if number is not None:
                    own = lost.setdefault((i, position[number]), [0.0] * len(part))
                    own[layer] += 1 / len(value.rivals)
    layers = len(values[0].values)
    pairs = np.array(list(lost), dtype=np.int64).reshape(-1, 2)
    return Rivals(pairs[:, 0], pairs[:, 1], np.array(list(lost.values()), float).reshape(-1, layers))


def at_best_layers(scores: AllScores) -> AllScores:
    """Scores with one layer each: the one with the best mean over the languages of the metric."""
    best = {}
    for benchmark, metric in dict.fromkeys(key[:2] for key in scores):
        own = [s.values.mean(0) for key, s in scores.items() if key[:2] == (benchmark, metric)]
        best[benchmark, metric] = int(np.mean(own, axis=0).argmax())
    return {key: own.at(best[key[:2]]) for key, own in scores.items()}


def errors_of_means(evaluation: Evaluation) -> dict[tuple[str, str], float]:
    """(benchmark, metric) -> standard error of the mean over languages, at the layer with the best mean.

    What languages have of an item number is taken together: items of one number are translations.
    """
    scores = at_best_layers(item_scores(evaluation))
    errors = {}
    for name in dict.fromkeys(key[:2] for key in scores):
        own = [s for key, s in scores.items() if key[:2] == name]
        items = all_items(own)
        error = Contributions.mean([contributions(s, first_layer, items) for s in own]).error
        if error is not None:
            errors[name] = error
    return errors


def _both_directions(r: Record) -> list[Value]:
    both = zip(r["forward"], r["backward"], strict=True)
    rivals = tuple(r[key] for key in ("forward_rival", "backward_rival") if key in r)
    return [Value(r["metric"], [(f + b) / 2 for f, b in both], rivals=rivals)]


def _hits(r: Record) -> list[Value]:
    return [Value(r["metric"], r["hits"], rivals=(r["hits_rival"],) if "hits_rival" in r else ())]


def _answers(r: Record) -> list[Value]:
    # `prediction_norm` makes `accuracy_norm`.
    keys = [key for key in r if key.startswith("prediction")]
    return [Value(key.replace("prediction", "accuracy"), [float(r[key] == r["gold"])]) for key in keys]


VALUES: dict[str, Callable[[Record], list[Value]]] = {
    "bits": lambda r: [Value("bits_per_byte", [r["bits"]], r["bytes"])],
    "forward": _both_directions,
    "hits": _hits,
    "chrf": lambda r: [Value(r["metric"], [r["chrf"]])],
    "prediction": _answers,
    "metrics": lambda r: [Value(metric, [value]) for metric, value in r["metrics"].items()],
}
"""The key by which a kind of record is known -> the figures that the item counts towards.

chrF is compared by its mean over sentences, while the results give that of the whole set; calibration and
near-ties are of a whole set only and are not compared.
"""
