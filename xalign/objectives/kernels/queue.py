"""A queue of past translations as further negatives. N pairs of a step, Q held, D hidden size."""

from collections.abc import Mapping
from dataclasses import fields

import torch
from torch import Tensor

from xalign.objectives.kernels.info_nce import Negatives


class NegativeQueue:
    """The newest `size` pairs of former steps, without gradient (He et al. 2020; Wang et al. 2020).

    Their vectors are those of the parameters of their own step, which change slowly enough for recent ones
    to be useful (Wang et al. 2020, section 3.1). Fed with the pairs of all ranks, it is the same on each.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._held: dict[str, Tensor] = {}

    def negatives(self, device: torch.device) -> Negatives | None:
        """The pairs held, oldest first; None before the first step."""
        # After resuming they come from a file.
        self._held = {name: held.to(device) for name, held in self._held.items()}
        return Negatives(**self._held) if self._held else None

    def push(self, new: Negatives) -> None:
        """Add the pairs of a step; the oldest leave.

        A pair that is not finite, from a step that will be skipped, stays out: it would spoil all later ones.
        """
        finite_N = (new.source.isfinite() & new.target.isfinite()).all(1)
        surplus = max(0, len(self) + int(finite_N.sum()) - self.size)
        kept = {}
        for name in (field.name for field in fields(Negatives)):
            rows = getattr(new, name).detach()[finite_N][-self.size :]
            kept[name] = torch.cat([self._held[name][surplus:], rows]) if self._held else rows
        self._held = kept

    def __len__(self) -> int:
        return len(self._held["source"]) if self._held else 0

    def state_dict(self) -> dict[str, Tensor]:
        """For the checkpoint: tensors, none before the first step."""
        return dict(self._held)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._held = dict(state)
