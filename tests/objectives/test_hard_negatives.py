"""Weighted negatives: the hard ones count for more, and without any option it is InfoNCE."""

import pytest
import torch
from cipher import OnCipher

from xalign.config.choices import Centering
from xalign.objectives.kernels.info_nce import info_nce, unit_vectors
from xalign.objectives.kernels.variants import false_by_margin, same_pairs, weighted_negatives

PLAIN = {"tau": 0.1, "hardness": 0.0, "positive_share": 0.0, "decoupled": False}
ALL = slice(0, 8)


def drawn(seed: int) -> torch.Tensor:
    made = torch.randn(8, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return unit_vectors(made, torch.zeros(8), Centering.none)


def test_without_options_it_is_info_nce() -> None:
    source, target, keys = drawn(0), drawn(1), torch.tensor([0, 0, 2, 3, 4, 5, 6, 7])
    same = same_pairs(keys, torch.arange(8))
    expected, _ = info_nce(
        source, target, groups_N=torch.zeros(8), source_keys_N=keys, target_keys_N=torch.arange(8), tau=0.1,
        symmetric=False, centering=Centering.none,
    )  # fmt: skip
    assert float(weighted_negatives(source @ target.T, same, ALL, **PLAIN)) == pytest.approx(float(expected))


def test_hard_negatives_get_more_of_the_gradient() -> None:
    shares = []
    for hardness in (0.0, 10.0):
        similarities = (drawn(0) @ drawn(1).T).requires_grad_()
        weighted_negatives(
            similarities, torch.eye(8, dtype=torch.bool), ALL, **{**PLAIN, "hardness": hardness, "tau": 1.0}
        ).backward()
        assert similarities.grad is not None
        negatives = similarities.grad.masked_fill(torch.eye(8, dtype=torch.bool), 0)
        hardest = similarities.detach().masked_fill(torch.eye(8, dtype=torch.bool), -1).argmax(1)
        shares.append(float((negatives[torch.arange(8), hardest] / negatives.sum(1)).mean()))
    assert shares[1] > 2 * shares[0]


def test_false_negatives_that_are_expected_are_taken_off() -> None:
    similarities = drawn(0) @ drawn(1).T
    same = torch.eye(8, dtype=torch.bool)
    losses = [
        float(weighted_negatives(similarities, same, ALL, **{**PLAIN, "positive_share": share}))
        for share in (0.0, 0.01)
    ]
    assert losses[1] < losses[0]
    # However many are expected, what is left of the negatives is the least that there can be.
    most = weighted_negatives(similarities, same, ALL, **{**PLAIN, "positive_share": 0.9})
    assert torch.isfinite(most)


@pytest.mark.parametrize("kind", ["hard_negatives", "siglip"])
def test_sentences_never_seen_find_their_translations(kind: str) -> None:
    options = (f"loss={kind}", "loss.retention_weight=0", "loss.tau=0.1")[
        : 3 if kind == "hard_negatives" else 2
    ]
    assert OnCipher(options).train(120).retrieval() > 0.9
    assert OnCipher(options, shuffled=True).train(120).retrieval() < 0.2


def test_negatives_too_much_like_the_translation_are_left_out() -> None:
    similarities = torch.tensor([[0.8, 0.79, 0.5], [0.9, 0.6, 0.1], [0.9, 0.9, 0.8]])
    same = torch.eye(3, dtype=torch.bool)
    found = false_by_margin(similarities, same, slice(0, 3), 0.05)
    # The last row keeps its own: nothing else would be left.
    assert found.tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    rank = false_by_margin(similarities[1:], same[1:], slice(1, 3), 0.05)
    assert torch.equal(rank, found[1:])
    losses = [float(weighted_negatives(similarities, own, slice(0, 3), **PLAIN)) for own in (same, found)]
    assert losses[1] < losses[0]
