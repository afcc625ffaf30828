"""What items contribute to figures: by leaving each out in earnest, and by how far figures really spread."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from xalign.evaluation.contributions import Contributions, Reduce, Scores, contributions, first_layer
from xalign.evaluation.engine.similarity import blockers, retrieval_hits
from xalign.evaluation.item_scores import item_scores
from xalign.evaluation.results import Evaluation, standard_error
from xalign.evaluation.sets.matching import hit_records
from xalign.evaluation.tasks.mexa import mexa_blockers


def drawn(rng: np.random.Generator, n: int, layers: int = 1, noise: float = 1.0) -> list[torch.Tensor]:
    """Similarities (N, N) of sentences with their translations at each layer, from random vectors."""
    meaning = rng.normal(size=(n, 12))
    return [
        torch.tensor(
            (meaning + noise * rng.normal(size=(n, 12))) @ (meaning + noise * rng.normal(size=(n, 12))).T
        )
        for _ in range(layers)
    ]


def retrieval(similarities: list[torch.Tensor]) -> Scores:
    return scores(
        "retrieval@1", [dict(zip(("forward", "backward"), blockers(s), strict=True)) for s in similarities]
    )


def mexa(similarities: list[torch.Tensor]) -> Scores:
    return scores("mexa", [{"hits": mexa_blockers(s)} for s in similarities])


def scores(metric: str, by_layer: list[dict[str, torch.Tensor]]) -> Scores:
    index = [3 * i + 1 for i in range(len(next(iter(by_layer[0].values()))))]
    records = hit_records(index, {"language": "de", "metric": metric}, by_layer)
    return item_scores(Evaluation("m", [], {"t.t": records}))["t", metric, "de"]


def best(values: np.ndarray) -> np.ndarray:
    return values.max(-1)


def average(values: np.ndarray) -> np.ndarray:
    return values.mean(-1)


@pytest.mark.parametrize("reduce", [best, average])
def test_contributions_are_those_of_sentences_left_out_as_queries_and_candidates(reduce: Reduce) -> None:
    similarities = drawn(np.random.default_rng(0), 14, layers=3)

    def figure(kept: list[int]) -> float:
        hits = [retrieval_hits(s[kept][:, kept]) for s in similarities]
        return float(reduce(np.array([float(torch.stack(own).double().mean()) for own in hits])))

    n = 14
    whole = figure(list(range(n)))
    left_out = np.array([figure([j for j in range(n) if j != k]) for k in range(n)])
    raw = whole - (n - 1) / n * left_out
    own = retrieval(similarities)
    found = contributions(own, reduce, own.index)
    assert found.values == pytest.approx(raw + (whole - raw.sum()) / n)
    assert found.figure == pytest.approx(whole)


def test_contributions_of_items_by_themselves_are_their_values() -> None:
    sizes = np.array([2.0, 5, 3])
    own = Scores([4, 7, 9], np.array([[1.0], [2], [6]]), sizes)
    found = contributions(own, first_layer, [1, 4, 7, 9])
    assert found.values == pytest.approx([0, 0.1, 0.2, 0.6])
    assert found.weights == pytest.approx([0, 0.2, 0.5, 0.3])
    single = contributions(Scores([4], np.array([[1.5]]), np.array([2.0])), first_layer, [4])
    assert (single.figure, single.error) == (0.75, None)


def test_pairs_are_counted_once() -> None:
    """Three sentences: the third alone keeps the first and the second from their translations, forwards."""
    similarity = torch.tensor([[0.5, 0.1, 0.6], [0.1, 0.5, 0.7], [0.1, 0.1, 0.9]])
    own = scores("forward only", [{"hits": blockers(similarity)[0]}])
    found = contributions(own, first_layer, own.index)
    # Its hit less two that it spoils; two of three thirds go to the bias.
    assert found.values * 3 == pytest.approx(np.array([0, 0, 1 - 2]) + 2 / 3)
    moved = np.array([0, 0, -1]) + 1 / 3
    assert found.deviations * 3 == pytest.approx(moved * np.sqrt(0.5))  # 2 of squares of 2 / 3: at most half
    assert [(i, j, v * 3) for i, j, v in zip(*found.pairs.nonzero(), found.pairs.data, strict=True)] == [
        (0, 2, 1), (1, 2, 1),
    ]  # fmt: skip


def test_pairs_that_both_languages_share_count_together() -> None:
    own = retrieval(drawn(np.random.default_rng(1), 30))
    one = contributions(own, first_layer, own.index)
    same = Contributions.mean([one, one, one])
    assert same.error == pytest.approx(one.error)
    other = contributions(retrieval(drawn(np.random.default_rng(2), 30)), first_layer, own.index)
    both = Contributions.mean([one, other])
    assert both.figure == pytest.approx((one.figure + other.figure) / 2)
    assert both.minus(one).figure == pytest.approx((other.figure - one.figure) / 2)
    assert both.minus(one).error == pytest.approx(other.minus(one).error / 2)


def test_nothing_is_left_of_a_model_compared_with_itself() -> None:
    own = mexa(drawn(np.random.default_rng(5), 30))
    one = contributions(own, first_layer, own.index)
    assert one.pairs.nnz > 0
    nothing = one.minus(one)
    assert (nothing.figure, abs(nothing.values).max(), abs(nothing.pairs).sum()) == (0, 0, 0)


def test_layers_that_are_not_looked_at_do_not_count() -> None:
    own = mexa(drawn(np.random.default_rng(3), 25, layers=3))
    first, second = (contributions(own.at(k), first_layer, own.index) for k in (0, 2))
    assert second.values == pytest.approx(contributions(own, lambda v: v[..., 2], own.index).values)
    assert second.deviations == pytest.approx(contributions(own, lambda v: v[..., 2], own.index).deviations)
    assert not np.allclose(first.values, second.values)


@pytest.mark.parametrize("measure", [retrieval, mexa])
@pytest.mark.parametrize(("n", "noise"), [(40, 1.0), (100, 0.8)])
def test_error_is_the_spread_over_sets_of_sentences(
    measure: Callable[[list[torch.Tensor]], Scores], n: int, noise: float
) -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(400):
        own = measure(drawn(rng, n, noise=noise))
        found.append(contributions(own, first_layer, own.index))
    spread = np.std([own.figure for own in found])
    estimated = np.mean([own.error**2 for own in found if own.error is not None]) ** 0.5
    assert estimated == pytest.approx(spread, rel=0.1)


def test_error_of_figures_without_rivals_is_the_standard_error() -> None:
    values = np.random.default_rng(0).random((40, 1))
    own = Scores(list(range(40)), values, np.ones(40))
    assert contributions(own, first_layer, own.index).error == pytest.approx(standard_error(values[:, 0]))
