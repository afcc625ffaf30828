"""Middle-layer alignment: steps of alignment and of the task take turns, and the pivot can be held."""

from pathlib import Path

import torch
from cipher import OnCipher
from training_helpers import fitted, small_config, timeless

from xalign.objectives.base import Rows

CONTRASTIVE = ("loss=contrastive", "loss.retention_weight=0", "loss.tau=0.1")
HELD = "loss.objectives.contrastive.hold_pivot=true"


def test_steps_of_alignment_and_of_the_task_take_turns(tmp_path: Path) -> None:
    fitted(small_config("loss=mid_align", "instructions=parallel", "trainer.steps=4"), tmp_path / "run")
    losses = [{key for key in line if key.startswith("loss/")} for line in timeless(tmp_path / "run")]
    assert losses == 2 * [{"loss/contrastive"}, {"loss/instruction"}]


def test_the_pivot_is_held_and_the_language_moves() -> None:
    gradients = []
    for options in (CONTRASTIVE, (*CONTRASTIVE, HELD)):
        objective = OnCipher(options).module.objectives["contrastive"]
        sides = [
            torch.randn(8, 32, generator=torch.Generator().manual_seed(k)).requires_grad_() for k in (0, 1)
        ]
        keys = {name: torch.arange(8) for name in ("source", "target")} | {"language": torch.zeros(8).long()}
        loss, _ = objective.loss(sides, Rows(8, slice(0, 8), keys))  # type: ignore[attr-defined]
        loss.backward()
        gradients.append([side.grad for side in sides])
    (pivot, language), (held, moved) = gradients
    assert pivot.any()
    assert held is None or not held.any()
    assert torch.equal(moved, language)
