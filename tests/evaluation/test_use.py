"""What counts as harm in use: one family, worse in its own direction, by more than arithmetic leaves open."""

import numpy as np
import pytest

from xalign.evaluation.metrics import HARMLESS, MEAN, Kind, Metric
from xalign.evaluation.results import Evaluation, Result
from xalign.evaluation.statistics import compare
from xalign.evaluation.use import harmless_alignment, harms_of

NATS = Metric(name="nats", label="Nats", higher_is_better=False, harm="writes {language} worse")
RIGHT = Metric(name="right", label="Right", harm="answers less often in {language}")
RETRIEVAL = Metric(name="retrieval@1", label="Retrieval", kind=Kind.match, has_layers=True)
OTHER = Metric(name="other", label="Other", higher_is_better=False)
LANGUAGES = ["fr", "de", "tr"]


def evaluation(
    changes: dict[tuple[str, str], float], noise: float = 0.0, seed: int = 0, aligned: float = 0.5
) -> Evaluation:
    """Thirty items a language and metric; `changes` is added to what (metric, language) has."""
    rng = np.random.default_rng(1)
    moved = np.random.default_rng(seed)
    results, records = [], []
    for language in LANGUAGES:
        results.append(
            Result(benchmark="b", language=language, metric="retrieval@1", value=aligned, n=30, layer=1)
        )
        for metric in (NATS, RIGHT, OTHER):
            values = 20 + rng.normal(size=30)
            values += changes.get((metric.name, language), 0.0) + noise * moved.normal(size=30)
            results.append(
                Result(benchmark="b", language=language, metric=metric.name, value=values.mean(), n=30)
            )
            records += [
                {"language": language, "index": i, "metrics": {metric.name: v}} for i, v in enumerate(values)
            ]
    return Evaluation("m", results, {"b.t": records}, {"b": [RETRIEVAL, NATS, RIGHT, OTHER]})


def named(before: Evaluation, after: Evaluation) -> list[tuple[str, str]]:
    harms = harms_of(compare(before, after, aligned_layer=1, seed=0), after.metric)
    assert harms is not None
    return [(harm.metric.name, harm.comparison.language) for harm in harms]


def test_planted_harm_is_found_where_it_is_and_nowhere_else() -> None:
    before = evaluation({})
    assert named(before, evaluation({("nats", "tr"): 1.0}, noise=0.2)) == [("nats", MEAN), ("nats", "tr")]
    # More right answers and fewer nats are gains.
    assert named(before, evaluation({("right", "fr"): 1.0, ("nats", "de"): -1.0}, noise=0.2)) == []
    assert ("right", "fr") in named(before, evaluation({("right", "fr"): -1.0}, noise=0.2))
    # What says nothing of use is never harm.
    assert named(before, evaluation({("other", "fr"): 5.0}, noise=0.2)) == []


def test_a_change_within_arithmetic_is_no_harm() -> None:
    """A thousandth of the figure, the same in every item: as significant as can be."""
    assert named(evaluation({}), evaluation({("nats", "tr"): 0.02})) == []
    assert named(evaluation({}), evaluation({("nats", "tr"): 0.2})) != []


def test_false_alarms_are_as_rare_as_stated() -> None:
    before = evaluation({})
    accused = [bool(named(before, evaluation({}, noise=0.5, seed=seed))) for seed in range(60)]
    assert sum(accused) <= 7  # more has a probability below 2 % at 1 in 20


def test_without_figures_of_use_there_is_no_verdict() -> None:
    plain = {"b": [OTHER]}
    before, after = evaluation({}), evaluation({("other", "fr"): 5.0})
    for own in (before, after):
        own.items["b.t"] = [r for r in own.items["b.t"] if "other" in r["metrics"]]
        own.metrics.update(plain)
    assert harms_of(compare(before, after, aligned_layer=1, seed=0), after.metric) is None


def test_harmless_steps_rank_by_alignment_and_others_below_them_by_what_they_lost() -> None:
    before = evaluation({})

    def rank(changes: dict[tuple[str, str], float], aligned: float) -> float:
        return harmless_alignment(before, evaluation(changes, noise=0.2, aligned=aligned), "b", 1, seed=0)

    values = [
        rank({}, 0.7),
        rank({}, 0.6),
        rank({("nats", "tr"): 1.0}, 0.9),
        rank({("nats", c): 1.0 for c in LANGUAGES}, 0.9),
    ]
    assert values == sorted(values, reverse=True)
    assert values[:2] == pytest.approx([0.7, 0.6])
    assert values[2:] == [-2.0, -4.0]
    assert HARMLESS.higher_is_better
