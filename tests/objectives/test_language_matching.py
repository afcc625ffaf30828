"""Language matching: whether two sentences never seen are of one language is read off the last layer."""

import pytest
import torch
from cipher import HELD_OUT, OnCipher

from xalign.objectives import language_matching
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


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = OnCipher(MATCHING, ("fr", "de")).module.objectives["language_matching"]
    found = []
    for at_once in (language_matching.AT_ONCE, 1000):
        monkeypatch.setattr(language_matching, "AT_ONCE", at_once)
        sides = [
            torch.randn(9, 32, generator=torch.Generator().manual_seed(k)).requires_grad_() for k in (0, 1)
        ]
        rows = Rows(9, slice(None), {"language": torch.arange(9) % 2})
        loss, figures = objective.loss(sides, rows)  # type: ignore[attr-defined]
        loss.backward()
        found.append((float(loss), figures["accuracy"], sides[0].grad))
    assert found[1][:2] == pytest.approx(found[0][:2])
    assert torch.allclose(found[1][2], found[0][2], atol=1e-7)
