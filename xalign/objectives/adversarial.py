"""Adversarial alignment: a probe learns the language of a sentence vector, and the model to hide it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.objectives.base import Figures, Rows, Work
from xalign.objectives.pairs import PairObjective

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xalign.data.step import Part


class Adversarial(PairObjective):
    """Hides from sentence vectors which language they are of.

    A probe learns the language of a vector by cross-entropy, and the model to make the probe's answer
    uniform: the cross-entropy of the answer with the uniform distribution, the probe held fixed (domain
    confusion, Tzeng et al., ICCV 2015, equations 2 and 3). Every language weighs alike. The probe has one
    hidden layer, on the vector scaled to length sqrt(D); it is trained with the model and left out of it
    afterwards. Runs the blocks up to its layer alone.

    Published: for languages, a reversed gradient (Chen et al., TACL 2018, section 3). Here: confusion, as a
    model that goes up the probe's loss overshoots: on a tiny model it made the language easier to find for a
    new probe, not harder.

    Take it when the language itself is what must go, beside a contrastive objective: alone it may hide the
    language by hiding everything.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(PairObjective.Config):
        hidden: Annotated[int, Field(gt=0)] = 128
        """Size of the probe's hidden layer."""
        confusion: Annotated[float, Field(ge=0)] = 1.0
        """Weight of the model's part beside the probe's."""

    config: Config

    def build(self) -> "nn.Module":
        from torch import nn

        size, classes = self.config.hidden, len(self.setup.languages)
        return nn.Sequential(nn.Linear(self.setup.width, size), nn.ReLU(), nn.Linear(size, classes))

    def work(self, part: "Part") -> Work:
        # The probe runs twice: for itself, whose vectors get no gradient, and for the model.
        inner, outer = (
            2 * 2 * part.pairs * self.config.hidden * size
            for size in (self.setup.width, len(self.setup.languages))
        )
        return Work(self.layer, forward=2 * (inner + outer), backward=2 * inner + 3 * outer)

    def loss(self, vectors: "Sequence[Tensor]", rows: Rows) -> "tuple[Tensor, Figures]":
        import torch
        from torch.nn.functional import cross_entropy, normalize

        assert self.own is not None
        both_ND = torch.cat([*vectors])
        language_N = rows.numbers["language"]
        # The pivot is the last class.
        pivot_N = torch.full_like(language_N, len(self.setup.languages) - 1)
        wanted_N = torch.cat([pivot_N, language_N])
        unit_ND = normalize(both_ND, dim=-1) * both_ND.shape[1] ** 0.5
        logits_NC = self.own(unit_ND.detach())
        weights_N = balanced_weights(wanted_N).to(logits_NC.dtype)
        of_probe_N = cross_entropy(logits_NC, wanted_N, reduction="none")
        fixed = {name: value.detach() for name, value in self.own.named_parameters()}
        seen_NC = torch.func.functional_call(self.own, fixed, (unit_ND,)).log_softmax(1)
        of_model_N = -seen_NC.mean(1) - math.log(len(self.setup.languages))
        loss = ((of_probe_N + self.config.confusion * of_model_N) * weights_N).sum()
        right_N = logits_NC.argmax(1) == wanted_N
        return loss, {"accuracy": float((right_N * weights_N).sum())}


def balanced_weights(classes_N: "Tensor") -> "Tensor":
    """A weight each (N,), by which every class that occurs weighs alike; their sum is 1."""
    _, number_N, counts_C = classes_N.unique(return_inverse=True, return_counts=True)
    return 1 / (len(counts_C) * counts_C[number_N])


OBJECTIVE = Adversarial
