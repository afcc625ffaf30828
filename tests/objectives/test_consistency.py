"""Consistency: which of two answers is preferred agrees across languages, on questions never asked."""

import pytest
import torch
from cipher import OnCipher, in_cipher
from test_dpo import likelihoods

from xalign.data.few_shot import EQUALS
from xalign.data.instructions.base import InstructionSample
from xalign.objectives.kernels.preferences import log_odds_consistency

CONSISTENCY = ("loss=consistency", "loss.retention_weight=0")


def test_by_hand() -> None:
    # r_1 = 3 - 1 = 2, r_2 = 0 - 4 = -4; o_1 = 1, o_2 = 4; |2 - 4 / 2| + |-4 - 2 * 1|.
    first, second = torch.tensor([[3.0, 1.0]]), torch.tensor([[0.0, 4.0]])
    assert float(log_odds_consistency(first, second, 2.0)) == pytest.approx(6.0)
    agreed = torch.tensor([[5.0, 1.0]]), torch.tensor([[5.0, 4.0]])
    assert float(log_odds_consistency(*agreed, 1.0)) == 0


def log_odds(model: OnCipher) -> list[torch.Tensor]:
    """Of a held-out sentence's translation against another's, into the pivot and out of it."""
    found = []
    for source, target in (("fr", "en"), ("en", "fr")):
        sides = []
        for shift in (0, 1):
            texts = model.held_out[shift:] + model.held_out[:shift]
            samples = [
                InstructionSample(
                    EQUALS.ask(in_cipher(asked, source), source, target),
                    EQUALS.answer(in_cipher(answer, target)), source, target,
                )
                for asked, answer in zip(model.held_out, texts, strict=True)
            ]  # fmt: skip
            sides.append(likelihoods(model, samples))
        found.append(sides[0] - sides[1])
    return found


def disagreement(model: OnCipher) -> float:
    """Mean difference of the log-odds in both languages."""
    into, out_of = log_odds(model)
    return float((into - out_of).abs().mean())


def test_log_odds_agree_on_questions_never_asked() -> None:
    before = disagreement(OnCipher(CONSISTENCY))
    assert disagreement(OnCipher(CONSISTENCY).train(150)) < 0.5 * before
    assert disagreement(OnCipher(CONSISTENCY, shuffled=True).train(150)) > before
