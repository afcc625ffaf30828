"""What each item's record says of each metric: what paired tests compare.

Shapes: N items, L layers (1 where a metric has none), V directions of matching.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xalign.evaluation.results import Evaluation, Record

log = logging.getLogger(__name__)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Value:
    """What one item counts towards a metric."""

    metric: str
    values: Sequence[float]
    """One a layer."""
    size: float = 1
    rivals: Sequence[Sequence[int]] | None = None
    """Of an item that is matched among others: by direction and layer, the number of the only item that is
    nearer than the right one; below 0 where none is, or several."""


@dataclass(frozen=True)
class Scores:
    """One metric in one language: values (N, L), sizes (N,); a figure is `values.sum(0) / sizes.sum()`."""

    index: list[int]
    values: Array
    sizes: Array
    rivals: NDArray[np.int64] | None = None
    """(N, V, L), where items share their candidates; as in `Value`."""

    def influences(self) -> Array:
        """How far each item moves the figure, (N, L): their mean over items is 0, and the figure's error is
        that of the mean of independent values that differ so.

        Of a ratio of sums by the delta method (Cochran 1977, section 6.4). Where items share candidates, by
        leaving each sentence out on both sides, as a query and as a candidate (jackknife, Efron and Stein
        1981): its own hit is gone, and items whose only rival it was become hits.
        """
        if self.rivals is None:
            figure_L = self.values.sum(0) / self.sizes.sum()
            return (self.values - figure_L * self.sizes[:, None]) / self.sizes.mean()
        pseudo_NL = self.values - self._spoilt()
        return pseudo_NL - pseudo_NL.mean(0)

    def _spoilt(self) -> Array:
        """How many items each item alone keeps from being hits, (N, L), as a mean over directions."""
        assert self.rivals is not None
        items, directions, layers = self.rivals.shape
        place = {item: k for k, item in enumerate(self.index)}
        spoilt_NL = np.zeros((items, layers))
        for item, direction, layer in np.argwhere(self.rivals >= 0).tolist():
            spoilt_NL[place[int(self.rivals[item, direction, layer])], layer] += 1 / directions
        return spoilt_NL


AllScores = dict[tuple[str, str, str], Scores]
"""By (benchmark, metric, language)."""


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
    return {key: _scores(own) for key, own in gathered.items()}


def _scores(own: Sequence[tuple[int, Value]]) -> Scores:
    rivals = [value.rivals for _, value in own]
    return Scores(
        [index for index, _ in own],
        np.array([value.values for _, value in own], float),
        np.array([value.size for _, value in own], float),
        None if None in rivals else np.array(rivals, int),
    )


def at_best_layers(scores: AllScores) -> AllScores:
    """Scores with one layer each: the one with the best mean over the languages of the metric."""
    best = {}
    for benchmark, metric in dict.fromkeys(key[:2] for key in scores):
        own = [s.values.mean(0) for key, s in scores.items() if key[:2] == (benchmark, metric)]
        best[benchmark, metric] = int(np.mean(own, axis=0).argmax())
    return {key: at_layer(own, best[key[:2]]) for key, own in scores.items()}


def at_layer(scores: Scores, layer: int) -> Scores:
    """The scores of one layer."""
    rivals = None if scores.rivals is None else scores.rivals[:, :, [layer]]
    return replace(scores, values=scores.values[:, [layer]], rivals=rivals)


def errors_of_means(evaluation: Evaluation) -> dict[tuple[str, str], float]:
    """(benchmark, metric) -> standard error of the mean over languages, at the layer with the best mean.

    All that languages have of an item number is taken together (Cochran 1977, section 9A).
    """
    scores = at_best_layers(item_scores(evaluation))
    errors = {}
    for name in dict.fromkeys(key[:2] for key in scores):
        own = [s for key, s in scores.items() if key[:2] == name]
        parts: dict[int, float] = {}
        for s in own:
            deviations = s.influences()[:, 0] / len(s.index) / len(own)
            for item, deviation in zip(s.index, deviations.tolist(), strict=True):
                parts[item] = parts.get(item, 0.0) + deviation
        if len(parts) > 1:
            squares = sum(part**2 for part in parts.values())
            errors[name] = (squares * len(parts) / (len(parts) - 1)) ** 0.5
    return errors


def _both_directions(r: Record) -> list[Value]:
    both = zip(r["forward"], r["backward"], strict=True)
    # Older records do not say which item is nearer.
    rivals = [r["forward_rival"], r["backward_rival"]] if "forward_rival" in r else None
    return [Value(r["metric"], [(f + b) / 2 for f, b in both], rivals=rivals)]


def _hits(r: Record) -> list[Value]:
    return [Value(r["metric"], r["hits"], rivals=[r["hits_rival"]] if "hits_rival" in r else None)]


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
