"""A weight that follows its loss."""

from pathlib import Path

import pytest
from training_helpers import fitted, small_config, timeless

from xalign.objectives.multiplier import FURTHEST, RATE, Multiplier


def test_it_rises_above_the_budget_and_falls_below_it() -> None:
    multiplier = Multiplier(0.1)
    multiplier.see(0.2)
    above = multiplier.value
    assert above == pytest.approx(2.718281828**RATE)
    multiplier.see(0.1)
    assert multiplier.value == above
    multiplier.see(0.0)
    assert multiplier.value == pytest.approx(1.0)
    multiplier.see(float("nan"))
    assert multiplier.value == pytest.approx(1.0)


def test_it_keeps_within_its_bounds() -> None:
    multiplier = Multiplier(0.1)
    for _ in range(1000):
        multiplier.see(100.0)
    assert multiplier.value == FURTHEST
    for _ in range(1000):
        multiplier.see(0.0)
    assert multiplier.value == 1 / FURTHEST


def test_a_run_weighs_retention_by_what_is_lost(tmp_path: Path) -> None:
    """Of a budget that is soon overrun the weight rises; losses are summed by the weights of their step."""
    config = small_config("loss.retention_weight=0.5", "loss.retention_budget=1e-6", "optimizer.lr=1e-2")
    fitted(config, tmp_path)
    lines = timeless(tmp_path)
    factors = [line["retention_multiplier"] for line in lines]
    assert factors[0] == 1.0
    assert factors[-1] > factors[2]
    for line in lines:
        parts = {name: line[f"loss/{name}"] for name in ("contrastive", "instruction", "retention")}
        weights = {"contrastive": 1.0, "instruction": 0.5, "retention": 0.5 * line["retention_multiplier"]}
        assert line["loss"] == pytest.approx(sum(weights[name] * parts[name] for name in parts))
    assert "contrastive_multiplier" not in lines[0]
