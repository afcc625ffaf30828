"""The margin score, against the formula, and what it is for: hubs are no translations."""

import pytest
import torch

from xalign.evaluation.engine.margin import matches


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_planted_pairs_are_found_among_others() -> None:
    meaning = drawn(30, 16)
    source = torch.cat([meaning + 0.2 * drawn(30, 16, seed=1), drawn(10, 16, seed=2)])
    order = torch.randperm(30, generator=torch.Generator().manual_seed(3))
    target = torch.cat([drawn(5, 16, seed=4), meaning[order] + 0.2 * drawn(30, 16, seed=5)])
    found = matches(source, target, neighbours=4, centred=False)
    best = {(own.source, own.target) for own in found[:30]}
    assert best == {(int(row), 5 + place) for place, row in enumerate(order)}
    assert len(found) == 30 or found[29].score > 1.2 * found[30].score


def test_scores_are_those_of_the_formula() -> None:
    source, target = drawn(6, 4), drawn(7, 4, seed=1)
    x = source / source.norm(dim=1, keepdim=True)
    y = target / target.norm(dim=1, keepdim=True)
    cosine = x @ y.T
    near_x = cosine.sort(dim=1, descending=True).values[:, :3].mean(dim=1)
    near_y = cosine.sort(dim=0, descending=True).values[:3].mean(dim=0)
    for own in matches(source, target, neighbours=3, centred=False):
        right = cosine[own.source, own.target] / ((near_x[own.source] + near_y[own.target]) / 2)
        assert own.score == pytest.approx(float(right), rel=1e-5)


def test_no_sentence_is_taken_twice_and_scores_fall() -> None:
    found = matches(drawn(40, 8), drawn(25, 8, seed=1), neighbours=4, centred=True)
    assert len({own.source for own in found}) == len({own.target for own in found}) == len(found)
    assert [own.score for own in found] == sorted((own.score for own in found), reverse=True)


def test_a_hub_that_is_near_to_all_loses_to_the_translation() -> None:
    meaning = drawn(12, 8)
    offset = 5 * drawn(1, 8, seed=1)
    source = meaning + offset
    target = torch.cat([meaning + offset, offset])  # the last is near to every source
    found = {own.source: own.target for own in matches(source, target, neighbours=4, centred=False)}
    assert all(found.get(n) == n for n in range(12))


def test_an_offset_of_a_language_is_taken_off() -> None:
    meaning = drawn(12, 8)
    source, target = meaning + 10 * drawn(1, 8, seed=1), meaning + 10 * drawn(1, 8, seed=2)
    right = {(n, n) for n in range(12)}
    centred = {(own.source, own.target) for own in matches(source, target, neighbours=4, centred=True)}
    raw = {(own.source, own.target) for own in matches(source, target, neighbours=4, centred=False)}
    assert centred == right
    assert raw != right


def test_blocks_change_nothing() -> None:
    source, target = drawn(40, 8), drawn(25, 8, seed=1)
    whole = matches(source, target, neighbours=4, centred=True)
    parts = matches(source, target, neighbours=4, centred=True, block=7)
    assert [(own.source, own.target) for own in whole] == [(own.source, own.target) for own in parts]
