"""A cipher as second language: alignment must be learnt from true pairs, and only from them."""

import pytest
from cipher import HELD_OUT, OnCipher

CONTRASTIVE = ("loss=contrastive", "loss.retention_weight=0", "loss.tau=0.1")


def test_true_pairs_align_unseen_sentences() -> None:
    model = OnCipher(CONTRASTIVE)
    assert model.retrieval() < 0.2
    assert model.train(150).retrieval() > 0.9


def test_shuffled_pairs_leave_retrieval_at_chance() -> None:
    model = OnCipher(CONTRASTIVE, shuffled=True).train(150)
    assert model.retrieval() == pytest.approx(1 / HELD_OUT, abs=0.08)
