import math

import pytest
import torch

from xalign.objectives.kernels import full_logits


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
    assert float(full_logits.cross_entropy(logits, torch.tensor([1, 0]))) == pytest.approx(
        -math.log(3 / 4) + math.log(2), rel=1e-6
    )


def test_retention_is_zero_at_the_start_and_the_kl_by_hand() -> None:
    before = torch.tensor([[0.0, math.log(3.0)]])
    assert float(full_logits.kl(before, before)) == pytest.approx(0, abs=1e-7)
    now = torch.tensor([[0.0, 0.0]])
    expected = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert float(full_logits.kl(before, now)) == pytest.approx(expected, rel=1e-6)
