"""What objectives that are trained on answers have in common: cross-entropy of the supervised tokens."""

from typing import TYPE_CHECKING

from xalign.objectives.base import SumObjective, Work

if TYPE_CHECKING:
    from torch import Tensor

    from xalign.data.collate import Tokens
    from xalign.data.step import Part
    from xalign.objectives.passes import Pass


class Answered(SumObjective):
    """Next-token cross-entropy on the supervised tokens of its texts. Runs all blocks, and the head there."""

    samples_pairs = False

    def work(self, part: "Part") -> Work:
        return Work(self.setup.depth, positions=sum(tokens.supervised_count for tokens in part.texts.buckets))

    def positions(self, run: "Pass", part: "Part") -> "list[Tensor]":
        return [tokens.predicts for tokens in part.texts.buckets]

    def summed(self, run: "Pass", tokens: "Tokens", chosen_BT: "Tensor") -> "Tensor":
        hidden_SD = run.hidden(tokens, self.setup.depth)[chosen_BT]
        return run.cross_entropy(hidden_SD, tokens.labels_after(chosen_BT))
