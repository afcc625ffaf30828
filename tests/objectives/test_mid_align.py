"""Middle-layer alignment: steps of alignment and of the task take turns, and the pivot can be held."""

import torch
from cipher import OnCipher
from training_helpers import batches_of, small_config, small_module

from xalign.objectives.base import Rows

CONTRASTIVE = ("loss=contrastive", "loss.retention_weight=0", "loss.tau=0.1")
HELD = "loss.objectives.contrastive.hold_pivot=true"


def test_steps_of_alignment_and_of_the_task_take_turns() -> None:
    config = small_config("loss=mid_align", "instructions=parallel")
    batches = batches_of(config, small_module(config))
    assert [[*batches[step].parts] for step in range(4)] == 2 * [["contrastive"], ["instruction"]]


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
