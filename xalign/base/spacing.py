"""Some of many, evenly spaced: what stands at the beginning is seldom like the rest."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def evenly_spaced(items: Sequence[T], most: int) -> list[T]:
    """At most so many of the items, in order, the first and the last among them; or all."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(len(items), most)).astype(int)]
