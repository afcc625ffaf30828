"""A weight that follows what is lost: a constraint on a loss with a multiplier, instead of a constant weight.

The basic differential multiplier method (Platt & Barr 1987, "Constrained differential optimization",
equation 6), in the logarithm, so that the weight stays above 0: it rises while the loss is above its budget
and falls while it is below.
"""

import math
from dataclasses import dataclass

RATE = 0.05
"""Change of the weight's logarithm in a step in which the loss is twice its budget, or more: losses of single
steps are noisy, and a run has a hundred steps at least."""

FURTHEST = 10.0
"""Times that the weight may be of what is configured, or this part of it."""


@dataclass
class Multiplier:
    """By what the configured weight is multiplied."""

    budget: float
    """The loss that is allowed."""
    value: float = 1.0

    def see(self, loss: float) -> None:
        """Follow a step's loss; one that is not finite says nothing."""
        if math.isfinite(loss):
            excess = min(1.0, loss / self.budget - 1)
            self.value = min(FURTHEST, max(1 / FURTHEST, self.value * math.exp(RATE * excess)))
