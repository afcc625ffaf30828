"""A question of a multiple-choice set as it is shown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """A question as it is shown: what stands before each candidate, and the candidates.

    Either may be equal for all candidates; XWinograd's contexts differ and its continuations are equal.
    """

    index: int
    """Its number in the file."""
    contexts: tuple[str, ...]
    continuations: tuple[str, ...]
    gold: int
    """The number of the right candidate."""

    @property
    def candidates(self) -> list[str]:
        """Context and continuation of each candidate."""
        return [a + b for a, b in zip(self.contexts, self.continuations, strict=True)]

    @property
    def solved(self) -> str:
        """The item with its right candidate, as it is shown in a demonstration."""
        return self.candidates[self.gold]
