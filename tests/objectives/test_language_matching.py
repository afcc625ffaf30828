"""Language matching: whether two sentences never seen are of one language is read off the last layer."""

import torch
from cipher import HELD_OUT, OnCipher

from xalign.objectives.base import Rows

MATCHING = ("loss=instruction", "loss.instruction_weight=0", "loss.objectives.language_matching.weight=1")


def accuracy(model: OnCipher) -> float:
    """Balanced, on held-out sentences of the pivot and both ciphers."""
    pivot, *others = (model.vectors(code, layer=4)[: HELD_OUT // 2] for code in ("en", "fr", "de"))
    language = torch.arange(2).repeat_interleave(HELD_OUT // 2)
    rows = Rows(HELD_OUT, slice(None), {"language": language})
    with torch.no_grad():
        own = model.module.objectives["language_matching"].loss(  # type: ignore[attr-defined]
            [torch.cat([pivot, pivot]), torch.cat(others)], rows
        )
    return float(own[1]["accuracy"])


def test_it_is_learnt_and_not_there_before() -> None:
    model = OnCipher(MATCHING, ("fr", "de"))
    assert accuracy(model) < 0.7
    assert accuracy(model.train(60)) > 0.9
