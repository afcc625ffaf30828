"""A question of a multiple-choice set as it is shown."""

from dataclasses import dataclass

from xalign.evaluation.prompts import Shown

DELIMITER = " "
"""Stands between context and continuation, at the beginning of the continuation."""


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
    delimiter: str = DELIMITER
    """What continuations begin with that parts them from their context: it is none of the answer."""

    @property
    def candidates(self) -> list[str]:
        """Context and continuation of each candidate."""
        return [a + b for a, b in zip(self.contexts, self.continuations, strict=True)]

    @property
    def answers(self) -> list[str]:
        """The candidates' continuations without the delimiter."""
        return [text.removeprefix(self.delimiter) for text in self.continuations]

    def shown(self, end: str) -> Shown:
        """The item with its right candidate as a demonstration, after which stands `end` in plain text."""
        own, continuation = self.answers[self.gold], self.continuations[self.gold]
        return Shown(self.contexts[self.gold], own, continuation[: len(continuation) - len(own)], end)

    @property
    def solved(self) -> str:
        """The item with its right candidate, as it is shown in a demonstration."""
        return self.candidates[self.gold]
